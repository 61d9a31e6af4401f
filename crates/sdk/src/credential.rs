//! [`Credential`]: something an outside system issues for a while, and takes back.
//!
//! The core keeps a lease for each credential and is responsible for its end. What it needs for
//! that is in one trait: how to `issue`, how to `revoke` by the receipt kept with the lease, how to
//! `undo` by name when nobody knows whether issuing worked, and whether the credential can be
//! renewed. Leaving one out doesn't compile.
//!
//! The receipt is not the credential. The client gets the [`Credential::Response`], once; the server
//! keeps the [`Credential::Receipt`], whose fields can't be secrets. The best secret is the one
//! you don't know about.

use std::any::TypeId;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use strongroom_types::{Entropy, Fields, RawObject, Timestamp, Ttl};

use crate::action::ResponseData;
use crate::document::Document;
use crate::field::{InvalidInput, LeaseSafe, ObjectWriter};
use crate::{Context, Error};

/// A kind of leased credential.
pub trait Credential: Sized + Send + Sync + 'static {
    /// The name of the kind, kept in each lease. Never change it while leases exist.
    const KIND: &'static str;
    /// Where it is read: `creds/{name}`; the capture names the role.
    const PATH: &'static str;
    /// What a reader of the API should know.
    const HELP: &'static str;
    /// What the outside system is called in errors.
    const SYSTEM: &'static str = "outside system";

    /// The document that says how to reach the outside system, or `()`.
    type Config: RequiredDocument;
    /// The document that says what the credential may do, or `()`.
    type Role: RequiredDocument;
    /// What the client gets.
    type Response: ResponseData;
    /// What is kept with the lease.
    type Receipt: Receipt;
    /// [`Renewable`] or [`NotRenewable`].
    type Renewal: Renewal<Self>;

    /// The lifetimes the role asks for.
    fn lifetime(role: &Self::Role) -> Lifetime;

    /// The lifetimes where the role leaves them open, for engines that keep some for all roles
    /// (Vault's `config/lease`). What this leaves open in turn is the mount's.
    fn usual_lifetime(_context: &Context) -> impl Future<Output = Result<Lifetime, Error>> + Send {
        async { Ok(Lifetime::default()) }
    }

    /// How many calls to the outside system one of `issue`, `renew` and `revoke` makes, one after the
    /// other, at most.
    ///
    /// Say it whenever it is more than one. Left at one, an `issue` of three calls has the time of one
    /// for all of them: under an outside system that is slow, and well within its limit, it is given up
    /// and undone. The error of the request and a warning in the log then name both numbers.
    const CALLS: u32 = 1;

    /// How long the outside system may take for one call. Give the client of the outside system the
    /// same limit, so that no call goes on for longer.
    ///
    /// `issue`, `renew` and `revoke` are each given up after [`CALLS`](Self::CALLS) times this; `undo`,
    /// which has to find first what it takes back, and for which nobody waits, after four times that.
    /// What an `issue` left behind that got no answer is undone once this has passed again after it
    /// was given up: so long its last call may be under way outside.
    fn timeout(_config: &Self::Config) -> Duration {
        Duration::from_secs(10)
    }

    /// Issues a credential outside under the given name. If this answers an error, or the process
    /// dies meanwhile, [`Credential::undo`] is called with the same name.
    fn issue(
        &self,
        order: &IssueRequest<'_, Self>,
    ) -> impl Future<Output = Result<IssuedCredential<Self>, Error>> + Send;

    /// Takes a credential back. Must be repeatable: one that is gone already is fine.
    fn revoke(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &Self::Receipt,
    ) -> impl Future<Output = Result<RevokeOutcome, Error>> + Send;

    /// Finds a credential by the name it was to get, and takes it back. Nothing found is fine.
    fn undo(
        &self,
        outside: &RevokeContext<'_, Self>,
        name: &CredentialName,
    ) -> impl Future<Output = Result<UndoOutcome, Error>> + Send;
}

