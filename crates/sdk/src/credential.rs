//! [`Credential`]: a credential that an outside system issues for a limited time and can revoke.
//!
//! The core keeps a lease for each credential and revokes it when the lease ends. The trait has all
//! it needs for that: how to `issue`; how to `revoke` by the receipt stored with the lease; how to
//! `undo` by name when it is unknown whether issuing succeeded; and whether the credential is
//! renewable. An implementation that leaves one of them out doesn't compile.
//!
//! The receipt is not the credential. The client gets the [`Credential::Response`] once; the server
//! stores the [`Credential::Receipt`], whose fields can't be secrets. The best secret is the one
//! you don't know about.

use std::future::Future;
use std::time::Duration;

use strongroom_schema::field::{InvalidInput, LeaseSafe, ObjectWriter, build_object};
use strongroom_types::{Fields, RawObject, Timestamp, Ttl};

use crate::action::ResponseData;
pub use crate::credential_name::CredentialName;
pub use crate::required_document::RequiredDocument;
use crate::{Context, Error};

/// One kind of leased credential: which documents it needs, and how it is issued, revoked and
/// undone.
pub trait Credential: Sized + Send + Sync + 'static {
    /// The name of the kind, stored in each lease. It must not change while leases of it exist.
    const KIND: &'static str;
    /// The path that issues a credential when read, usually `creds/{name}`; the capture names the
    /// role.
    const PATH: &'static str;
    /// The description of the path in help and OpenAPI.
    const HELP: &'static str;
    /// The name of the outside system in error messages.
    const SYSTEM: &'static str = "outside system";

    /// The document with the address of the outside system and the credentials for it, or `()` for
    /// none.
    type Config: RequiredDocument;
    /// The document with the permissions of the credential, or `()` for none.
    type Role: RequiredDocument;
    /// What the client receives when the credential is issued. It may contain secrets.
    type Response: ResponseData;
    /// What is stored with the lease and passed to `revoke` and `renew`. It can't contain secrets.
    type Receipt: Receipt;
    /// Whether leases are renewable: [`Renewable`] or [`NotRenewable`].
    type Renewal: Renewal<Self>;

    /// The lifetimes that the role sets; zero where it leaves them open.
    fn lifetime(role: &Self::Role) -> Lifetime;

    /// The lifetimes where the role leaves them open, for engines with an engine-wide setting (such
    /// as Vault's `config/lease`). Values that are zero here as well default to the mount's. The
    /// default implementation sets none.
    ///
    /// # Errors
    ///
    /// Any [`Error`] fails the request for the credential, or for its renewal.
    fn usual_lifetime(_context: &Context) -> impl Future<Output = Result<Lifetime, Error>> + Send {
        async { Ok(Lifetime::default()) }
    }

    /// The maximum number of consecutive calls to the outside system that one `issue`, `renew` or
    /// `revoke` makes.
    ///
    /// Set it whenever it is more than one. Otherwise an `issue` that makes three calls has the
    /// time of one call for all three: with an outside system that is slow, but within its own
    /// limit, the operation is aborted and undone. The error of the request and a warning in the
    /// log then name both numbers.
    const CALLS: u32 = 1;

    /// How long one call to the outside system may take. Configure the HTTP client with the same
    /// limit, so that no call outlives it. The default is 10 seconds.
    ///
    /// `issue`, `renew` and `revoke` are each aborted after [`CALLS`](Self::CALLS) times this
    /// duration, and `issue` at the request's deadline if that is earlier. `undo`, which has to
    /// search for the credential first and has no client waiting, is aborted after four times as
    /// long. If `issue` was aborted, the credential is undone once this duration has passed again,
    /// because its last call may still be running in the outside system until then.
    fn timeout(_config: &Self::Config) -> Duration {
        Duration::from_secs(10)
    }

    /// Issues a credential in the outside system, under the name in `order`.
    ///
    /// # Errors
    ///
    /// [`Error::user`], [`Error::answered`] and the like fail the request. After an error, or if
    /// the process ends during the call, [`Credential::undo`] is called with the same name: later
    /// if the call may still take effect ([`Error::is_uncertain`]), otherwise at once.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when it exceeds its time limit, and may be dropped at any other await.
    /// Nothing needs to be cleaned up then, since `undo` runs later.
    fn issue(
        &self,
        order: &IssueRequest<'_, Self>,
    ) -> impl Future<Output = Result<IssuedCredential<Self>, Error>> + Send;

    /// Revokes a credential in the outside system. Must be idempotent: if the credential no longer
    /// exists, return [`RevokeOutcome::AlreadyGone`].
    ///
    /// # Errors
    ///
    /// Any [`Error`]: the credential may still exist, and the core calls this again later.
    fn revoke(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &Self::Receipt,
    ) -> impl Future<Output = Result<RevokeOutcome, Error>> + Send;

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

