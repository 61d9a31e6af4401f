//! `create` and `create-orphan`.

use std::collections::BTreeSet;

use strongroom_sdk::{CommaList, DurationSecs, Input, KeyValues};
use strongroom_token::NewToken;
use strongroom_types::{PolicyName, Secret, Ttl};

use super::{auth_answer, write};
use crate::endpoint::{Access, Call, Endpoint, Handlers, handler};
use crate::error::Error;
use crate::leases::lifetimes::{Bounds, Granted, at_issue, of_period};
use crate::pipeline::Caller;
use crate::request::{Answer, Issued};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "create",
        help: "A new token, child of the caller's.",
        fields: &[CreateInput::FIELDS],
        handlers: Handlers { write: handler!(create), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "create-orphan",
        help: "A new token without parent.",
        fields: &[CreateInput::FIELDS],
        handlers: Handlers { write: handler!(create_orphan), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "create/{role}",
        help: "A new token after the rules of a role. There are no roles yet.",
        fields: &[],
        handlers: Handlers { write: handler!(create_by_role), ..Handlers::NONE },
        access: Access::Policy,
    },
];

#[derive(Input)]
struct CreateInput {
    /// A chosen id; needs root or sudo.
    id: Option<Secret<String>>,
    /// What the token may do; the caller's policies if not given.
    policies: CommaList,
    /// Kept with the token.
    meta: Option<KeyValues>,
    /// Make an orphan; needs root or sudo.
    no_parent: bool,
    /// Leave the default policy out.
    no_default_policy: bool,
    /// Whether it can be renewed.
    #[field(default = "true")]
    renewable: bool,
    /// Its lifetime.
    ttl: DurationSecs,
    /// The older name of `ttl`.
    lease: DurationSecs,
    /// `service`.
    #[field(rename = "type")]
    token_type: String,
    /// The age beyond which no renewal goes.
    explicit_max_ttl: DurationSecs,
    /// Shown as `token-<name>`.
    #[field(default = "token")]
    display_name: String,
    /// How many requests it may make.
    num_uses: i64,
    /// Each renewal gives this lifetime, without end; needs root or sudo.
    period: DurationSecs,
    /// Not built.
    entity_alias: String,
}

async fn create(call: &Call) -> Result<Answer, Error> {
    let input: CreateInput = call.input()?;
    let orphan = input.no_parent;
    make(call, input, orphan, "auth/token/create").await
}

async fn create_by_role(call: &Call) -> Result<Answer, Error> {
    Err(Error::invalid(format!("unknown role {}", call.captured())))
}

async fn create_orphan(call: &Call) -> Result<Answer, Error> {
    let mut input: CreateInput = call.input()?;
    // The right to this path is the right to make orphans.
    input.no_parent = false;
    make(call, input, true, "auth/token/create-orphan").await
}

async fn make(call: &Call, input: CreateInput, orphan: bool, path: &str) -> Result<Answer, Error> {
    let caller = call.caller()?;
    let parent = &caller.found;
    if parent.token.uses_left.is_some() || caller.last_use {
        return Err(Error::invalid("restricted use token cannot generate child tokens"));
    }
    if input.num_uses < 0 {
        return Err(Error::invalid("number of uses cannot be negative"));
    }
    let num_uses =
        u32::try_from(input.num_uses).map_err(|_| Error::invalid("number of uses is too large"))?;
    match input.token_type.as_str() {
        "" | "service" => {}
        "batch" => return Err(Error::unbuilt("the token type \"batch\"")),
        _ => return Err(Error::invalid("invalid 'token_type' value")),
    }
    if !input.entity_alias.is_empty() {
        return Err(Error::invalid(
            "'entity_alias' is only allowed in combination with token role",
        ));
    }
    let sudo = caller.acl.allows(path, strongroom_policy::Capability::Update, true);
    check_privileges(&input, sudo)?;
    let (policies, mut warnings) = policies(call, caller, &input, sudo)?;
    let is_root = policies.iter().any(PolicyName::is_root);
    let granted = lifetime(call, caller, &input, is_root)?;
    warnings.extend(granted.warnings);
    let renewable = input.renewable && !granted.ttl.is_zero();
    let new = NewToken {
        id: chosen_id(input.id)?,
        parent: (!orphan).then(|| parent.key.clone()),
        policies,
        path: path.to_owned(),
        display_name: display_name(&input.display_name),
        meta: input.meta.map(|meta| meta.0),
        ttl: granted.ttl,
        renewable,
        period: input.period.0,
        explicit_max_ttl: input.explicit_max_ttl.0,
        num_uses,
    };
    let created = write(&call.open, new).await?;
    let id = created.id.expose_secret();
    let answer = auth_answer(id, &created.token, granted.ttl.as_secs(), warnings)?;
    Ok(answer.issuing(Issued::Token(created.key)))
}

