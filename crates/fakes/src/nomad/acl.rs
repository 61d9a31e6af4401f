//! The state of the ACL system, and who may do what to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use strongroom_types::{Clock, Entropy, Timestamp, Ttl};

use super::Version;
use super::token::{Token, Wish};

/// What the state goes by.
pub(super) struct Rules {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) enabled: bool,
    pub(super) min_expiration: Ttl,
    pub(super) max_expiration: Ttl,
    pub(super) version: Version,
}

/// A refusal: status and text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16, pub(super) String);

impl Refusal {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        Self(status, text.into())
    }

    pub(super) fn denied() -> Self {
        Self::new(403, "Permission denied")
    }
}

/// A policy. Its rules are not looked into.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) rules: String,
}

/// Who asks.
pub(super) enum Caller {
    Management,
    Client(Box<Token>),
    Anonymous,
}

/// The state.
pub(super) struct Acl {
    rules: Rules,
    tokens: Vec<Token>,
    policies: BTreeMap<String, Policy>,
    index: u64,
    bootstrapped_at: Option<u64>,
}

/// A page of a list.
pub(super) struct Page {
    pub(super) tokens: Vec<Token>,
    pub(super) next: Option<String>,
}

/// Which tokens a list is to have.
#[derive(Default)]
pub(super) struct Search<'a> {
    pub(super) prefix: &'a str,
    pub(super) filter: &'a str,
    pub(super) per_page: usize,
    pub(super) next_token: &'a str,
}

impl Acl {
    pub(super) fn new(rules: Rules) -> Self {
        // A server has written a few things by the time it can be asked.
        Self {
            rules,
            tokens: Vec::new(),
            policies: BTreeMap::new(),
            index: 7,
            bootstrapped_at: None,
        }
    }

    pub(super) fn index(&self) -> u64 {
        self.index
    }

    pub(super) fn enabled(&self) -> Result<(), Refusal> {
        let disabled = || Refusal::new(400, "ACL support disabled");
        self.rules.enabled.then_some(()).ok_or_else(disabled)
    }

    /// Who shows this secret: `Err` says it is nobody's, or expired.
    pub(super) fn caller(&self, secret: &str) -> Result<Caller, Refusal> {
        if secret.is_empty() {
            return Ok(Caller::Anonymous);
        }
        if !is_uuid(secret) {
            let text = "failed to parse signed token: go-jose/go-jose: compact JWS format must \
                        have three parts";
            return Err(Refusal::new(500, text));
        }
        let found = self.tokens.iter().find(|token| token.secret == secret);
        match found.ok_or_else(Refusal::denied)? {
            token if token.has_expired(self.now()) => Err(Refusal::new(500, "ACL token expired")),
            token if token.is_management() => Ok(Caller::Management),
            token => Ok(Caller::Client(Box::new(token.clone()))),
        }
    }

    pub(super) fn live(&self, secret: &str) -> bool {
        !secret.is_empty() && self.caller(secret).is_ok()
    }

    pub(super) fn bootstrap(&mut self, secret: &str) -> Result<Token, Refusal> {
        if let Some(index) = self.bootstrapped_at {
            let text = format!("ACL bootstrap already done (reset index: {index})");
            return Err(Refusal::new(400, text));
        }
        if !secret.is_empty() && !is_uuid(secret) {
            return Err(Refusal::new(400, "invalid acl token"));
        }
        let wish = Wish {
            name: "Bootstrap Token".to_owned(),
            kind: "management".to_owned(),
            global: true,
            ..Wish::default()
        };
        let mut token = self.token_of(wish, 0);
        if !secret.is_empty() {
            secret.clone_into(&mut token.secret);
        }
        self.bootstrapped_at = Some(token.index);
        self.tokens.push(token.clone());
        Ok(token)
    }

    pub(super) fn create(&mut self, wish: Wish) -> Result<Token, Refusal> {
        let knows_expiry = self.rules.version == Version::Current;
        let nanos = if knows_expiry { wish.expiration_nanos() } else { Ok(0) };
        let nanos = nanos.map_err(|text| Refusal::new(400, text))?;
        if !wish.accessor.is_empty() {
            let known = self.tokens.iter().any(|token| token.accessor == wish.accessor);
            return Err(if known {
                Refusal::new(501, "this fake changes no tokens")
            } else {
                Refusal::new(400, format!("cannot find token {}", wish.accessor))
            });
        }
        let (min, max) = (self.rules.min_expiration, self.rules.max_expiration);
        let faults = wish.faults(nanos, min, max);
        if !faults.is_empty() {
            return Err(Refusal::new(400, format!("token 0 invalid: {}", listed_errors(&faults))));
        }
        let token = self.token_of(wish, nanos);
        self.tokens.push(token.clone());
        Ok(token)
    }