/// A credential that can be renewed in the outside system. Required by [`Renewable`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` says it is renewable but not how",
    note = "implement `Renew`, or choose `type Renewal = NotRenewable`"
)]
pub trait Renew: Credential {
    /// Extends the credential in the outside system, or at least checks that it still exists.
    ///
    /// # Errors
    ///
    /// Any [`Error`] fails the renewal; the lease keeps the expiry it had.
    fn renew(
        &self,
        order: &RenewRequest<'_, Self>,
        receipt: &Self::Receipt,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The choice of [`Credential::Renewal`]: [`Renewable`] or [`NotRenewable`].
pub trait Renewal<C: Credential>: Send + Sync + 'static {
    /// Whether leases are marked renewable.
    const RENEWABLE: bool;

    /// Renews the credential, or returns an error if it is not renewable.
    #[doc(hidden)]
    fn renew(
        credential: &C,
        order: &RenewRequest<'_, C>,
        receipt: &C::Receipt,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Leases of this kind can be renewed; the credential must implement [`Renew`].
#[derive(Debug)]
pub struct Renewable;

/// Leases of this kind can't be renewed; the credential is revoked when its first lifetime ends.
#[derive(Debug)]
pub struct NotRenewable;

impl<C: Renew> Renewal<C> for Renewable {
    const RENEWABLE: bool = true;

    async fn renew(
        credential: &C,
        order: &RenewRequest<'_, C>,
        receipt: &C::Receipt,
    ) -> Result<(), Error> {
        credential.renew(order, receipt).await
    }
}

impl<C: Credential> Renewal<C> for NotRenewable {
    const RENEWABLE: bool = false;

    async fn renew(_: &C, _: &RenewRequest<'_, C>, _: &C::Receipt) -> Result<(), Error> {
        Err(Error::user("lease is not renewable"))
    }
}

/// What is stored with a lease. Derive it: a field type that could hold a secret doesn't compile.
///
/// ```compile_fail
/// use strongroom_sdk::{Receipt, Secret};
///
/// #[derive(Receipt)]
/// struct Kept {
///     token: Secret<String>,
/// }
/// ```
pub trait Receipt: Sized + Send + Sync + 'static {
    /// Reads a receipt back from the lease's stored data.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if a field is missing or has the wrong form.
    fn from_fields(fields: &Fields) -> Result<Self, InvalidInput>;

    /// Writes the receipt's fields, which are then stored with the lease.
    fn write(&self, out: &mut ReceiptWriter<'_>);
}

/// Writes the fields of a receipt, and accepts only field types that can't hold a secret. Only the
/// SDK creates one; the derive macro fills it.
#[derive(Debug)]
pub struct ReceiptWriter<'o>(&'o mut ObjectWriter);

impl ReceiptWriter<'_> {
    /// The receipt as the JSON object stored with the lease.
    pub(crate) fn write_to_object(receipt: &impl Receipt) -> RawObject {
        build_object(|out| receipt.write(&mut ReceiptWriter(out)))
    }

    /// Adds the field `name` with a value.
    pub fn field(&mut self, name: &str, value: &impl LeaseSafe) {
        self.0.field(name, value);
    }
}

/// The lifetimes that a role sets. Zero means "not set": then [`Credential::usual_lifetime`]
/// applies, and after that the mount's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// The lifetime until the first renewal.
    pub ttl: Ttl,
    /// The maximum lifetime since issuing, which no renewal can exceed.
    pub max_ttl: Ttl,
}

impl Lifetime {
    /// These lifetimes, with those that are zero taken from `other`.
    #[must_use]
    pub fn with_fallback(self, other: Self) -> Self {
        Self {
            ttl: self.ttl.nonzero_or(other.ttl),
            max_ttl: self.max_ttl.nonzero_or(other.max_ttl),
        }
    }

