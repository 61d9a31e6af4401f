//! How a credential ends if it is unknown whether issuing it succeeded: the choice of
//! [`Credential::Undo`].

use std::future::Future;

use strongroom_types::Ttl;

use super::{Credential, CredentialName, RevokeContext};
use crate::Error;

/// The choice of [`Credential::Undo`]: [`ByName`] or [`EndsAlone`].
pub trait UndoMethod<C: Credential>: Send + Sync + 'static {
    /// Whether the credential can be found by its name. Then an intent is stored before each call
    /// of `issue`.
    #[doc(hidden)]
    const FINDS_BY_NAME: bool;

    /// Finds the credential by its name and revokes it.
    #[doc(hidden)]
    fn undo(
        credential: &C,
        outside: &RevokeContext<'_, C>,
        name: &CredentialName,
    ) -> impl Future<Output = Result<UndoOutcome, Error>> + Send;

    /// The time after which the credential ends by itself; zero for none.
    #[doc(hidden)]
    fn longest_life(config: &C::Config, role: &C::Role) -> Ttl;
}

/// The outside system can find the credential by the name it was issued under; the credential must
/// implement [`UndoByName`]. The SDK then guarantees that no credential is orphaned: its name is
/// stored before it is issued, and it is searched for and revoked if it gets no lease.
#[derive(Debug)]
pub struct ByName;

/// The outside system can't find a credential by its name, but ends each one by itself; the
/// credential must implement [`EndsByItself`]. If the response to `issue` is lost, or the process
/// ends before the lease is written, the credential lives until then; a warning in the log names
/// the time.
///
/// Choose [`ByName`] wherever the outside system has a name, a label or a comment that can be
/// searched for.
#[derive(Debug)]
pub struct EndsAlone;

/// A credential that can be found by its name. Required by [`ByName`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` says it is undone by its name but not how",
    note = "implement `UndoByName`, or choose `type Undo = EndsAlone` if the outside system ends the \
            credential by itself and can't find it by its name"
)]
pub trait UndoByName: Credential {
    /// Finds a credential by the name it was issued under, and revokes it. If there is none, return
    /// [`UndoOutcome::NotFound`]. It is called even if `issue` never reached the outside system.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: the intent is kept, and the SDK calls this again later.
    fn undo(
        &self,
        outside: &RevokeContext<'_, Self>,
        name: &CredentialName,
    ) -> impl Future<Output = Result<UndoOutcome, Error>> + Send;
}

/// A credential that the outside system ends by itself. Required by [`EndsAlone`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` says it ends alone but not when",
    note = "implement `EndsByItself`, or choose `type Undo = ByName` if the outside system can find \
            a credential by its name"
)]
pub trait EndsByItself: Credential {
    /// How long after issuing the outside system ends a credential at the latest, whatever happens
    /// to its lease. No lease lasts longer. [`IssuedCredential::ends_within`] shortens it for one
    /// credential. Less than a second counts as a second.
    ///
    /// [`IssuedCredential::ends_within`]: crate::IssuedCredential::ends_within
    fn longest_life(config: &Self::Config, role: &Self::Role) -> Ttl;
}

impl<C: UndoByName> UndoMethod<C> for ByName {
    const FINDS_BY_NAME: bool = true;

    async fn undo(
        credential: &C,
        outside: &RevokeContext<'_, C>,
        name: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        credential.undo(outside, name).await
    }

    fn longest_life(_: &C::Config, _: &C::Role) -> Ttl {
        Ttl::ZERO
    }
}

impl<C: EndsByItself> UndoMethod<C> for EndsAlone {
    const FINDS_BY_NAME: bool = false;

    /// Called only for an intent that an earlier version of the engine stored.
    async fn undo(
        _: &C,
        _: &RevokeContext<'_, C>,
        name: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        tracing::warn!(kind = C::KIND, %name, "a credential that may exist can't be found by its name");
        Ok(UndoOutcome::NotFound)
    }

    fn longest_life(config: &C::Config, role: &C::Role) -> Ttl {
        C::longest_life(config, role).max(Ttl::from_secs(1))
    }
}

/// How undoing ended. Both outcomes count as success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoOutcome {
    /// A credential of that name existed and has been revoked.
    Removed,
    /// There was no credential of that name.
    NotFound,
}
