//! [`Login`]: how clients log in at an auth method, and what their tokens may do.
//!
//! An auth method is a [`Blueprint`](crate::Blueprint) that declares one login or several, and the
//! documents by which it decides: users, roles, the address of an outside authority. For each login
//! the method says *who* the client is and *which terms* its token has; the server creates the
//! token, renews and revokes it. The method never sees a token.
//!
//! The types leave no room for the usual mistakes of auth methods:
//!
//! | mistake | why it can't be made |
//! |---|---|
//! | the identity is what the client claims to be | an [`Identity`] is made from a [`VerifiedName`], which comes from a stored account whose proof was checked, or from the answer of an outside authority that accepts the client ([`LoginRequest::attested_by`](crate::login::LoginRequest::attested_by)), not from text |
//! | the client learns whether the user exists | [`LoginRequest::verify_account`] checks the proof against a decoy if there is no account; every refusal has the text [`Login::REFUSED`], also if [`Login::authenticate`] returns a user error |
//! | a login that grants the root policy | [`PolicyNames`](crate::PolicyNames) doesn't accept it |
//! | a token and an error in one response | a login returns a grant or an error |
//! | a renewal without asking the source again | [`Login::renew`] is required, and a renewal is refused if the policies have changed |
//!
//! ```
//! use std::sync::Arc;
//! use strongroom_sdk::*;
//!
//! /// A machine that may log in.
//! #[derive(Document)]
//! #[document(path = "machines/{name}")]
//! struct Machine {
//!     /// The key that the machine proves its identity with. Never shown.
//!     #[field(required)]
//!     enrolment_key: Secret<String>,
//!     #[field(embed)]
//!     token: TokenFields,
//! }
//!
//! /// Who wants to log in, and the proof.
//! #[derive(Input)]
//! struct MachineInput {
//!     /// The name of the machine; taken from the path.
//!     name: String,
//!     /// Its key.
//!     #[field(required)]
//!     enrolment_key: Secret<String>,
//! }
//!
//! struct MachineLogin;
//!
//! impl Login for MachineLogin {
//!     const PATH: &'static str = "login/{name}";
//!     const HELP: &'static str = "Logs a machine in.";
//!     const REFUSED: &'static str = "unknown machine or wrong key";
//!     type Input = MachineInput;
//!
//!     fn alias(&self, input: &MachineInput) -> Option<String> {
//!         Some(input.name.clone())
//!     }
//!
//!     async fn authenticate(
//!         &self,
//!         request: &LoginRequest<'_>,
//!         input: MachineInput,
//!     ) -> Result<LoginGrant, LoginError> {
//!         let decoy = Machine {
//!             enrolment_key: Secret::from_text("no machine has this key"),
//!             token: TokenFields::default(),
//!         };
//!         let fits = |machine: Arc<Machine>| async move {
//!             let given = input.enrolment_key.expose_secret();
//!             Ok(machine.enrolment_key.ct_eq(given.as_bytes()))
//!         };
//!         let machine = request.verify_account(&input.name, decoy, fits).await?;
//!         let identity = Identity::new(machine.name()).with_metadata("machine", machine.name());
//!         Ok(LoginGrant::new(identity, &machine.token))
//!     }
//!
//!     async fn renew(&self, renewal: &LoginRenewal<'_>) -> Result<TokenTerms, Error> {
//!         let machine = renewal.account::<Machine>().await?;
//!         Ok(TokenTerms::from(&machine.token))
//!     }
//! }
//!
//! let method = Blueprint::auth_method("machines", "1.0.0").help("Logs machines in.");
//! let method = method.document::<Machine>().login(MachineLogin);
//! # drop(method);
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use strongroom_types::Ttl;
use strongroom_types::path::is_printable;

use crate::action::Input;
use crate::document::Document;
use crate::token_fields::{TokenFields, TokenTerms};
use crate::{Context, Error, RequestCaller};

