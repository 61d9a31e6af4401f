//! `auth/token/create`, `create-orphan` and `create/<role>`: creating tokens.

use std::collections::BTreeSet;
use strongroom_engine::{LifetimeLimits, MountLifetimes};

use strongroom_core::auth_response::auth_response;
use strongroom_core::error::Error;
use strongroom_core::request::{CoreResponse, IssuedSecret};
use strongroom_core::tokens::TokenService;
use strongroom_policy::PolicyStore;
use strongroom_schema::{CommaList, Input, KeyValues};
use strongroom_telemetry::names;
use strongroom_token::{NewToken, TokenKey, TokenLifetime, TokenOptions, TokenRole};
use strongroom_types::duration::parse_nanos;
use strongroom_types::{PolicyName, Secret, TokenType, Ttl};

use super::policies::PolicyRequest;
use crate::endpoint::{ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, handler};

pub(super) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "create",
        help: "Creates a child token of the caller's token.",
        fields: &[CreateInput::FIELDS],
        handlers: VerbHandlers {
            write: handler!(create_token, policies, tokens),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "create-orphan",
        help: "Creates an orphan token.",
        fields: &[CreateInput::FIELDS],
        handlers: VerbHandlers {
            write: handler!(create_orphan_token, policies, tokens),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "create/{role_name}",
        help: "Creates a token with the settings of a token role.",
        fields: &[CreateInput::FIELDS],
        handlers: VerbHandlers {
            write: handler!(create_token_by_role, policies, tokens),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
];

#[derive(Input)]
struct CreateInput {
    /// The id of the new token. Requires a root token or `sudo`; generated if not given.
    id: Option<Secret<String>>,
    /// The policies of the token; those of the caller's token if not given.
    policies: CommaList,
    /// Metadata that is stored with the token and returned by lookups.
    meta: Option<KeyValues>,
    /// Whether to create an orphan token. Requires a root token or `sudo`; ignored with a role.
    no_parent: bool,
    /// Whether to leave out the policy `default`.
    no_default_policy: bool,
    /// Whether the token can be renewed.
    #[field(default = "true")]
    renewable: bool,
    /// The TTL of the token.
    ttl: String,
    /// Deprecated name of `ttl`.
    lease: String,
    /// The type of the token: `service` or `batch`.
    #[field(rename = "type")]
    token_type: String,
    /// The age beyond which the token cannot be renewed.
    explicit_max_ttl: String,
    /// The display name, which gets the prefix `token-`.
    #[field(default = "token")]
    display_name: String,
    /// The number of requests the token can be used for; 0 for no limit.
    num_uses: i64,
    /// Makes the token periodic: each renewal sets its TTL to this period, without a maximum TTL
    /// except `explicit_max_ttl`. Requires a root token or `sudo`.
    period: String,
    /// Not supported.
    entity_alias: String,
}

/// How a token is created: through which of the three paths, and by which role.
struct CreateMode {
    /// The path of the request, without the role's suffix.
    path: String,
    orphan: bool,
    role: Option<(String, TokenRole)>,
}

impl CreateMode {
    fn role(&self) -> Option<&TokenRole> {
        self.role.as_ref().map(|(_, role)| role)
    }

    /// The path recorded in the token, which is also the prefix of its lease id.
    /// A token as its parent's child or as an orphan.
    fn new_token(
        &self,
        parent: &TokenKey,
        display_name: String,
        policies: Vec<PolicyName>,
        lifetime: TokenLifetime,
    ) -> NewToken {
        let path = self.token_path();
        if self.orphan {
            NewToken::orphan(path, display_name, policies, lifetime)
        } else {
            NewToken::child(parent.clone(), path, display_name, policies, lifetime)
        }
    }

    fn token_path(&self) -> String {
        match self.role().filter(|role| !role.path_suffix.is_empty()) {
            Some(role) => format!("{}/{}", self.path, role.path_suffix),
            None => self.path.clone(),
        }
    }
}

async fn create_token(
    call: &EndpointCall,
    policy_store: &PolicyStore,
    tokens: &TokenService,
) -> Result<CoreResponse, Error> {
    let input: CreateInput = call.parse_input()?;
    let orphan = input.no_parent;
    create_with_mode(
        call,
        policy_store,
        tokens,
        input,
        CreateMode { path: "auth/token/create".to_owned(), orphan, role: None },
    )
    .await
}

async fn create_orphan_token(
    call: &EndpointCall,
    policy_store: &PolicyStore,
    tokens: &TokenService,
) -> Result<CoreResponse, Error> {
    let mut input: CreateInput = call.parse_input()?;
    // Permission for this path implies permission to create orphans, so no `sudo` is needed.
    input.no_parent = false;
    let path = "auth/token/create-orphan".to_owned();
    create_with_mode(
        call,
        policy_store,
        tokens,
        input,
        CreateMode { path, orphan: true, role: None },
    )
    .await
}

async fn create_token_by_role(
    call: &EndpointCall,
    policy_store: &PolicyStore,
    tokens: &TokenService,
) -> Result<CoreResponse, Error> {
    let name = call.first_capture();
    let role = tokens.roles.get(name).await?;
    let Some((role, _)) = role else {
        return Err(Error::invalid(format!("unknown role {name}")));
    };
    let mut input: CreateInput = call.parse_input()?;
    // Permission to use a role implies permission for what it sets; the role decides about orphans.
    input.no_parent = false;
    let orphan = role.orphan;
    let role = Some((name.to_owned(), role));
    create_with_mode(
        call,
        policy_store,
        tokens,
        input,
        CreateMode { path: format!("auth/token/create/{name}"), orphan, role },
    )
    .await
}

async fn create_with_mode(
    call: &EndpointCall,
    policy_store: &PolicyStore,
    tokens: &TokenService,
    input: CreateInput,
    making: CreateMode,
) -> Result<CoreResponse, Error> {
    let caller = call.require_caller()?;
    let parent = &caller.stored_token;
    if parent.token.is_batch() {
        return Err(Error::invalid("batch tokens cannot create more tokens"));
    }
    if parent.token.uses_left.is_some() || caller.last_use {
        return Err(Error::invalid("restricted use token cannot generate child tokens"));
    }
    let token_type = resolve_token_type(&input.token_type, making.role())?;
    let times = RequestedDurations::from_input(&input)?;
    let num_uses = effective_num_uses(&input, making.role())?;
    check_batch_restrictions(token_type, &times, num_uses)?;
    check_entity_alias(&input.entity_alias, making.role())?;
    let sudo = caller.acl.allows(&making.path, strongroom_policy::Capability::Update, true);
    check_privileges(&input, &times, sudo)?;
    let policies = PolicyRequest {
        parent_policies: &parent.token.policies,
        requested: requested_policies(call, &input.policies)?,
        no_default: input.no_default_policy,
        sudo,
        role: making.role(),
    };
    let policies = policies.resolve()?;
    let is_root = policies.iter().any(PolicyName::is_root);
    if is_root && token_type == TokenType::Batch {
        return Err(Error::invalid("batch tokens cannot be root tokens"));
    }
    let expiring = parent.token.expires.is_some();
    let (ttl, mut warnings) =
        compute_lifetime(call, tokens, &times, making.role(), is_root, expiring)?;
    warnings.extend(unknown_policy_warnings(policy_store, &policies));
    let renewable = input.renewable
        && making.role().is_none_or(|role| role.renewable)
        && !ttl.is_zero()
        && token_type == TokenType::Service;
    let (period, explicit_max) = (times.period, times.explicit_max);
    let lifetime = TokenLifetime { ttl, period, explicit_max, renewable };
    let options = TokenOptions {
        id: validate_custom_id(input.id, token_type)?,
        meta: input.meta.map(|meta| meta.0),
        num_uses,
        bound_cidrs: making.role().map(|role| role.bound_cidrs.clone()).unwrap_or_default(),
        role: making.role.as_ref().map(|(name, _)| name.clone()),
    };
    let display_name = token_display_name(&input.display_name);
    let new = making.new_token(&parent.key, display_name, policies, lifetime);
    let new = new.with_options(options);
    let created = match token_type {
        TokenType::Service => tokens.create(new).await?,
        TokenType::Batch => {
            let sealed = tokens.store.create_batch_token(new, call.clock.now())?;
            metrics::counter!(names::TOKEN_CREATED).increment(1);
            sealed
        }
    };
    let id = created.id.expose_secret();
    let answer = auth_response(id, &created.token, ttl.as_secs(), warnings)?;
    Ok(match token_type {
        TokenType::Service => answer.with_issued_secret(IssuedSecret::Token(created.key)),
        // Batch tokens are not stored, so there is nothing to revoke.
        TokenType::Batch => answer,
    })
}

/// The type of the token to create. The request's choice counts unless the role mandates a type.
fn resolve_token_type(name: &str, role: Option<&TokenRole>) -> Result<TokenType, Error> {
    let setting = role.map(|role| role.token_type).unwrap_or_default();
    if name.is_empty() {
        return Ok(setting.resolve_type(None));
    }
    let requested = TokenType::parse(name);
    let requested = requested.ok_or_else(|| Error::invalid("invalid 'token_type' value"))?;
    Ok(setting.resolve_type(Some(requested.into())))
}

/// The durations of a request. Errors for invalid ones have the wording of existing servers.
struct RequestedDurations {
    ttl: Ttl,
    period: Ttl,
    explicit_max: Ttl,
}

impl RequestedDurations {
    fn from_input(input: &CreateInput) -> Result<Self, Error> {
        let read = |name: &str, text: &str| {
            let nanos = parse_nanos(text).map_err(|error| Error::invalid(error.to_string()))?;
            let ttl = Ttl::from_nanos(nanos);
            ttl.ok_or_else(|| Error::invalid(format!("{name} must be positive")))
        };
        let (ttl, lease) = (read("ttl", &input.ttl)?, read("lease", &input.lease)?);
        Ok(Self {
            ttl: ttl.nonzero_or(lease),
            period: read("period", &input.period)?,
            explicit_max: read("explicit_max_ttl", &input.explicit_max_ttl)?,
        })
    }
}

/// The lower of the use counts of the request and the role; zero means unlimited.
fn effective_num_uses(input: &CreateInput, role: Option<&TokenRole>) -> Result<u32, Error> {
    if input.num_uses < 0 {
        return Err(Error::invalid("number of uses cannot be negative"));
    }
    let asked =
        u32::try_from(input.num_uses).map_err(|_| Error::invalid("number of uses is too large"))?;
    let given = role.map_or(0, |role| role.num_uses);
    Ok(if asked == 0 || given == 0 { asked.max(given) } else { asked.min(given) })
}

/// Refuses settings that a batch token can't have, because it has no stored record.
fn check_batch_restrictions(
    token_type: TokenType,
    times: &RequestedDurations,
    num_uses: u32,
) -> Result<(), Error> {
    let asked = [
        (num_uses > 0, "num_uses"),
        (!times.period.is_zero(), "period"),
        (!times.explicit_max.is_zero(), "explicit_max_ttl"),
    ];
    match asked.iter().find(|(asked, _)| *asked && token_type == TokenType::Batch) {
        Some((_, what)) => Err(Error::invalid(format!("batch tokens cannot have {what:?} set"))),
        None => Ok(()),
    }
}

/// Refuses every entity alias: they are not implemented, so no role allows one.
fn check_entity_alias(alias: &str, role: Option<&TokenRole>) -> Result<(), Error> {
    match (alias, role) {
        ("", _) => Ok(()),
        (_, Some(_)) => Err(Error::invalid("invalid 'entity_alias' value")),
        (_, None) => {
            Err(Error::invalid("'entity_alias' is only allowed in combination with token role"))
        }
    }
}

fn check_privileges(
    input: &CreateInput,
    times: &RequestedDurations,
    sudo: bool,
) -> Result<(), Error> {
    let needs = [
        (input.id.is_some(), "specify token id"),
        (input.no_parent, "create orphan token"),
        (!times.period.is_zero(), "create periodic token"),
    ];
    match needs.iter().find(|(asked, _)| *asked && !sudo) {
        Some((_, what)) => {
            Err(Error::invalid(format!("root or sudo privileges required to {what}")))
        }
        None => Ok(()),
    }
}

/// The requested policies; `None` if the field is missing, `null` or `[]`. A list of blank entries
/// requests the empty set instead, so that it doesn't fall back to all of the caller's policies.
fn requested_policies(
    call: &EndpointCall,
    given: &CommaList,
) -> Result<Option<BTreeSet<PolicyName>>, Error> {
    let mut asked = BTreeSet::new();
    for text in &given.0 {
        asked.insert(PolicyName::parse(text).map_err(|error| Error::invalid(error.to_string()))?);
    }
    let json = call.fields.get("policies").map_or("null", |raw| raw.get());
    let nothing =
        json == "null" || json.bytes().all(|b| matches!(b, b'[' | b']') || b.is_ascii_whitespace());
    Ok((!nothing).then_some(asked))
}

fn unknown_policy_warnings(policy_store: &PolicyStore, policies: &[PolicyName]) -> Vec<String> {
    let missing = policies.iter().filter(|name| !policy_store.contains(name));
    missing.map(|name| format!("Policy {:?} does not exist", name.as_str())).collect()
}

/// Computes the lifetime of a new token. A root token doesn't expire unless the request or the role
/// sets a limit; an expiring root token can't create a non-expiring one.
fn compute_lifetime(
    call: &EndpointCall,
    tokens: &TokenService,
    times: &RequestedDurations,
    role: Option<&TokenRole>,
    is_root: bool,
    expiring: bool,
) -> Result<(Ttl, Vec<String>), Error> {
    let mut warnings = Vec::new();
    let mut lesser = |asked: Ttl, given: Ttl, what: &str| {
        let lesser = asked.nonzero_or(given).capped_by(given);
        if !asked.is_zero() && !given.is_zero() {
            warnings.push(format!(
                "{what} specified both during creation call and in role; using the lesser value of {} seconds",
                lesser.as_secs()
            ));
        }
        lesser
    };
    let given = |of: fn(&TokenRole) -> Ttl| role.map_or(Ttl::ZERO, of);
    let explicit_max =
        lesser(times.explicit_max, given(|role| role.explicit_max_ttl), "Explicit max TTL");
    let period = lesser(times.period, given(|role| role.period), "Period");
    if is_root && times.ttl.is_zero() && period.is_zero() && explicit_max.is_zero() {
        if expiring {
            return Err(Error::invalid(
                "expiring root tokens cannot create non-expiring root tokens",
            ));
        }
        return Ok((Ttl::ZERO, warnings));
    }
    let limits = token_limits(tokens.lifetimes(), period, explicit_max);
    // A root token with only an explicit maximum gets that as its TTL.
    let asked =
        if is_root && period.is_zero() { times.ttl.nonzero_or(explicit_max) } else { times.ttl };
    let now = call.clock.now();
    let granted = limits.grant(asked, Ttl::ZERO, now, now);
    let granted = granted.ok_or_else(|| Error::internal("the maximum TTL of tokens is zero"))?;
    warnings.extend(granted.warnings);
    Ok((granted.ttl, warnings))
}

/// The limits on a token that was not created by a login. The roles of `auth/token` have no other
/// maximum than the explicit one.
pub(super) fn token_limits(
    mount: MountLifetimes,
    period: Ttl,
    explicit_max: Ttl,
) -> LifetimeLimits {
    LifetimeLimits { period, explicit_max, ..LifetimeLimits::of_mount(mount) }
}

fn validate_custom_id(
    id: Option<Secret<String>>,
    token_type: TokenType,
) -> Result<Option<Secret<String>>, Error> {
    let Some(id) = id else { return Ok(None) };
    if token_type == TokenType::Batch {
        return Err(Error::invalid("batch tokens cannot have \"id\" set"));
    }
    let text = id.expose_secret();
    let prefixes = ["hvs.", "hvb.", "hvr.", "s.", "b.", "r."];
    if let Some(prefix) = prefixes.iter().find(|prefix| text.starts_with(**prefix)) {
        return Err(Error::invalid(format!("custom token ID cannot have the '{prefix}' prefix")));
    }
    if text.contains('.') {
        return Err(Error::invalid("custom token ID cannot have a '.' in the value"));
    }
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Error::invalid("custom token ID must be printable ASCII without spaces"));
    }
    Ok(Some(id))
}

/// The display name `token-<given>`, in which every character but ASCII letters, digits and dashes
/// is replaced by a dash.
fn token_display_name(given: &str) -> String {
    if given == "token" || given.is_empty() {
        return "token".to_owned();
    }
    let plain = given.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' });
    let mut name = format!("token-{}", plain.collect::<String>());
    // Don't end in a dash.
    if name.ends_with('-') {
        name.pop();
    }
    name
}
