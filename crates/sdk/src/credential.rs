//! [`Credential`]: a credential that an outside system issues for a limited time and can revoke.
//!
//! The core keeps a lease for each credential and revokes it when the lease ends. The trait has all
//! it needs for that: how to `issue`; how to `revoke` by the receipt stored with the lease; how the
//! credential is undone when it is unknown whether issuing succeeded ([`Credential::Undo`]); and
//! whether it is renewable ([`Credential::Renewal`]). An implementation that leaves one of them out
//! doesn't compile.
//!
//! The receipt is not the credential. The client gets the [`Credential::Response`] once; the server
//! stores the [`Credential::Receipt`], whose fields can't be secrets, unless one is [`Sealed`]
//! because nothing else revokes the credential. The best secret is the one you don't know about.
//!
//! # Variants
//!
//! | the outside system, or the path | declare |
//! |---|---|
//! | takes parameters from the client | [`Credential::Input`] |
//! | lets the client choose a lifetime | [`Credential::CLIENT_SETS_LIFETIME`] |
//! | issues by a write, or by both | [`Credential::ISSUED_BY`] |
//! | has no role, or no configuration | `type Role = ()`, `type Config = ()` |
//! | takes the role from one of two documents | `type Role =` [`EitherDocument`] |
//! | has accounts that are known by their name | [`dynamic_account`](crate::dynamic_account) |
//! | can't find a credential by its name | `type Undo =` [`EndsAlone`] |
//! | revokes only by the secret itself | a field of the receipt that is [`Sealed`] |
//! | can't revoke at all | [`RevokeOutcome::LeftToExpire`] |
//! | changes nothing when a lease is renewed | `type Renewal =` [`RenewableInPlace`] |
//! | changes the credential when it is renewed | [`RenewedCredential::with_receipt`] |
//! | takes short names, or other characters | [`Credential::name_format`] |
//!
//! [`Sealed`]: crate::Sealed

mod undo;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use strongroom_schema::field::{InvalidInput, LeaseSafe, ObjectWriter, build_object};
use strongroom_types::{Fields, RawObject, Timestamp, Ttl};

pub use self::undo::{ByName, EndsAlone, EndsByItself, UndoByName, UndoMethod, UndoOutcome};
use crate::action::{Input, ResponseData};
pub use crate::credential_lifetime::{LeaseConfig, Lifetime, LifetimeFields};
pub use crate::credential_name::{CredentialName, NameFormat};
pub use crate::required_document::{EitherDocument, RequiredDocument};
use crate::{Context, Error};

/// One kind of leased credential: which documents it needs, and how it is issued, revoked and
/// undone.
pub trait Credential: Sized + Send + Sync + 'static {
    /// The name of the kind, stored in each lease. It must not change while leases of it exist.
    const KIND: &'static str;
    /// The path that issues a credential, usually `creds/{name}`; its captures name the role.
    const PATH: &'static str;
    /// The description of the path in help and OpenAPI.
    const HELP: &'static str;
    /// The operations that issue a credential. The default is a read.
    const ISSUED_BY: IssueOperation = IssueOperation::Read;
    /// Whether clients may send `ttl` and `max_ttl`. Neither can exceed the maximum that the role
    /// and the mount set. The default is that they can't.
    const CLIENT_SETS_LIFETIME: bool = false;

    /// The document with the address of the outside system and the credentials for it, or `()` for
    /// none.
    type Config: RequiredDocument;
    /// The document with the permissions of the credential, `()` for none, or an
    /// [`EitherDocument`]. It is found by the captures of the path.
    type Role: RequiredDocument;
    /// What the client sends to choose the credential's properties; `()` for nothing. In a read it
    /// is taken from the query. `ttl` and `max_ttl` are not part of it, see
    /// [`CLIENT_SETS_LIFETIME`](Self::CLIENT_SETS_LIFETIME).
    type Input: Input + Sync;
    /// What the client receives when the credential is issued. It may contain secrets.
    type Response: ResponseData;
    /// What is stored with the lease and passed to `revoke` and `renew`. It can't contain secrets
    /// that aren't [`Sealed`](crate::Sealed).
    type Receipt: Receipt;
    /// Whether leases are renewable: [`Renewable`], [`RenewableInPlace`] or [`NotRenewable`].
    type Renewal: Renewal<Self>;
    /// How the credential ends if it is unknown whether issuing it succeeded:
    /// [`ByName`] or [`EndsAlone`].
    type Undo: UndoMethod<Self>;

    /// The lifetimes that the role sets; zero where it leaves them open.
    fn lifetime(role: &Self::Role) -> Lifetime;

    /// The lifetimes where the role leaves them open, for engines with an engine-wide setting. Values
    /// that are zero here as well default to the mount's. The default implementation returns those of
    /// [`LeaseConfig`] if the engine declares this document, and otherwise none.
    ///
    /// # Errors
    ///
    /// Any [`Error`] fails the request for the credential, or for its renewal.
    fn usual_lifetime(context: &Context) -> impl Future<Output = Result<Lifetime, Error>> + Send {
        async {
            if !context.documents().declares::<LeaseConfig>() {
                return Ok(Lifetime::default());
            }
            let lease = context.documents().get::<LeaseConfig>(&[]).await?;
            Ok(lease.map(|lease| lease.lifetime.to_lifetime()).unwrap_or_default())
        }
    }

    /// The form of the names under which credentials are created. The default is
    /// [`NameFormat::default`].
    fn name_format(_config: &Self::Config, _role: &Self::Role) -> NameFormat {
        NameFormat::default()
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
    /// the process ends during the call, [`UndoByName::undo`] is called
    /// with the same name: later if the call may still take effect ([`Error::is_uncertain`]),
    /// otherwise at once.
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
    /// Any [`Error`] fails the renewal; the lease keeps the expiry and the receipt it had.
    fn renew(
        &self,
        order: &RenewRequest<'_, Self>,
        receipt: &Self::Receipt,
    ) -> impl Future<Output = Result<RenewedCredential<Self>, Error>> + Send;
}