/// One way to log in at an auth method, at an unauthenticated path.
pub trait Login: Sized + Send + Sync + 'static {
    /// The path at which clients log in, such as `login/{username}`. Renewals name it too, so it
    /// must not change while tokens of its logins exist.
    const PATH: &'static str;
    /// The description of the path in help and OpenAPI.
    const HELP: &'static str;
    /// The only text of a refused login, whatever was wrong: `invalid username or password`.
    const REFUSED: &'static str;

    /// What the client sends: captures of the path, and fields of the body.
    type Input: Input;

    /// The name in this auth method that the client claims, before anything is checked. The server
    /// counts failed logins by it, and locks it after too many. `None` if the request doesn't say
    /// it without asking the authority, as with a signed token.
    fn alias(&self, input: &Self::Input) -> Option<String>;

    /// The role that the client logs in as, by which quotas may be set; `None` without roles, or if
    /// only what is stored tells it, as in [`Login::resolve_role`].
    fn role(&self, input: &Self::Input) -> Option<String> {
        let _ = input;
        None
    }

    /// The role that the client logs in as, for a host that asks before the login because a quota is
    /// set by role. By default [`Login::role`]; a method whose clients send something else than the
    /// name of their role looks it up here. `None` if there is no such role.
    ///
    /// # Errors
    ///
    /// Any [`Error`]. The hosts known today then apply the quota as if there was no role.
    fn resolve_role(
        &self,
        context: &Context,
        input: &Self::Input,
    ) -> impl Future<Output = Result<Option<String>, Error>> + Send {
        let _ = context;
        std::future::ready(Ok(self.role(input)))
    }

    /// Checks the form of the input, before anything is looked up. Only here, a user error tells the
    /// client what is wrong.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; the client receives its message.
    fn check_input(&self, input: &Self::Input) -> Result<(), Error> {
        let _ = input;
        Ok(())
    }

    /// Decides whether the client is who it claims to be, and on which terms it gets a token.
    ///
    /// # Errors
    ///
    /// [`LoginError::refused`] if not. User errors of the documents and of the outside authority
    /// become refusals with the same text. Other errors fail the request; the text of an internal
    /// error is in the log only.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await, when the client disconnects or the deadline passes.
    /// Nothing has been issued then.
    fn authenticate(
        &self,
        request: &LoginRequest<'_>,
        input: Self::Input,
    ) -> impl Future<Output = Result<LoginGrant, LoginError>> + Send;

    /// Asks the source again when a token is renewed, and returns the current terms. Their lifetimes
    /// apply from then on. If their policies differ from those of the token, the renewal is
    /// refused: the client has to log in again.
    ///
    /// # Errors
    ///
    /// Any [`Error`], for example if the account is gone. The token keeps the expiry it had.
    fn renew(
        &self,
        renewal: &LoginRenewal<'_>,
    ) -> impl Future<Output = Result<TokenTerms, Error>> + Send;
}

/// The request of a login.
#[derive(Debug)]
pub struct LoginRequest<'a> {
    pub(crate) context: &'a Context,
}

impl LoginRequest<'_> {
    /// The instance's services: its documents, records, clock and system view.
    pub fn context(&self) -> &Context {
        self.context
    }

    /// The client's IP address; `None` if the host doesn't know it, as on a Unix socket.
    pub fn address(&self) -> Option<IpAddr> {
        self.context.caller().and_then(RequestCaller::remote_address)
    }

    /// Loads an account of this auth method and checks the client's proof against it. If there is
    /// no such account, the proof is checked against `decoy`, so that a client can't tell the two
    /// cases apart by the time that the response takes. The path of `D` has one capture, the name,
    /// which is looked up as given; another path doesn't compile.
    ///
    /// # Errors
    ///
    /// A refusal if there is no such account or the proof is wrong; the error of `proves` or of the
    /// storage otherwise.
    pub async fn verify_account<D, F, Fut>(
        &self,
        name: &str,
        decoy: D,
        proves: F,
    ) -> Result<VerifiedAccount<D>, LoginError>
    where
        D: Document,
        F: FnOnce(Arc<D>) -> Fut + Send,
        Fut: Future<Output = Result<bool, Error>> + Send,
    {
        const { assert!(has_one_capture(D::PATH), "the path of an account has one capture, its name") };
        let documents = self.context.documents();
        let name = documents.canonical_name::<D>(name);
        let found = match is_account_name(&name) {
            true => documents.get::<D>(&[&name]).await?,
            false => None,
        };
        let exists = found.is_some();
        let account = found.unwrap_or_else(|| Arc::new(decoy));
        let is_proven = proves(account.clone()).await?;
        if exists && is_proven {
            let name = VerifiedName(name.into_owned());
            return Ok(VerifiedAccount { name, account });
        }
        Err(LoginError::refused())
    }
}

