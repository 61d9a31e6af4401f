//! Renewing the token of a login: the auth method decides whether and on which terms. The explicit
//! maximum TTL of the login can't be raised.

use serde_json::value::RawValue;
use strongroom_engine::{
    ConnectionInfo, EngineAuth, EngineError, EngineResponse, GrantedLifetime, LeaseContext,
    Operation,
};
use strongroom_lease::{Lease, LeaseKind};
use strongroom_token::Token;
use strongroom_types::Ttl;

use super::issue::login_limits;
use super::record::LoginRecord;
use super::{LoginService, past_max_ttl};
use crate::error::Error;
use crate::leases::revoker::{CredentialRef, ENGINE_CALL_TIMEOUT};

/// The changes by a renewal other than to the lifetime.
pub struct LoginRenewal {
    record: Box<RawValue>,
    period: Ttl,
    renewable: bool,
}

impl LoginRenewal {
    /// Writes the changes into the token and its lease.
    pub fn apply_to(self, token: &mut Token, lease: &mut Lease) {
        token.period = self.period;
        token.renewable = self.renewable;
        lease.renewable = self.renewable;
        if let LeaseKind::Token { login, .. } = &mut lease.kind {
            *login = Some(self.record);
        }
    }
}

impl LoginService {
    /// Calls the auth method to renew a login. `connection` is that of the client that asks for it: a
    /// login with a certificate is renewed only with that certificate. `None` if the method returns no
    /// auth block; then nothing is changed.
    pub async fn renew(
        &self,
        login: &RawValue,
        lease: &Lease,
        increment: Ttl,
        connection: Option<ConnectionInfo>,
    ) -> Result<Option<(GrantedLifetime, LoginRenewal)>, Error> {
        let leases = &self.tokens.leases;
        let record: LoginRecord = serde_json::from_str(login.get()).map_err(|error| {
            Error::internal("the stored login record can't be read").caused_by(error)
        })?;
        let mounted = leases.mounts.table().find_by_uuid(record.mount.as_str()).cloned();
        let gone = || Error::invalid("the auth method of this token is gone");
        let mounted = mounted.ok_or_else(gone)?;
        let in_flight = mounted.engine_handle().ok_or_else(gone)?.acquire().await?;
        let before = record.to_auth();
        let context = LeaseContext {
            internal: before.internal.clone(),
            issued: lease.issued,
            ttl: lease.ttl,
            max_ttl: before.max_ttl,
            renewable: lease.renewable,
            increment,
        };
        let (mount, path) = (record.mount.as_str(), record.path.as_str());
        let credential = CredentialRef { mount, path, data: None, lease: context };
        let mut request = leases.revoker.engine_request(&mounted, Operation::Renew, credential);
        let explicit_max = before.explicit_max_ttl;
        request.auth = Some(Box::new(before));
        request.connection = connection;
        let timeout = leases.clock().sleep(ENGINE_CALL_TIMEOUT);
        let response = tokio::select! {
            response = in_flight.engine.handle(request) => response.map_err(renewal_error)?,
            () = timeout => return Err(Error::internal("the auth method did not answer in time")),
        };
        let auth = match response {
            EngineResponse::Auth(auth) => *auth,
            EngineResponse::Nothing | EngineResponse::Data(_) => return Ok(None),
            _ => return Err(Error::internal("the auth method returned an unexpected response")),
        };
        // The explicit maximum set at login always applies; the method can only lower it.
        let explicit_max =
            explicit_max.nonzero_or(auth.explicit_max_ttl).capped_by(auth.explicit_max_ttl);
        let auth = EngineAuth { explicit_max_ttl: explicit_max, ..auth };
        let mount = mounted.entry.effective_lifetimes(leases.lifetimes);
        let (issued, now) = (lease.issued, leases.clock().now());
        let granted = login_limits(mount, &auth).grant(increment, auth.ttl, issued, now);
        let mut granted = granted.ok_or_else(past_max_ttl)?;
        granted.warnings.extend(auth.data.warnings.iter().cloned());
        let (period, renewable) = (auth.period, auth.renewable);
        let record = record.after_renewal(&auth);
        let record = record.to_json().map_err(Error::unencodable)?;
        Ok(Some((granted, LoginRenewal { record, period, renewable })))
    }
}

/// Prefixes internal errors as existing servers do. Errors meant for the user stay unchanged.
fn renewal_error(error: EngineError) -> Error {
    match error {
        EngineError::Internal { message, source } => {
            let message = format!("failed to renew entry: {message}");
            EngineError::Internal { message, source }.into()
        }
        other => other.into(),
    }
}