/// A credential that stays as it is when its lease is renewed. Required by [`RenewableInPlace`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` says it is renewable in place but not how to find it",
    note = "implement `RenewInPlace`, or choose `type Renewal = NotRenewable`"
)]
pub trait RenewInPlace: Credential {
    /// Whether the credential still exists in the outside system. If it doesn't, the renewal fails,
    /// since the lease would be useless.
    ///
    /// # Errors
    ///
    /// Any [`Error`] fails the renewal; the lease keeps the expiry it had.
    fn still_exists(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &Self::Receipt,
    ) -> impl Future<Output = Result<bool, Error>> + Send;
}

/// The choice of [`Credential::Renewal`]: [`Renewable`], [`RenewableInPlace`] or [`NotRenewable`].
pub trait Renewal<C: Credential>: Send + Sync + 'static {
    /// Whether leases are marked renewable.
    const RENEWABLE: bool;

    /// Renews the credential, or returns an error if it is not renewable.
    #[doc(hidden)]
    fn renew(
        credential: &C,
        order: &RenewRequest<'_, C>,
        receipt: &C::Receipt,
    ) -> impl Future<Output = Result<RenewedCredential<C>, Error>> + Send;
}

/// Leases of this kind can be renewed; the credential must implement [`Renew`].
#[derive(Debug)]
pub struct Renewable;

/// Leases of this kind can be renewed, and nothing changes in the outside system, which has no expiry
/// of its own or ends credentials with the maximum of the lease. The credential must implement
/// [`RenewInPlace`].
#[derive(Debug)]
pub struct RenewableInPlace;

/// Leases of this kind can't be renewed; the credential is revoked when its first lifetime ends.
#[derive(Debug)]
pub struct NotRenewable;

impl<C: Renew> Renewal<C> for Renewable {
    const RENEWABLE: bool = true;

    async fn renew(
        credential: &C,
        order: &RenewRequest<'_, C>,
        receipt: &C::Receipt,
    ) -> Result<RenewedCredential<C>, Error> {
        credential.renew(order, receipt).await
    }
}

impl<C: RenewInPlace> Renewal<C> for RenewableInPlace {
    const RENEWABLE: bool = true;

    async fn renew(
        credential: &C,
        order: &RenewRequest<'_, C>,
        receipt: &C::Receipt,
    ) -> Result<RenewedCredential<C>, Error> {
        let outside = RevokeContext { config: order.config, context: order.context };
        match credential.still_exists(&outside, receipt).await? {
            true => Ok(RenewedCredential::unchanged()),
            false => Err(Error::user(format!(
                "the {} no longer exists in {}; revoke the lease",
                C::KIND,
                order.context.outside_system()
            ))),
        }
    }
}

impl<C: Credential> Renewal<C> for NotRenewable {
    const RENEWABLE: bool = false;

