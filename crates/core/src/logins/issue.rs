//! Issues the token of a login. One batch writes the token, its lease and the login record for
//! renewals, so a crash before that leaves nothing behind.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use strongroom_engine::{EngineAuth, GrantedLifetime, LifetimeLimits, MountLifetimes};
use strongroom_mounts::handle::InFlight;
use strongroom_mounts::{ActiveMount, MountEntry};
use strongroom_token::{NewToken, TokenLifetime, TokenOptions};
use strongroom_types::{Cidr, ErrorKind, MountKind, PolicyName, TokenType};
use strongroom_types::{Ttl, path::is_printable};

use super::LoginService;
use super::record::LoginRecord;
use crate::auth_response::auth_response;
use crate::error::{Error, sanitise_warnings};
use crate::headers;
use crate::request::{CoreResponse, IssuedSecret};

/// A login that an auth method has accepted.
pub(crate) struct LoginContext<'a> {
    /// The mount of the auth method.
    pub(crate) mounted: &'a Arc<ActiveMount>,
    /// The path of the request, including the mount.
    pub(crate) path: &'a str,
    /// The path of the request below the mount.
    pub(crate) relative_path: &'a str,
    /// Whether the path is unauthenticated; only such paths can log in.
    pub(crate) unauthenticated: bool,
    /// The client's address; `None` on a Unix socket.
    pub(crate) address: Option<IpAddr>,
    /// The auth block that the method returned.
    pub(crate) auth: EngineAuth,
    /// The in-flight guard of the request. Removing the mount waits for it, and then revokes what
    /// was written until then.
    pub(crate) in_flight: InFlight,
}

/// The maximum length of a display name, in characters; longer ones are cut off.
const MAX_DISPLAY_NAME_CHARS: usize = 512;

impl LoginService {
    /// Issues the token of a login, and returns the response with its `auth` object.
    ///
    /// Cancel safety: the token is written with its lease, or not at all.
    pub(crate) async fn issue_token(&self, login: LoginContext<'_>) -> Result<CoreResponse, Error> {
        let LoginContext {
            mounted,
            path,
            relative_path,
            unauthenticated,
            address,
            auth,
            in_flight,
        } = login;
        let entry = &mounted.entry;
        if entry.kind != MountKind::Auth || !unauthenticated {
            let text = "the engine returned a login on a path where none is allowed";
            return Err(Error::internal(text));
        }
        let token_type = entry.config.token_type.resolve_type(auth.token_type);
        let batch = token_type == TokenType::Batch;
        check_batch_and_alias(&auth, batch)?;
        let bound_cidrs = parse_bound_cidrs(&auth)?;
        let is_allowed = |address| bound_cidrs.iter().any(|cidr| cidr.contains(address));
        if !bound_cidrs.is_empty() && !address.is_some_and(is_allowed) {
            return Err(Error::invalid_token());
        }
        let policies = token_policies(&auth)?;
        let GrantedLifetime { ttl, mut warnings, .. } = self.login_lifetime(entry, &auth)?;
        let path = path.trim_end_matches('/').to_owned();
        let lifetime = TokenLifetime {
            ttl,
            period: auth.period,
            explicit_max: auth.explicit_max_ttl,
            renewable: auth.renewable && !batch,
        };
        let name = login_display_name(entry, &auth.display_name);
        let new = NewToken::orphan(path, name, policies, lifetime).with_options(TokenOptions {
            id: None,
            meta: (!auth.metadata.is_empty()).then(|| auth.metadata.clone()),
            num_uses: auth.num_uses,
            role: None,
            bound_cidrs,
        });
        let record =
            LoginRecord::new(entry.uuid.clone(), relative_path.to_owned(), new.policies(), &auth);
        let record = record.to_json().map_err(Error::unencodable)?;
        let tokens = self.tokens.clone();
        let writing = async move {
            let _in_flight = in_flight;
            if batch {
                return Ok(tokens.store.create_batch_token(new, tokens.leases.clock().now())?);
            }
            tokens.create_for_login(new, Some(record)).await
        };
        let created = self.tokens.leases.detached.run(writing).await?;
        warnings.extend(sanitise_warnings(&auth.data.warnings));
        let id = created.id.expose_secret();
        let mut response = auth_response(id, &created.token, ttl.as_secs(), warnings)?;
        if let CoreResponse::Envelope(envelope) = &mut response {
            let data = auth.data.object;
            envelope.data = (data.as_bytes() != b"null").then_some(data);
            envelope.headers = headers::allowed_response_headers(&entry.config, auth.data.headers);
        }
        // Batch tokens are not stored, so there is nothing to revoke.
        Ok(if batch {
            response
        } else {
            response.with_issued_secret(IssuedSecret::Token(created.key))
        })
    }

