//! `auth/token/roles`: token roles, by which `create/<role>` creates tokens.

use std::collections::BTreeSet;

use serde::Serialize;
use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_core::tokens::TokenService;
use strongroom_mounts::system_view::ServerInfo;
use strongroom_schema::{CommaList, DurationSecs, Input};
use strongroom_token::TokenRole;
use strongroom_types::{Cidr, ErrorKind, PolicyName, RawObject, TokenTypeSetting, Ttl};

use crate::document_endpoints::DocumentEndpoints;
use crate::endpoint::{
    ApiEndpoint, EndpointCall, data_response, empty_or_warnings_response, handler, keys_response,
    not_found,
};

pub(super) const ENDPOINTS: &[ApiEndpoint] = &DocumentEndpoints {
    list_pattern: "roles",
    list_help: "Lists the names of all token roles.",
    list: handler!(list_roles, tokens),
    read_returns_list: false,
    pattern: "roles/{role_name}",
    help: "Reads, writes or deletes a token role: the settings of the tokens created with it.",
    fields: &[RoleInput::FIELDS],
    read: handler!(read_role, tokens),
    write: handler!(write_role, tokens, server_info),
    delete: handler!(delete_role, tokens),
}
.endpoints();

const MAX_ROLE_NAME_BYTES: usize = 512;
const MAX_CIDRS: usize = 256;

/// Input of a role update. Fields that aren't given keep their values.
#[derive(Input)]
struct RoleInput {
    /// The policies that its tokens may have. They get all of these if the request names none.
    allowed_policies: Option<CommaList>,
    /// Like `allowed_policies`; `*` matches any text.
    allowed_policies_glob: Option<CommaList>,
    /// The policies that its tokens may not have.
    disallowed_policies: Option<CommaList>,
    /// Like `disallowed_policies`; `*` matches any text.
    disallowed_policies_glob: Option<CommaList>,
    /// Not supported.
    allowed_entity_aliases: Option<CommaList>,
    /// Whether its tokens are orphans.
    orphan: Option<bool>,
    /// Whether its tokens can be renewed.
    renewable: Option<bool>,
    /// A suffix of the path of its tokens, so that their leases can be revoked by prefix.
    path_suffix: Option<String>,
    /// The networks from which its tokens may be used.
    token_bound_cidrs: Option<CommaList>,
    /// Deprecated name of `token_bound_cidrs`.
    bound_cidrs: Option<CommaList>,
    /// The age beyond which its tokens cannot be renewed.
    token_explicit_max_ttl: Option<DurationSecs>,
    /// Deprecated name of `token_explicit_max_ttl`.
    explicit_max_ttl: Option<DurationSecs>,
    /// Makes its tokens periodic: each renewal sets their TTL to this period, without a maximum TTL
    /// except `token_explicit_max_ttl`.
    token_period: Option<DurationSecs>,
    /// Deprecated name of `token_period`.
    period: Option<DurationSecs>,
    /// Whether to leave out the policy `default`.
    token_no_default_policy: Option<bool>,
    /// The number of requests each token can be used for; 0 for no limit.
    token_num_uses: Option<i64>,
    /// The type of its tokens: `service`, `batch`, `default-service` or `default-batch`.
    token_type: Option<String>,
}

/// A role as existing servers return it: some fields are omitted if empty.
#[derive(Serialize)]
struct TokenRoleResponse<'a> {
    allowed_entity_aliases: Option<()>,
    allowed_policies: &'a BTreeSet<PolicyName>,
    allowed_policies_glob: &'a BTreeSet<PolicyName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_cidrs: Option<&'a [Cidr]>,
    disallowed_policies: &'a BTreeSet<PolicyName>,
    disallowed_policies_glob: &'a BTreeSet<PolicyName>,
    explicit_max_ttl: u64,
    name: &'a str,
    orphan: bool,
    path_suffix: &'a str,
    period: u64,
    renewable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_bound_cidrs: Option<&'a [Cidr]>,
    token_explicit_max_ttl: u64,
    token_no_default_policy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_num_uses: Option<u32>,
    token_period: u64,
    token_type: &'static str,
}

async fn list_roles(_: &EndpointCall, tokens: &TokenService) -> Result<CoreResponse, Error> {
    keys_response(&tokens.roles.names().await?)
}

