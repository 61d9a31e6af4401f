//! `sys/capabilities-self`, `sys/capabilities` and `sys/capabilities-accessor`: the capabilities
//! of a token on paths.

use strongroom_core::error::Error;
use strongroom_core::pipeline::route;
use strongroom_core::request::CoreResponse;
use strongroom_core::tokens::TokenService;
use strongroom_core::unsealed::backend::Backends;
use strongroom_mounts::MountRegistry;
use strongroom_policy::PolicyStore;
use strongroom_policy::{Acl, Capabilities};
use strongroom_schema::{CommaList, Input};
use strongroom_token::StoredToken;
use strongroom_types::{Accessor, ErrorKind, Fields, RequestPath, Secret};

use crate::endpoint::{
    ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, data_response, handler,
};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "capabilities-self",
        help: "Returns the capabilities of the caller's token on paths.",
        fields: &[CapabilitiesSelfInput::FIELDS],
        handlers: VerbHandlers {
            write: handler!(capabilities_of_caller, mounts, backends),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "capabilities",
        help: "Returns the capabilities of a token on paths.",
        fields: &[CapabilitiesTokenInput::FIELDS],
        handlers: VerbHandlers {
            write: handler!(capabilities_of_token, policies, mounts, tokens, backends),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "capabilities-accessor",
        help: "Returns the capabilities of the token with an accessor on paths.",
        fields: &[CapabilitiesAccessorInput::FIELDS],
        handlers: VerbHandlers {
            write: handler!(capabilities_of_accessor, policies, mounts, tokens, backends),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
];

#[derive(Input)]
struct CapabilitiesSelfInput {
    /// The paths to check.
    paths: CommaList,
    /// Deprecated name of `paths`.
    path: CommaList,
    /// Ignored: the token of the request is used. Some clients repeat it here.
    #[expect(dead_code, reason = "accepted and ignored")]
    token: Option<Secret<String>>,
}

#[derive(Input)]
struct CapabilitiesTokenInput {
    /// The paths to check.
    paths: CommaList,
    /// Deprecated name of `paths`.
    path: CommaList,
    /// The token.
    token: Option<Secret<String>>,
}

#[derive(Input)]
struct CapabilitiesAccessorInput {
    /// The paths to check.
    paths: CommaList,
    /// Deprecated name of `paths`.
    path: CommaList,
    /// The accessor of the token.
    accessor: String,
}

async fn capabilities_of_caller(
    call: &EndpointCall,
    mounts: &MountRegistry,
    backends: &Backends,
) -> Result<CoreResponse, Error> {
    let CapabilitiesSelfInput { paths, path, .. } = call.parse_input_optional_token()?;
    capabilities_response(mounts, backends, &call.require_caller()?.acl, paths, path)
}

async fn capabilities_of_token(
    call: &EndpointCall,
    policy_store: &PolicyStore,
    mounts: &MountRegistry,
    tokens: &TokenService,
    backends: &Backends,
) -> Result<CoreResponse, Error> {
    let CapabilitiesTokenInput { paths, path, token } = call.parse_input_optional_token()?;
    let tokens = &tokens.store;
    let found = match &token {
        Some(token) => tokens.look_up(token.expose_secret(), call.clock.now()).await?,
        None => None,
    };
    let acl = acl_of(policy_store, found, "invalid token")?;
    capabilities_response(mounts, backends, &acl, paths, path)
}

async fn capabilities_of_accessor(
    call: &EndpointCall,
    policy_store: &PolicyStore,
    mounts: &MountRegistry,
    tokens: &TokenService,
    backends: &Backends,
) -> Result<CoreResponse, Error> {
    let CapabilitiesAccessorInput { paths, path, accessor } = call.parse_input_optional_token()?;
    if accessor.is_empty() {
        return Err(Error::invalid("missing accessor"));
    }
    let now = call.clock.now();
    let found = match Accessor::parse(&accessor) {
        Ok(accessor) => tokens.store.look_up_by_accessor(&accessor, now).await?,
        Err(_) => None,
    };
    let acl = acl_of(policy_store, found, "invalid accessor")?;
    capabilities_response(mounts, backends, &acl, paths, path)
}

fn acl_of(
    policy_store: &PolicyStore,
    found: Option<StoredToken>,
    unknown: &'static str,
) -> Result<Acl, Error> {
    let found = found.ok_or_else(|| Error::collected(ErrorKind::Invalid, unknown))?;
    Ok(policy_store.acl_for(&found.token.policies))
}

fn capabilities_response(
    mounts: &MountRegistry,
    backends: &Backends,
    acl: &Acl,
    paths: CommaList,
    path: CommaList,
) -> Result<CoreResponse, Error> {
    let paths = if paths.0.is_empty() { path.0 } else { paths.0 };
    if paths.is_empty() {
        return Err(Error::invalid("paths must be supplied"));
    }
    let mut answer = Fields::new();
    for path in &paths {
        answer.set(path.as_str(), &capability_names(mounts, backends, acl, path));
    }
    if let [only] = paths.as_slice() {
        answer.set("capabilities", &capability_names(mounts, backends, acl, only));
    }
    Ok(data_response(answer.to_object()))
}

/// The names of the capabilities that a request to `path` would be checked against. Paths that the
/// pipeline rejects before authorization yield `deny`.
fn capability_names(
    mounts: &MountRegistry,
    backends: &Backends,
    acl: &Acl,
    path: &str,
) -> Vec<&'static str> {
    if acl.is_root() {
        return vec!["root"];
    }
    let path = path.trim_start_matches('/');
    if RequestPath::parse(path).is_err() {
        return Capabilities::NONE.names();
    }
    let judged = route::policy_path_for(mounts, backends, path);
    judged.capabilities(acl, path, Acl::folder_capabilities).names()
}