    fn login_lifetime(
        &self,
        entry: &MountEntry,
        auth: &EngineAuth,
    ) -> Result<GrantedLifetime, Error> {
        let leases = &self.tokens.leases;
        let limits = login_limits(entry.effective_lifetimes(leases.lifetimes), auth);
        let now = leases.clock().now();
        let granted = limits.grant(Ttl::ZERO, auth.ttl, now, now);
        granted.ok_or_else(|| Error::internal("the maximum TTL of the auth method is zero"))
    }
}

/// The limits on the token of a login, at login and at renewal.
pub(super) fn login_limits(mount: MountLifetimes, auth: &EngineAuth) -> LifetimeLimits {
    LifetimeLimits {
        mount,
        period: auth.period,
        max: auth.max_ttl,
        explicit_max: auth.explicit_max_ttl,
    }
}

/// The networks from which the token may be used. The login fails if one is invalid, because the
/// restriction couldn't be enforced.
fn parse_bound_cidrs(auth: &EngineAuth) -> Result<Vec<Cidr>, Error> {
    let read = |text: &String| {
        Cidr::parse(text)
            .ok_or_else(|| Error::internal("the auth method returned an invalid bound CIDR"))
    };
    auth.bound_cidrs.iter().map(read).collect()
}

/// Refuses a use limit on batch tokens, and an entity alias without a name.
fn check_batch_and_alias(auth: &EngineAuth, batch: bool) -> Result<(), Error> {
    if batch && auth.num_uses > 0 {
        return Err(Error::invalid("batch tokens cannot have \"num_uses\" set"));
    }
    if auth.alias.as_ref().is_some_and(|alias| alias.name.is_empty()) {
        return Err(Error::internal("the auth method gave an alias without a name"));
    }
    Ok(())
}

/// The token's policies, normalized, sorted and without duplicates. `root` and `response-wrapping`
/// are refused.
fn token_policies(auth: &EngineAuth) -> Result<Vec<PolicyName>, Error> {
    let mut all = BTreeSet::new();
    for text in auth.policies.iter().filter(|text| !text.trim().is_empty()) {
        let name = PolicyName::parse(text);
        all.insert(name.map_err(|error| {
            let text = "the auth method named an invalid policy";
            Error::with_message(ErrorKind::Internal, text).caused_by(error)
        })?);
    }
    if all.iter().any(PolicyName::is_root) {
        return Err(Error::invalid("auth methods cannot create root tokens"));
    }
    if all.iter().any(PolicyName::is_response_wrapping) {
        return Err(Error::invalid("auth methods cannot create wrapping tokens"));
    }
    if !auth.no_default_policy {
        all.insert(PolicyName::default_policy());
    }
    Ok(all.into_iter().collect())
}

/// The display name: the mount path and the name the method gave, as in `userpass-bob`.
fn login_display_name(entry: &MountEntry, name: &str) -> String {
    let mount = entry.path.trim_end_matches('/').replace('/', "-");
    let whole = if name.is_empty() { mount } else { format!("{mount}-{name}") };
    whole.chars().filter(|c| is_printable(*c)).take(MAX_DISPLAY_NAME_CHARS).collect()
}