/// A credential that can be extended outside as well.
#[diagnostic::on_unimplemented(
    message = "`{Self}` says it is renewable but not how",
    note = "implement `Renew`, or choose `type Renewal = NotRenewable`"
)]
pub trait Renew: Credential {
    /// Extends the credential outside, or at least checks that it is still there.
    fn renew(
        &self,
        order: &RenewRequest<'_, Self>,
        receipt: &Self::Receipt,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The choice between [`Renewable`] and [`NotRenewable`].
pub trait Renewal<C: Credential>: Send + Sync + 'static {
    /// What the lease says.
    const RENEWABLE: bool;

    /// Extends the credential, if it can be.
    #[doc(hidden)]
    fn renew(
        credential: &C,
        order: &RenewRequest<'_, C>,
        receipt: &C::Receipt,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Leases of this kind can be renewed; see [`Renew`].
#[derive(Debug)]
pub struct Renewable;

/// Leases of this kind end when they end.
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

/// What is kept with a lease. Derive it: a field that could be a secret doesn't compile.
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
    /// Reads it back.
    fn from_fields(fields: &Fields) -> Result<Self, InvalidInput>;

    /// Writes it for the lease.
    fn write(&self, out: &mut ReceiptWriter);
}

/// Writes the fields of a receipt, and takes no field that could be a secret. Made by this crate
/// only; the derive macro fills it.
#[derive(Debug)]
pub struct ReceiptWriter(ObjectWriter);

impl ReceiptWriter {
    /// What a receipt writes.
    pub(crate) fn write_to_object(receipt: &impl Receipt) -> RawObject {
        let mut out = Self(ObjectWriter::new());
        receipt.write(&mut out);
        out.0.into_object()
    }

    /// Adds a field.
    pub fn field(&mut self, name: &str, value: &impl LeaseSafe) {
        self.0.field(name, value);
    }
}

/// The lifetimes a role asks for. Zero leaves it to [`Credential::usual_lifetime`], and that to the
/// mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Until the first renewal.
    pub ttl: Ttl,
    /// Beyond which no renewal goes.
    pub max_ttl: Ttl,
}

impl Lifetime {
    /// This, and the other where this is not set.
    #[must_use]
    pub fn with_fallback(self, other: Self) -> Self {
        Self {
            ttl: self.ttl.nonzero_or(other.ttl),
            max_ttl: self.max_ttl.nonzero_or(other.max_ttl),
        }
    }
}

/// Everything that is known when a credential is to be issued.
#[derive(Debug)]
pub struct IssueRequest<'a, C: Credential> {
    /// The configuration.
    pub config: &'a C::Config,
    /// The role.
    pub role: &'a C::Role,
    /// The role's name.
    pub role_name: &'a str,
    /// The name the credential must get outside, so that it can be found again.
    pub name: &'a CredentialName,
    /// The moment after which no renewal can extend the lease. The outside system's own expiry,
    /// where it has one, belongs here and not at the lease's end: it is a backstop for when no
    /// server is left to revoke.
    pub lasts_until: Timestamp,
    /// Services and caller.
    pub context: &'a Context,
}

impl<C: Credential> IssueRequest<'_, C> {
    /// From now until [`IssueRequest::lasts_until`].
    pub fn lasts_for(&self) -> Duration {
        self.lasts_until.since(self.context.now())
    }
}

/// Everything that is known when a credential is to be extended.
#[derive(Debug)]
pub struct RenewRequest<'a, C: Credential> {
    /// The configuration.
    pub config: &'a C::Config,
    /// The role, as it is now.
    pub role: &'a C::Role,
    /// As in [`IssueRequest::lasts_until`].
    pub lasts_until: Timestamp,
    /// Services and caller.
    pub context: &'a Context,
}

impl<C: Credential> RenewRequest<'_, C> {
    /// From now until [`RenewRequest::lasts_until`].
    pub fn lasts_for(&self) -> Duration {
        self.lasts_until.since(self.context.now())
    }
}

/// What is needed to reach the outside system.
#[derive(Debug)]
pub struct RevokeContext<'a, C: Credential> {
    /// The configuration.
    pub config: &'a C::Config,
    /// Services.
    pub context: &'a Context,
}

/// A credential that was issued.
#[derive(Debug)]
pub struct IssuedCredential<C: Credential> {
    /// For the client.
    pub response: C::Response,
    /// For the lease.
    pub receipt: C::Receipt,
    /// Zero for no end of its own.
    pub(crate) ends_within: Ttl,
    pub(crate) warnings: Vec<String>,
}

