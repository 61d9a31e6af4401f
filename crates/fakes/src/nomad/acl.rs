//! The state of the ACL system, and the permission checks on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use strongroom_types::{Clock, Entropy, Timestamp, Ttl};

use super::NomadVersion;
use super::token::{AclToken, AclTokenRequest};

/// The settings and dependencies of the state.
pub(super) struct AclConfig {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) enabled: bool,
    pub(super) min_expiration: Ttl,
    pub(super) max_expiration: Ttl,
    pub(super) version: NomadVersion,
}

/// An error response: status and text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NomadError(pub(super) u16, pub(super) String);

impl NomadError {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        Self(status, text.into())
    }

    pub(super) fn permission_denied() -> Self {
        Self::new(403, "Permission denied")
    }
}

/// A policy. Its rules are not interpreted.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct NomadPolicy {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) rules: String,
}

/// Who sent a request.
pub(super) enum AclCaller {
    Management,
    Client(Box<AclToken>),
    Anonymous,
}

/// The policies and tokens.
pub(super) struct AclState {
    config: AclConfig,
    tokens: Vec<AclToken>,
    policies: BTreeMap<String, NomadPolicy>,
    index: u64,
    bootstrapped_at: Option<u64>,
}

/// One page of a list of tokens.
pub(super) struct AclTokenPage {
    pub(super) tokens: Vec<AclToken>,
    pub(super) next_token: Option<String>,
}

/// Which tokens to list.
#[derive(Default)]
pub(super) struct AclTokenQuery<'a> {
    pub(super) prefix: &'a str,
    pub(super) filter: &'a str,
    pub(super) per_page: usize,
    pub(super) next_token: &'a str,
}

impl AclState {
    pub(super) fn new(rules: AclConfig) -> Self {
        // A real server has already written some entries when it accepts its first request.
        Self {
            config: rules,
            tokens: Vec::new(),
            policies: BTreeMap::new(),
            index: 7,
            bootstrapped_at: None,
        }
    }

    pub(super) fn index(&self) -> u64 {
        self.index
    }

    pub(super) fn require_enabled(&self) -> Result<(), NomadError> {
        let disabled = || NomadError::new(400, "ACL support disabled");
        self.config.enabled.then_some(()).ok_or_else(disabled)
    }

    /// Identifies the caller by the token's secret; `Err` if there is no such token or it has
    /// expired.
    pub(super) fn authenticate(&self, secret: &str) -> Result<AclCaller, NomadError> {
        if secret.is_empty() {
            return Ok(AclCaller::Anonymous);
        }
        if !is_uuid(secret) {
            let text = "failed to parse signed token: go-jose/go-jose: compact JWS format must \
                        have three parts";
            return Err(NomadError::new(500, text));
        }
        let found = self.tokens.iter().find(|token| token.secret == secret);
        match found.ok_or_else(NomadError::permission_denied)? {
            token if token.has_expired(self.now()) => {
                Err(NomadError::new(500, "ACL token expired"))
            }
            token if token.is_management() => Ok(AclCaller::Management),
            token => Ok(AclCaller::Client(Box::new(token.clone()))),
        }
    }

    pub(super) fn accepts(&self, secret: &str) -> bool {
        !secret.is_empty() && self.authenticate(secret).is_ok()
    }

    pub(super) fn bootstrap(&mut self, secret: &str) -> Result<AclToken, NomadError> {
        if let Some(index) = self.bootstrapped_at {
            let text = format!("ACL bootstrap already done (reset index: {index})");
            return Err(NomadError::new(400, text));
        }
        if !secret.is_empty() && !is_uuid(secret) {
            return Err(NomadError::new(400, "invalid acl token"));
        }
        let wish = AclTokenRequest {
            name: "Bootstrap Token".to_owned(),
            kind: "management".to_owned(),
            global: true,
            ..AclTokenRequest::default()
        };
        let mut token = self.new_token(wish, 0);
        if !secret.is_empty() {
            secret.clone_into(&mut token.secret);
        }
        self.bootstrapped_at = Some(token.index);
        self.tokens.push(token.clone());
        Ok(token)
    }

    pub(super) fn create_token(&mut self, wish: AclTokenRequest) -> Result<AclToken, NomadError> {
        let knows_expiry = self.config.version == NomadVersion::Current;
        let nanos = if knows_expiry { wish.expiration_nanos() } else { Ok(0) };
        let nanos = nanos.map_err(|text| NomadError::new(400, text))?;
        if !wish.accessor.is_empty() {
            let known = self.tokens.iter().any(|token| token.accessor == wish.accessor);
            return Err(if known {
                NomadError::new(501, "this fake changes no tokens")
            } else {
                NomadError::new(400, format!("cannot find token {}", wish.accessor))
            });
        }
        let (min, max) = (self.config.min_expiration, self.config.max_expiration);
        let faults = wish.validation_errors(nanos, min, max);
        if !faults.is_empty() {
            return Err(NomadError::new(
                400,
                format!("token 0 invalid: {}", format_errors(&faults)),
            ));
        }
        let token = self.new_token(wish, nanos);
        self.tokens.push(token.clone());
        Ok(token)
    }