fn check_privileges(input: &CreateInput, sudo: bool) -> Result<(), Error> {
    let needs = [
        (input.id.is_some(), "specify token id"),
        (input.no_parent, "create orphan token"),
        (!input.period.0.is_zero(), "create periodic token"),
    ];
    match needs.iter().find(|(asked, _)| *asked && !sudo) {
        Some((_, what)) => {
            Err(Error::invalid(format!("root or sudo privileges required to {what}")))
        }
        None => Ok(()),
    }
}

/// Sorted, each once. Without `sudo` no more than the caller has; `root` only from root.
fn policies(
    call: &Call,
    caller: &Caller,
    input: &CreateInput,
    sudo: bool,
) -> Result<(Vec<PolicyName>, Vec<String>), Error> {
    let own = &caller.found.token.policies;
    let mut asked = BTreeSet::new();
    for text in &input.policies.0 {
        let name = PolicyName::parse(text).map_err(|error| Error::invalid(error.to_string()))?;
        if name.is_response_wrapping() {
            // It makes a wrapping token, and those are made by wrapping something.
            return Err(Error::invalid(format!("cannot assign policy {:?}", name.as_str())));
        }
        asked.insert(name);
    }
    let inherits = asked.is_empty();
    if inherits {
        asked.extend(own.iter().cloned());
    }
    let from_root = caller.found.token.is_root();
    let has = |name: &PolicyName| own.contains(name) || *name == PolicyName::default_policy();
    if !from_root && !sudo && !asked.iter().all(has) {
        return Err(Error::invalid("child policies must be subset of parent"));
    }
    if asked.iter().any(PolicyName::is_root) && !from_root {
        return Err(Error::invalid(
            "root tokens may not be created without parent token being root",
        ));
    }
    if asked.iter().any(PolicyName::is_root) {
        if asked.len() > 1 && !inherits {
            return Err(Error::invalid("root tokens may not have other policies"));
        }
        return Ok((vec![PolicyName::root()], Vec::new()));
    }
    if input.no_default_policy {
        asked.remove(&PolicyName::default_policy());
    } else if !inherits || own.contains(&PolicyName::default_policy()) {
        asked.insert(PolicyName::default_policy());
    }
    let missing = asked.iter().filter(|name| !call.open.stores.policies.knows(name));
    let warnings =
        missing.map(|name| format!("Policy {:?} does not exist", name.as_str())).collect();
    Ok((asked.into_iter().collect(), warnings))
}

/// A root token lives for ever unless it asks for less, and one that expires can't make one that
/// doesn't.
fn lifetime(
    call: &Call,
    caller: &Caller,
    input: &CreateInput,
    is_root: bool,
) -> Result<Granted, Error> {
    let open = &call.open;
    let asked = if input.ttl.0.is_zero() { input.lease.0 } else { input.ttl.0 };
    let explicit_max = input.explicit_max_ttl.0;
    let period = input.period.0;
    if is_root && asked.is_zero() && period.is_zero() && explicit_max.is_zero() {
        if caller.found.token.expires.is_some() {
            return Err(Error::invalid(
                "expiring root tokens cannot create non-expiring root tokens",
            ));
        }
        return Ok(Granted { ttl: Ttl::ZERO, warnings: Vec::new() });
    }
    let mount = open.token_lifetimes();
    if !period.is_zero() {
        return Ok(of_period(period, mount, explicit_max));
    }
    Ok(at_issue(asked, Bounds { explicit_max, ..Bounds::of(mount) }))
}

fn chosen_id(id: Option<Secret<String>>) -> Result<Option<Secret<String>>, Error> {
    let Some(id) = id else { return Ok(None) };
    let text = id.expose_secret();
    let mut prefixes = ["s.", "b.", "r.", "hvs.", "hvb.", "hvr."].iter();
    if let Some(prefix) = prefixes.find(|prefix| text.starts_with(**prefix)) {
        let text = format!("custom token ID cannot have the '{prefix}' prefix");
        return Err(Error::invalid(text));
    }
    if text.contains('.') {
        return Err(Error::invalid("custom token ID cannot have a '.' in the value"));
    }
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Error::invalid("custom token ID must be printable ASCII without spaces"));
    }
    Ok(Some(id))
}

/// Letters, digits and dashes; everything else becomes a dash.
fn display_name(given: &str) -> String {
    if given == "token" || given.is_empty() {
        return "token".to_owned();
    }
    let plain = given.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' });
    let mut name = format!("token-{}", plain.collect::<String>());
    // What ends in something replaced isn't shown to end in a dash.
    if name.ends_with('-') {
        name.pop();
    }
    name
}