    /// Checks that the first lifetime doesn't exceed the maximum, for a document's `validate`.
    ///
    /// # Errors
    ///
    /// A message for the operator if `ttl` is longer than a `max_ttl` that is set.
    pub fn check(self) -> Result<(), String> {
        if !self.max_ttl.is_zero() && self.ttl > self.max_ttl {
            return Err("ttl must not be longer than max_ttl".to_owned());
        }
        Ok(())
    }
}

/// The arguments of [`Credential::issue`], with the documents already loaded.
#[derive(Debug)]
pub struct IssueRequest<'a, C: Credential> {
    /// The engine's configuration document, as it is stored now.
    pub config: &'a C::Config,
    /// The document of the requested role.
    pub role: &'a C::Role,
    /// The name of the role, as captured from the request path.
    pub role_name: &'a str,
    /// The name to create the credential under in the outside system, so that it can be found
    /// again.
    pub name: &'a CredentialName,
    /// The time beyond which no renewal can extend the lease. If the outside system has an expiry
    /// of its own, set it to this time and not to the end of the first lease period: it is a safety
    /// net for the case that no server is left to revoke the credential.
    pub lasts_until: Timestamp,
    /// The instance's services and the caller's details.
    pub context: &'a Context,
}

impl<C: Credential> IssueRequest<'_, C> {
    /// The duration from now until [`IssueRequest::lasts_until`].
    pub fn lasts_for(&self) -> Duration {
        self.lasts_until.since(self.context.now())
    }
}

/// The arguments of [`Renew::renew`], with the documents already loaded.
#[derive(Debug)]
pub struct RenewRequest<'a, C: Credential> {
    /// The engine's configuration document, which may have changed since issuing.
    pub config: &'a C::Config,
    /// The role's document in its current version, which may differ from the one used for issuing.
    pub role: &'a C::Role,
    /// The time beyond which no renewal can extend the lease, as [`IssueRequest::lasts_until`].
    pub lasts_until: Timestamp,
    /// The instance's services and the caller's details.
    pub context: &'a Context,
}

impl<C: Credential> RenewRequest<'_, C> {
    /// The duration from now until [`RenewRequest::lasts_until`].
    pub fn lasts_for(&self) -> Duration {
        self.lasts_until.since(self.context.now())
    }
}

/// What [`Credential::revoke`] and [`Credential::undo`] need to reach the outside system.
#[derive(Debug)]
pub struct RevokeContext<'a, C: Credential> {
    /// The engine's configuration document, which may have changed since issuing.
    pub config: &'a C::Config,
    /// The instance's services; there may be no caller.
    pub context: &'a Context,
}

/// The result of [`Credential::issue`]: a credential that exists in the outside system.
#[derive(Debug)]
pub struct IssuedCredential<C: Credential> {
    /// The data for the client.
    pub response: C::Response,
    /// The data stored with the lease.
    pub receipt: C::Receipt,
    /// The outside system's own expiry; zero for none.
    pub(crate) ends_within: Ttl,
    pub(crate) warnings: Vec<String>,
}

impl<C: Credential> IssuedCredential<C> {
    /// A credential without an expiry of its own and without warnings.
    pub fn new(answer: C::Response, receipt: C::Receipt) -> Self {
        Self { response: answer, receipt, ends_within: Ttl::ZERO, warnings: Vec::new() }
    }

    /// States that the outside system lets the credential expire by itself this long after the call
    /// of `issue` began, and that a renewal can't extend that. No lease period or renewal then goes
    /// beyond it, whatever the role and the mount allow. Use it when the outside system grants less
    /// than [`IssueRequest::lasts_for`], and [warn](Self::warn) the client. Zero means no such
    /// expiry.
    #[must_use]
    pub fn ends_within(mut self, time: Ttl) -> Self {
        self.ends_within = time;
        self
    }

    /// Adds a warning to the client's response. It must not contain secrets.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }
}

/// How a revocation ended. Both outcomes count as success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// The credential existed and has been revoked.
    Now,
    /// The credential no longer existed.
    AlreadyGone,
}

/// How undoing ended. Both outcomes count as success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoOutcome {
    /// A credential of that name existed and has been revoked.
    Removed,
    /// There was no credential of that name.
    NotFound,
}