/// The maximum length of an account's name, in bytes.
const MAX_NAME_BYTES: usize = 512;

/// Whether a name can be that of a stored account; the form that its path declares is checked as
/// well.
fn is_account_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_printable)
}

const fn has_one_capture(path: &str) -> bool {
    let (mut rest, mut captures) = (path.as_bytes(), 0);
    while let [byte, after @ ..] = rest {
        if *byte == b'{' {
            captures += 1;
        }
        rest = after;
    }
    captures == 1
}

/// An account whose proof a client has given, and its name.
#[derive(Debug)]
pub struct VerifiedAccount<D> {
    name: VerifiedName,
    account: Arc<D>,
}

impl<D> VerifiedAccount<D> {
    /// The name under which the account is stored.
    pub fn name(&self) -> &VerifiedName {
        &self.name
    }

    /// A name from a field of the stored account, for a method whose alias isn't the name that the
    /// account is stored under. The name must be one that no other account has, or logins of two
    /// accounts would be those of one entity.
    ///
    /// ```
    /// # use strongroom_sdk::Document;
    /// # use strongroom_sdk::login::{Identity, VerifiedAccount};
    /// /// A role, which clients name by its id.
    /// #[derive(Document)]
    /// #[document(path = "role/{name}")]
    /// struct Role {
    ///     /// The id of the role, which no other role has.
    ///     role_id: String,
    /// }
    ///
    /// fn identity_of(role: &VerifiedAccount<Role>) -> Identity {
    ///     Identity::new(&role.name_from(|role| &role.role_id)).with_metadata("role", role.name())
    /// }
    /// # let _ = identity_of;
    /// ```
    #[must_use]
    pub fn name_from(&self, field: fn(&D) -> &str) -> VerifiedName {
        VerifiedName(field(&self.account).to_owned())
    }
}

impl<D> Deref for VerifiedAccount<D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.account
    }
}

/// A name that a client has proven to be its own. Text doesn't convert into it: it comes from a
/// [`VerifiedAccount`], or from an outside authority's answer (`AttestedClient`, with the feature
/// `http`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedName(pub(crate) String);

impl VerifiedName {
    /// The name as text, for a query or a log line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VerifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who logs in: the alias, and what is shown of the user.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) alias: VerifiedName,
    pub(crate) display_name: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) groups: Vec<VerifiedName>,
}

impl Identity {
    /// The identity of this name, which is also the display name.
    pub fn new(alias: &VerifiedName) -> Self {
        Self {
            alias: alias.clone(),
            display_name: alias.0.clone(),
            metadata: BTreeMap::new(),
            groups: Vec::new(),
        }
    }

    /// Sets another display name, which the log and look-ups of the token show after the name of
    /// the mount.
    #[must_use]
    pub fn with_display_name(mut self, name: impl fmt::Display) -> Self {
        self.display_name = name.to_string();
        self
    }

    /// Adds metadata, which is shown to the client and stored with the token. It must not contain
    /// secrets.
    #[must_use]
    pub fn with_metadata(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.metadata.insert(name.into(), value.to_string());
        self
    }

    /// Adds a group of the auth method that the client belongs to.
    #[must_use]
    pub fn with_group(mut self, group: &VerifiedName) -> Self {
        self.groups.push(group.clone());
        self
    }
}