    pub(super) fn delete(&mut self, accessor: &str) -> Result<(), Refusal> {
        if accessor.len() != 36 {
            let text = "token lookup failed: acl token lookup failed: index error: UUID must be \
                        36 characters";
            return Err(Refusal::new(400, text));
        }
        if self.find(accessor).is_none() {
            let text = format!("Cannot delete nonexistent tokens: {accessor}");
            return Err(Refusal::new(400, text));
        }
        self.remove(accessor);
        Ok(())
    }

    pub(super) fn remove(&mut self, accessor: &str) {
        self.index += 1;
        self.tokens.retain(|token| token.accessor != accessor);
    }

    pub(super) fn find(&self, accessor: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.accessor == accessor)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter()
    }

    pub(super) fn list(&self, search: &Search<'_>) -> Result<Page, Refusal> {
        if !search.prefix.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            let text = "acl token lookup failed: index error: Invalid UUID: encoding/hex: invalid \
                        byte";
            return Err(Refusal::new(500, text));
        }
        let mut tokens: Vec<_> =
            self.tokens.iter().filter(|token| token.accessor.starts_with(search.prefix)).collect();
        if self.rules.version == Version::BeforeExpiry {
            return Ok(Page { tokens: tokens.into_iter().cloned().collect(), next: None });
        }
        let by_accessor = !search.prefix.is_empty();
        let place = |token: &Token| match by_accessor {
            true => token.accessor.clone(),
            false => format!("{}.{}", token.index, token.accessor),
        };
        if by_accessor {
            tokens.sort_by(|a, b| a.accessor.cmp(&b.accessor));
        }
        let wanted = filter(search.filter)?;
        let begin =
            |token: &&Token| !search.next_token.is_empty() && place(token) != search.next_token;
        let mut matching =
            tokens.into_iter().skip_while(begin).filter(|token| wanted.matches(&token.name));
        let most = if search.per_page == 0 { usize::MAX } else { search.per_page };
        let page: Vec<Token> = matching.by_ref().take(most).cloned().collect();
        let next = matching.next().map(place);
        Ok(Page { tokens: page, next })
    }

    pub(super) fn policies(&self) -> &BTreeMap<String, Policy> {
        &self.policies
    }

    pub(super) fn change_policies(&mut self) -> &mut BTreeMap<String, Policy> {
        self.index += 1;
        &mut self.policies
    }

    fn token_of(&mut self, wish: Wish, nanos: i64) -> Token {
        self.index += 1;
        let mut hash = [0; 32];
        self.rules.entropy.fill(&mut hash);
        let (created, asked) = (self.now(), u64::try_from(nanos).unwrap_or_default());
        let expires = (asked > 0).then(|| created.plus(std::time::Duration::from_nanos(asked)));
        Token {
            accessor: self.rules.entropy.uuid(),
            secret: self.rules.entropy.uuid(),
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
        self.rules.clock.now()
    }
}

/// What a filter lets through.
enum Wanted<'a> {
    All,
    Named(&'a str),
    Containing(&'a str),
}

impl Wanted<'_> {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(wanted) => name == *wanted,
            Self::Containing(part) => name.contains(part),
        }
    }
}

fn filter(text: &str) -> Result<Wanted<'_>, Refusal> {
    let quoted = |text: &'_ str| -> Option<usize> {
        let inner = text.strip_prefix('"')?.strip_suffix('"')?;
        (!inner.contains('"')).then_some(inner.len())
    };
    let text = text.trim();
    if text.is_empty() {
        return Ok(Wanted::All);
    }
    for (operator, make) in [
        ("Name == ", Wanted::Named as fn(_) -> _),
        ("Name contains ", Wanted::Containing as fn(_) -> _),
    ] {
        if let Some(value) = text.strip_prefix(operator)
            && quoted(value).is_some()
        {
            return Ok(make(value.trim_matches('"')));
        }
    }
    let why = "failed to create result paginator: failed to read filter expression";
    Err(Refusal::new(400, why))
}

/// As Nomad lists errors.
fn listed_errors(faults: &[String]) -> String {
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