async fn read_role(call: &EndpointCall, tokens: &TokenService) -> Result<CoreResponse, Error> {
    let name = call.first_capture();
    let (role, _) = tokens.roles.get(name).await?.ok_or_else(not_found)?;
    let legacy = |is: bool, ttl: Ttl| if is { ttl.as_secs() } else { 0 };
    let cidrs = Some(role.bound_cidrs.as_slice()).filter(|cidrs| !cidrs.is_empty());
    let shown = TokenRoleResponse {
        allowed_entity_aliases: None,
        allowed_policies: &role.allowed_policies,
        allowed_policies_glob: &role.allowed_policies_glob,
        bound_cidrs: cidrs.filter(|_| role.legacy.bound_cidrs),
        disallowed_policies: &role.disallowed_policies,
        disallowed_policies_glob: &role.disallowed_policies_glob,
        explicit_max_ttl: legacy(role.legacy.explicit_max_ttl, role.explicit_max_ttl),
        name,
        orphan: role.orphan,
        path_suffix: &role.path_suffix,
        period: legacy(role.legacy.period, role.period),
        renewable: role.renewable,
        token_bound_cidrs: cidrs,
        token_explicit_max_ttl: role.explicit_max_ttl.as_secs(),
        token_no_default_policy: role.no_default_policy,
        token_num_uses: (role.num_uses > 0).then_some(role.num_uses),
        token_period: role.period.as_secs(),
        token_type: role.token_type.as_str(),
    };
    Ok(data_response(RawObject::from_serialize(&shown).map_err(Error::unencodable)?))
}

async fn write_role(
    call: &EndpointCall,
    tokens: &TokenService,
    server_info: &ServerInfo,
) -> Result<CoreResponse, Error> {
    let input: RoleInput = call.parse_input()?;
    let name = call.first_capture();
    if name.len() > MAX_ROLE_NAME_BYTES {
        return Err(Error::invalid(format!(
            "a role's name has at most {MAX_ROLE_NAME_BYTES} bytes"
        )));
    }
    let known = tokens.roles.get(name).await?;
    let (mut role, version) = match known {
        Some((role, version)) => (role, Some(version)),
        None => (TokenRole::default(), None),
    };
    let mut warnings = Vec::new();
    apply_input(&mut role, input, &mut warnings)?;
    check_batch_role(&role)?;
    let longest = server_info.lifetimes.max;
    if role.explicit_max_ttl > longest {
        warnings.push(format!(
            "Given explicit max TTL of {} is greater than system/mount allowed value of {} seconds; \
             tokens made by this role live for no longer than that",
            role.explicit_max_ttl.as_secs(),
            longest.as_secs()
        ));
    }
    match tokens.roles.put(name, &role, version).await {
        Ok(()) => Ok(empty_or_warnings_response(warnings)),
        Err(error) if error.is_precondition() => Err(Error::with_message(
            ErrorKind::Unavailable,
            "the role was changed at the same time; try again",
        )),
        Err(error) => Err(error.into()),
    }
}

async fn delete_role(call: &EndpointCall, tokens: &TokenService) -> Result<CoreResponse, Error> {
    tokens.roles.delete(call.first_capture()).await?;
    Ok(CoreResponse::Nothing)
}

fn apply_input(
    role: &mut TokenRole,
    input: RoleInput,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    if input.allowed_entity_aliases.is_some_and(|aliases| !aliases.0.is_empty()) {
        return Err(Error::not_implemented("\"allowed_entity_aliases\""));
    }
    set_if_given(
        &mut role.allowed_policies,
        input.allowed_policies.as_ref().map(parse_policies).transpose()?,
    );
    set_if_given(
        &mut role.allowed_policies_glob,
        input.allowed_policies_glob.as_ref().map(parse_policies).transpose()?,
    );
    set_if_given(
        &mut role.disallowed_policies,
        input.disallowed_policies.as_ref().map(parse_policies).transpose()?,
    );
    let globs = input.disallowed_policies_glob.as_ref().map(parse_policies).transpose()?;
    set_if_given(&mut role.disallowed_policies_glob, globs);
    set_if_given(&mut role.orphan, input.orphan);
    set_if_given(&mut role.renewable, input.renewable);
    set_if_given(&mut role.no_default_policy, input.token_no_default_policy);
    set_if_given(&mut role.path_suffix, input.path_suffix.map(parse_path_suffix).transpose()?);
    set_if_given(&mut role.num_uses, input.token_num_uses.map(parse_num_uses).transpose()?);
    set_if_given(
        &mut role.token_type,
        input.token_type.as_deref().map(parse_token_type).transpose()?,
    );
    let mut newer = |new: &'static str, old: &str, both: bool| {
        if both {
            warnings.push(format!(
                "Both '{new}' and deprecated '{old}' value supplied, ignoring the deprecated value"
            ));
        }
    };
    newer(
        "token_bound_cidrs",
        "bound_cidrs",
        input.token_bound_cidrs.is_some() && input.bound_cidrs.is_some(),
    );
    newer(
        "token_explicit_max_ttl",
        "explicit_max_ttl",
        input.token_explicit_max_ttl.is_some() && input.explicit_max_ttl.is_some(),
    );
    newer("token_period", "period", input.token_period.is_some() && input.period.is_some());
    let legacy = &mut role.legacy;
    let given =
        newer_or_deprecated(input.token_bound_cidrs, input.bound_cidrs, &mut legacy.bound_cidrs);
    set_if_given(&mut role.bound_cidrs, given.as_ref().map(parse_cidrs).transpose()?);
    let given = newer_or_deprecated(
        input.token_explicit_max_ttl,
        input.explicit_max_ttl,
        &mut legacy.explicit_max_ttl,
    );
    set_if_given(&mut role.explicit_max_ttl, given.map(|ttl| ttl.0));
    let given = newer_or_deprecated(input.token_period, input.period, &mut legacy.period);
    set_if_given(&mut role.period, given.map(|ttl| ttl.0));
    Ok(())
}