    pub(super) fn delete_token(&mut self, accessor: &str) -> Result<(), NomadError> {
        if accessor.len() != 36 {
            let text = "token lookup failed: acl token lookup failed: index error: UUID must be \
                        36 characters";
            return Err(NomadError::new(400, text));
        }
        if self.token_by_accessor(accessor).is_none() {
            let text = format!("Cannot delete nonexistent tokens: {accessor}");
            return Err(NomadError::new(400, text));
        }
        self.remove_token(accessor);
        Ok(())
    }

    pub(super) fn remove_token(&mut self, accessor: &str) {
        self.index += 1;
        self.tokens.retain(|token| token.accessor != accessor);
    }

    pub(super) fn token_by_accessor(&self, accessor: &str) -> Option<&AclToken> {
        self.tokens.iter().find(|token| token.accessor == accessor)
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = &AclToken> {
        self.tokens.iter()
    }

    pub(super) fn list_tokens(
        &self,
        search: &AclTokenQuery<'_>,
    ) -> Result<AclTokenPage, NomadError> {
        if !search.prefix.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            let text = "acl token lookup failed: index error: Invalid UUID: encoding/hex: invalid \
                        byte";
            return Err(NomadError::new(500, text));
        }
        let mut tokens: Vec<_> =
            self.tokens.iter().filter(|token| token.accessor.starts_with(search.prefix)).collect();
        if self.config.version == NomadVersion::BeforeExpiry {
            return Ok(AclTokenPage {
                tokens: tokens.into_iter().cloned().collect(),
                next_token: None,
            });
        }
        let by_accessor = !search.prefix.is_empty();
        let place = |token: &AclToken| match by_accessor {
            true => token.accessor.clone(),
            false => format!("{}.{}", token.index, token.accessor),
        };
        if by_accessor {
            tokens.sort_by(|a, b| a.accessor.cmp(&b.accessor));
        }
        let wanted = parse_filter(search.filter)?;
        let begin =
            |token: &&AclToken| !search.next_token.is_empty() && place(token) != search.next_token;
        let mut matching =
            tokens.into_iter().skip_while(begin).filter(|token| wanted.matches(&token.name));
        let most = if search.per_page == 0 { usize::MAX } else { search.per_page };
        let page: Vec<AclToken> = matching.by_ref().take(most).cloned().collect();
        let next = matching.next().map(place);
        Ok(AclTokenPage { tokens: page, next_token: next })
    }

    pub(super) fn policies(&self) -> &BTreeMap<String, NomadPolicy> {
        &self.policies
    }

    pub(super) fn policies_mut(&mut self) -> &mut BTreeMap<String, NomadPolicy> {
        self.index += 1;
        &mut self.policies
    }

    fn new_token(&mut self, wish: AclTokenRequest, nanos: i64) -> AclToken {
        self.index += 1;
        let mut hash = [0; 32];
        self.config.entropy.fill(&mut hash);
        let (created, asked) = (self.now(), u64::try_from(nanos).unwrap_or_default());
        let expires = (asked > 0).then(|| created.plus(std::time::Duration::from_nanos(asked)));
        AclToken {
            accessor: self.config.entropy.uuid(),
            secret: self.config.entropy.uuid(),
            name: wish.name,
            kind: wish.kind,
            policies: wish.policies.unwrap_or_default(),
            global: wish.global,
            hash: BASE64.encode(&hash),
            created,
            expiration_nanos: nanos,
            expires,
            index: self.index,
        }
    }

    fn now(&self) -> Timestamp {
        self.config.clock.now()
    }
}

/// A parsed `filter` parameter.
enum TokenNameFilter<'a> {
    All,
    Equals(&'a str),
    Contains(&'a str),
}

impl TokenNameFilter<'_> {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Equals(wanted) => name == *wanted,
            Self::Contains(part) => name.contains(part),
        }
    }
}

fn parse_filter(text: &str) -> Result<TokenNameFilter<'_>, NomadError> {
    let quoted = |text: &'_ str| -> Option<usize> {
        let inner = text.strip_prefix('"')?.strip_suffix('"')?;
        (!inner.contains('"')).then_some(inner.len())
    };
    let text = text.trim();
    if text.is_empty() {
        return Ok(TokenNameFilter::All);
    }
    for (operator, make) in [
        ("Name == ", TokenNameFilter::Equals as fn(_) -> _),
        ("Name contains ", TokenNameFilter::Contains as fn(_) -> _),
    ] {
        if let Some(value) = text.strip_prefix(operator)
            && quoted(value).is_some()
        {
            return Ok(make(value.trim_matches('"')));
        }
    }
    let why = "failed to create result paginator: failed to read filter expression";
    Err(NomadError::new(400, why))
}

/// Joins errors the way Nomad does.
fn format_errors(faults: &[String]) -> String {
    let count = match faults.len() {
        1 => "1 error".to_owned(),
        count => format!("{count} errors"),
    };
    let lines: String = faults.iter().map(|fault| format!("\t* {fault}\n")).collect();
    format!("{count} occurred:\n{lines}\n")
}

pub(super) fn is_uuid(text: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}