    async fn renew(
        _: &C,
        _: &RenewRequest<'_, C>,
        _: &C::Receipt,
    ) -> Result<RenewedCredential<C>, Error> {
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
pub struct ReceiptWriter<'o> {
    out: &'o mut ObjectWriter,
    is_sealed: bool,
}

impl ReceiptWriter<'_> {
    /// The receipt as the JSON object stored with the lease, and whether a field of it is
    /// [`Sealed`](crate::Sealed).
    pub(crate) fn write_to_object(receipt: &impl Receipt) -> (RawObject, bool) {
        let mut is_sealed = false;
        let object = build_object(|out| {
            let mut writer = ReceiptWriter { out, is_sealed };
            receipt.write(&mut writer);
            is_sealed = writer.is_sealed;
        });
        (object, is_sealed)
    }

    /// Adds the field `name` with a value.
    pub fn field<F: LeaseSafe>(&mut self, name: &str, value: &F) {
        self.is_sealed |= F::SEALED;
        self.out.field(name, value);
    }
}

/// The arguments of [`Credential::issue`], with the documents already loaded.
#[derive(Debug)]
pub struct IssueRequest<'a, C: Credential> {
    /// The engine's configuration document, as it is stored now.
    pub config: &'a C::Config,
    /// The document of the requested role.
    pub role: &'a C::Role,
    /// The name of the role: the first capture of the request path. Empty if there is none.
    pub role_name: &'a str,
    /// What the client sent.
    pub input: &'a C::Input,
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

/// What [`Credential::revoke`] and [`UndoByName::undo`] need to reach the
/// outside system.
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
    pub(crate) wrap_ttl: Option<Ttl>,
    pub(crate) headers: BTreeMap<String, Vec<String>>,
}

impl<C: Credential> IssuedCredential<C> {
    /// A credential without an expiry of its own and without warnings.
    pub fn new(answer: C::Response, receipt: C::Receipt) -> Self {
        Self {
            response: answer,
            receipt,
            ends_within: Ttl::ZERO,
            warnings: Vec::new(),
            wrap_ttl: None,
            headers: BTreeMap::new(),
        }
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

    /// Adds a value of a response header, which clients receive if the mount allows it; see
    /// [`Response::header`](crate::Response::header).
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.entry(name.to_owned()).or_default().push(value.into());
        self
    }

    /// Has the server wrap the response; see [`Response::wrapped`](crate::Response::wrapped). The lease
    /// begins when the credential is issued, whether or not it is unwrapped. With a lifetime of zero
    /// the request fails, and the credential is undone.
    #[must_use]
    pub fn wrapped(mut self, ttl: Ttl) -> Self {
        self.wrap_ttl = Some(ttl);
        self
    }
}

/// The result of [`Renew::renew`]: what changes with the renewal.
#[derive(Debug)]
pub struct RenewedCredential<C: Credential> {
    pub(crate) receipt: Option<C::Receipt>,
    pub(crate) ends_within: Option<Ttl>,
    pub(crate) warnings: Vec<String>,
}

impl<C: Credential> RenewedCredential<C> {
    /// The credential still exists, and its receipt stays as it is.
    pub fn unchanged() -> Self {
        Self { receipt: None, ends_within: None, warnings: Vec::new() }
    }

    /// Replaces the receipt, in the batch that extends the lease. If the process ends before, the
    /// lease keeps the earlier receipt: an outside system that gives the credential another id must
    /// accept the earlier one as well.
    #[must_use]
    pub fn with_receipt(mut self, receipt: C::Receipt) -> Self {
        self.receipt = Some(receipt);
        self
    }

    /// States when the outside system now ends the credential by itself, counted from the start of
    /// the call; see [`IssuedCredential::ends_within`]. Zero means it no longer does. Without it, the
    /// expiry stated before stays.
    #[must_use]
    pub fn ends_within(mut self, time: Ttl) -> Self {
        self.ends_within = Some(time);
        self
    }

    /// Adds a warning to the client's response. It must not contain secrets.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }
}

/// The operations that issue a credential: [`Credential::ISSUED_BY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueOperation {
    /// A read, which needs the `read` capability.
    Read,
    /// A write, which needs the `update` capability.
    Write,
    /// Both.
    ReadOrWrite,
}

impl IssueOperation {
    pub(crate) fn includes_read(self) -> bool {
        matches!(self, Self::Read | Self::ReadOrWrite)
    }

    pub(crate) fn includes_write(self) -> bool {
        matches!(self, Self::Write | Self::ReadOrWrite)
    }
}

/// How a revocation ended. All outcomes count as success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// The credential existed and has been revoked.
    Now,
    /// The credential no longer existed.
    AlreadyGone,
    /// The outside system has no way to revoke the credential, which ends by itself. Only for
    /// credentials with [`EndsAlone`]; for others the revocation fails.
    LeftToExpire,
}