fn set_if_given<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}

/// The value of the newer field name, else of the deprecated one. `was_older` records which one was
/// used, because responses repeat a deprecated field only then.
fn newer_or_deprecated<T>(newer: Option<T>, older: Option<T>, was_older: &mut bool) -> Option<T> {
    if newer.is_some() || older.is_some() {
        *was_older = newer.is_none();
    }
    newer.or(older)
}

fn parse_policies(list: &CommaList) -> Result<BTreeSet<PolicyName>, Error> {
    let names = list.0.iter().map(|text| PolicyName::parse(text));
    names.collect::<Result<_, _>>().map_err(|error| Error::invalid(error.to_string()))
}

fn parse_cidrs(list: &CommaList) -> Result<Vec<Cidr>, Error> {
    if list.0.len() > MAX_CIDRS {
        let text = format!("a role has at most {MAX_CIDRS} networks");
        return Err(Error::invalid(text));
    }
    let unknown = |index: usize| {
        Error::invalid(format!(
            "error parsing role fields: error parsing address: entry {} is neither an IPv4 or IPv6 \
             address nor a network",
            index + 1
        ))
    };
    let read = |(index, text): (usize, &String)| Cidr::parse(text).ok_or_else(|| unknown(index));
    list.0.iter().enumerate().map(read).collect()
}

/// Validates a path suffix: one segment that begins and ends with a letter, digit or underscore.
/// Empty for none.
fn parse_path_suffix(text: String) -> Result<String, Error> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let inner = |c: char| word(c) || c == '-' || c == '.';
    let fits = (3..=256).contains(&text.len())
        && text.chars().all(inner)
        && text.starts_with(word)
        && text.ends_with(word);
    if text.is_empty() || fits {
        return Ok(text);
    }
    Err(Error::invalid(
        "given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w",
    ))
}

fn parse_num_uses(given: i64) -> Result<u32, Error> {
    if given < 0 {
        let text = "error parsing role fields: 'token_num_uses' cannot be negative";
        return Err(Error::invalid(text));
    }
    u32::try_from(given).map_err(|_| Error::invalid("number of uses is too large"))
}

fn parse_token_type(name: &str) -> Result<TokenTypeSetting, Error> {
    let unknown =
        "invalid 'token_type' value: use service, batch, default-service or default-batch";
    TokenTypeSetting::parse(name).ok_or_else(|| Error::invalid(unknown))
}

/// Refuses a role for batch tokens whose other settings need a stored token.
fn check_batch_role(role: &TokenRole) -> Result<(), Error> {
    if role.token_type != TokenTypeSetting::Batch {
        return Ok(());
    }
    let asks = [
        (!role.orphan, "non-orphan tokens"),
        (!role.period.is_zero(), "periodic tokens"),
        (role.renewable, "renewable tokens"),
        (!role.explicit_max_ttl.is_zero(), "tokens with an explicit max TTL"),
        (role.num_uses > 0, "tokens with limited use count"),
    ];
    match asks.iter().find(|(asks, _)| *asks) {
        Some((_, what)) => Err(Error::invalid(format!(
            "'token_type' cannot be 'batch' when role is set to generate {what}"
        ))),
        None => Ok(()),
    }
}
