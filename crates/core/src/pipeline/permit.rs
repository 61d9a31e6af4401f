//! Grants the permit to process a request, before its body is read: see [`crate::admission`].

use std::net::IpAddr;

use strongroom_mounts::ActiveMount;
use strongroom_types::Secret;

use crate::admission::{ExceededLimit, RequestHead, RequestPermit, is_exempt};
use crate::core::Core;
use crate::error::Error;
use crate::path_access::TokenRequirement;
use crate::unsealed::UnsealedCore;

impl Core {
    /// Decides whether a request is processed. Call it before the body is read, and pass the permit
    /// to [`Core::handle`].
    ///
    /// # Errors
    ///
    /// `Limited` or `Unavailable` if a limit is reached, with the seconds until a retry; `Sealed`
    /// on paths that a sealed server does not serve; `Denied` if a limit for requests without a
    /// valid token is reached and the token that was sent is not valid.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases everything it counted.
    pub async fn admit(&self, head: RequestHead<'_>) -> Result<RequestPermit, Error> {
        let control = self.admission_control();
        if is_exempt(head.path) {
            return Ok(RequestPermit::exempt(control));
        }
        let core = match self.unsealed() {
            Ok(core) => Some(core),
            Err(_) if head.path == "sys/init" => None,
            Err(sealed) => return Err(sealed),
        };
        let table = core.as_ref().map(|core| core.mounts.table());
        let place = table.as_ref().and_then(|table| table.longest_match(head.path));
        let mounted = place.map(|(mounted, _)| &**mounted);
        let load = mounted.map(ActiveMount::mount_load);
        let refuse = |limit: ExceededLimit| limit.refusal_error(mounted);
        let mut permit = control.count_request(load).map_err(refuse)?;
        let needs_token = core.as_ref().is_some_and(|core| {
            let requirement = place.and_then(|(mounted, below)| {
                Some(core.backends.backend_of(mounted)?.token_requirement(mounted, below))
            });
            requirement.unwrap_or_default() == TokenRequirement::Required
        });
        permit.set_needs_token(needs_token);
        permit.set_takes_raw_body(core.as_ref().is_some_and(|core| {
            place.is_some_and(|(mounted, below)| {
                let backend = core.backends.backend_of(mounted);
                backend.is_some_and(|backend| backend.takes_raw_body(mounted, below))
            })
        }));
        if permit.count_unauthenticated(head.path) {
            return Ok(permit);
        }
        match (core, head.token) {
            (Some(core), Some(token)) if needs_token => {
                // Clients without a valid token may send any number of invalid ones. If each
                // counted against the mount during its look-up, none of the limit would be left for
                // valid tokens.
                permit.release_mount_slot();
                // Boxed to keep the future small: few requests take this branch.
                Box::pin(check_token_is_valid(&core, token, head.address)).await?;
                permit.acquire_mount_slot().map_err(refuse)?;
                Ok(permit)
            }
            _ => Err(refuse(ExceededLimit::Unauthenticated)),
        }
    }

    /// Checks a request's token before something is spent that only authenticated clients should
    /// get, such as the memory for a large body. Does nothing if the path requires no token or the
    /// token was already found valid.
    ///
    /// # Errors
    ///
    /// `Denied` without a token that is valid for the client's address; `Sealed` if the server was
    /// sealed meanwhile.
    pub async fn authenticate_early(
        &self,
        permit: &mut RequestPermit,
        token: Option<&Secret<String>>,
        address: Option<IpAddr>,
    ) -> Result<(), Error> {
        if !permit.needs_token() || !permit.lacks_valid_token() {
            return Ok(());
        }
        let token = token.ok_or_else(Error::invalid_token)?;
        Box::pin(check_token_is_valid(&*self.unsealed()?, token, address)).await?;
        permit.mark_authenticated();
        Ok(())
    }
}

/// Checks only that the token exists and may be used from this address: no use is counted, and
/// policies are not evaluated.
async fn check_token_is_valid(
    core: &UnsealedCore,
    token: &Secret<String>,
    address: Option<IpAddr>,
) -> Result<(), Error> {
    let id = token.expose_secret();
    if id.is_empty() {
        return Err(Error::invalid_token());
    }
    let stored_token = core.tokens.store.look_up(id, core.clock().now()).await?;
    let stored_token = stored_token.filter(|found| found.token.may_be_used_from(address));
    stored_token.map(|_| ()).ok_or_else(Error::invalid_token)
}