impl<C: Credential> IssuedCredential<C> {
    /// A credential, and what is kept of it.
    pub fn new(answer: C::Response, receipt: C::Receipt) -> Self {
        Self { response: answer, receipt, ends_within: Ttl::ZERO, warnings: Vec::new() }
    }

    /// The outside system ends it by itself after this time, counted from when it was ordered, and
    /// a renewal can't move that. No lease or renewal goes further, whatever becomes of the role
    /// and the mount. An outside system that grants less than [`IssueRequest::lasts_for`] is heard here;
    /// [warn](Self::warn) the client then. Zero says nothing.
    #[must_use]
    pub fn ends_within(mut self, time: Ttl) -> Self {
        self.ends_within = time;
        self
    }

    /// Adds a warning for the client. Put no secret into it.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }
}

/// How a revocation ended. Both count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// It was there, and is gone.
    Now,
    /// It was gone already.
    AlreadyGone,
}

/// How undoing ended. Both count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoOutcome {
    /// Something of that name was there, and is gone.
    Removed,
    /// Nothing of that name was there.
    NotFound,
}

/// The name a credential gets outside: a part for people, and a part nobody can guess. It is known
/// before the credential exists, so that the credential can be found whatever happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialName {
    display: String,
    unique: String,
}

impl CredentialName {
    /// Characters of the unguessable part: 62^26 is above 2^154.
    const UNIQUE_CHARS: usize = 26;

    pub(crate) fn new(role: &str, display_name: &str, entropy: &dyn Entropy) -> Self {
        let plain = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
        };
        let parts = ["strongroom", &plain(role), &plain(display_name)];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Self { display: parts.join("-"), unique: entropy.base62(Self::UNIQUE_CHARS) }
    }

    /// The name in at most `max` characters: letters, digits and `-`. What has to go is cut from
    /// the part for people, never from the other; so `max` must be at least 26, and a smaller one
    /// counts as 26.
    pub fn fit(&self, max: usize) -> String {
        let room = max.saturating_sub(Self::UNIQUE_CHARS + 1);
        let display = self.display.get(..room.min(self.display.len())).unwrap_or_default();
        match display.trim_end_matches('-') {
            "" => self.unique.clone(),
            display => format!("{display}-{}", self.unique),
        }
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fit(usize::MAX))
    }
}

/// A document that a credential can't do without, or `()` for none.
#[async_trait]
pub trait RequiredDocument: Send + Sync + 'static {
    /// Loads it, or tells the user what to write first.
    #[doc(hidden)]
    async fn load_required(context: &Context, name: &str) -> Result<Arc<Self>, Error>;

    /// Which document it is and where it lies; none for `()`.
    #[doc(hidden)]
    fn document_spec() -> Option<RequiredDocumentSpec>;
}

/// A document that a credential can't do without.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct RequiredDocumentSpec {
    pub(crate) path: &'static str,
    pub(crate) type_id: TypeId,
}

#[async_trait]
impl RequiredDocument for () {
    async fn load_required(_: &Context, _: &str) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(()))
    }

    fn document_spec() -> Option<RequiredDocumentSpec> {
        None
    }
}

#[async_trait]
impl<D: Document> RequiredDocument for D {
    async fn load_required(context: &Context, name: &str) -> Result<Arc<Self>, Error> {
        if D::PATH.contains('{') { context.named(name).await } else { context.config().await }
    }

    fn document_spec() -> Option<RequiredDocumentSpec> {
        Some(RequiredDocumentSpec { path: D::PATH, type_id: TypeId::of::<D>() })
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn names_are_cut_in_the_part_for_people_only() {
        let name = CredentialName::new("dev", "token-Foo Bar", &SeededEntropy::new(1));
        let whole = name.to_string();
        assert!(whole.starts_with("strongroom-dev-token-Foo-Bar-"), "{whole}");
        let unique = whole.rsplit('-').next().unwrap();
        assert_eq!(unique.len(), 26);
        for max in [0, 10, 26, 27, 28, 40, 64] {
            let cut = name.fit(max);
            assert!(cut.len() <= max.max(26) && cut.ends_with(unique), "{max}: {cut}");
            assert!(!cut.starts_with('-') && !cut.contains("--"), "{cut}");
        }
    }
}