/// An accepted login: who the client is, and the terms of its token.
#[derive(Clone, Debug)]
pub struct LoginGrant {
    pub(crate) identity: Identity,
    pub(crate) terms: TokenTerms,
    pub(crate) warnings: Vec<String>,
    pub(crate) wrap_ttl: Option<Ttl>,
    pub(crate) headers: BTreeMap<String, Vec<String>>,
}

impl LoginGrant {
    /// Accepts the login with the terms of a user's or role's token fields.
    pub fn new(identity: Identity, token: &TokenFields) -> Self {
        Self::with_terms(identity, TokenTerms::from(token))
    }

    /// Accepts the login with terms that were changed, for example by the policies of groups.
    pub fn with_terms(identity: Identity, terms: TokenTerms) -> Self {
        Self { identity, terms, warnings: Vec::new(), wrap_ttl: None, headers: BTreeMap::new() }
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

    /// Has the server wrap the response with the token; see
    /// [`Response::wrapped`](crate::Response::wrapped). Renewals are not wrapped. With a lifetime of
    /// zero the login fails.
    #[must_use]
    pub fn wrapped(mut self, ttl: Ttl) -> Self {
        self.wrap_ttl = Some(ttl);
        self
    }
}

/// The renewal of a token that an earlier login issued.
#[derive(Debug)]
pub struct LoginRenewal<'a> {
    pub(crate) context: &'a Context,
    pub(crate) alias: String,
    pub(crate) metadata: &'a BTreeMap<String, String>,
}

impl LoginRenewal<'_> {
    /// The instance's services: its documents, records, clock and system view.
    pub fn context(&self) -> &Context {
        self.context
    }

    /// The alias of the login, as the server keeps it with the token.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// Metadata of the login's [`Identity`], by its name.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).map(String::as_str)
    }

    /// Loads the account that logged in, by the alias of the login.
    ///
    /// # Errors
    ///
    /// A user error if the account no longer exists; a storage error if it can't be read.
    pub async fn account<D: Document>(&self) -> Result<Arc<D>, Error> {
        let found = self.context.documents().get::<D>(&[&self.alias]).await?;
        found.ok_or_else(|| Error::user("the account of this token no longer exists"))
    }
}

/// Why a login failed: a refusal, or an error that prevented a decision.
#[derive(Clone, Debug)]
pub struct LoginError(LoginFailure);

#[derive(Clone, Debug)]
pub(crate) enum LoginFailure {
    /// The proof is wrong, or there is no such account.
    Refused,
    /// The login could not be decided.
    Failed(Error),
    /// The request lacks this field.
    Missing(&'static str),
}

impl LoginError {
    /// The client isn't who it claims to be, or may not log in. It receives [`Login::REFUSED`] with
    /// status 400, and the failure counts towards the lock of its alias.
    pub fn refused() -> Self {
        Self(LoginFailure::Refused)
    }

    /// The request lacks a field that accounts of this kind need. The client receives
    /// `missing <field>` with status 400. Under hosts that count failed logins it counts like a refusal.
    /// A method that needs the field of some accounts only returns it
    /// for accounts that don't exist as well; otherwise a client learns which ones exist. A field that
    /// every login needs is checked by [`Login::check_input`].
    pub fn missing(field: &'static str) -> Self {
        Self(LoginFailure::Missing(field))
    }

    pub(crate) fn into_failure(self) -> LoginFailure {
        self.0
    }
}

impl From<Error> for LoginError {
    /// A user error becomes a refusal, because its text could tell the client what exists. Other
    /// errors stay what they are.
    fn from(error: Error) -> Self {
        if error.is_for_user() { Self::refused() } else { Self(LoginFailure::Failed(error)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_with_a_text_for_the_client_are_refusals() {
        for error in [Error::user("no such user"), Error::denied("no"), Error::conflict("taken")] {
            let failure = LoginError::from(error.clone()).into_failure();
            assert!(matches!(failure, LoginFailure::Refused), "{error}");
        }
        let failure = LoginError::from(Error::internal("down")).into_failure();
        assert!(matches!(failure, LoginFailure::Failed(_)));
    }
}
