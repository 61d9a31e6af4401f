//! [`DynamicAccount`]: accounts with a password that the engine creates, and deletes when their leases
//! end.
//!
//! It is a [`Credential`] for outside systems whose accounts have no other id than
//! their name. The SDK chooses name and password, keeps the name in the lease, and deletes an account
//! by it if a crash leaves open whether there will be a lease. A renewal only checks that the account
//! still exists.
//!
//! ```
//! use strongroom_sdk::dynamic_account::{DynamicAccount, ExistingAccount, NewAccount};
//! use strongroom_sdk::*;
//!
//! /// Access to the database.
//! #[derive(Document)]
//! #[document(path = "config", seal_wrap)]
//! struct Config {
//!     /// Base URL of the database.
//!     #[field(required)]
//!     url: BaseUrl,
//! }
//!
//! /// What an account may do.
//! #[derive(Document)]
//! #[document(path = "roles/{name}")]
//! struct Role {
//!     /// Names of tables, separated by commas.
//!     tables: CommaList,
//!     #[field(embed)]
//!     lifetime: LifetimeFields,
//! }
//!
//! struct DatabaseUser;
//!
//! impl DynamicAccount for DatabaseUser {
//!     const KIND: &'static str = "user";
//!     const HELP: &'static str = "Creates a user that may read the tables of the role.";
//!     const MAX_NAME_BYTES: usize = 63;
//!     type Config = Config;
//!     type Role = Role;
//!
//!     fn lifetime(role: &Role) -> Lifetime {
//!         role.lifetime.to_lifetime()
//!     }
//!
//!     async fn create(&self, user: &NewAccount<'_, Config, Role>) -> Result<(), Error> {
//!         database::create(user.config, user.name, user.password, &user.role.tables).await
//!     }
//!
//!     async fn delete(&self, user: &ExistingAccount<'_, Config>) -> Result<bool, Error> {
//!         database::delete(user.config, user.name).await
//!     }
//!
//!     async fn exists(&self, user: &ExistingAccount<'_, Config>) -> Result<bool, Error> {
//!         database::exists(user.config, user.name).await
//!     }
//! }
//!
//! fn blueprint() -> Blueprint {
//!     let engine = Blueprint::new("database", "1.0.0").document::<Config>().document::<Role>();
//!     engine.dynamic_account(DatabaseUser)
//! }
//! # fn main() { drop(blueprint()) }
//! # mod database {
//! #     use super::*;
//! #     type Password = Secret<String>;
//! #     pub async fn create(_: &Config, _: &str, _: &Password, _: &CommaList) -> Result<(), Error> { Ok(()) }
//! #     pub async fn delete(_: &Config, _: &str) -> Result<bool, Error> { Ok(true) }
//! #     pub async fn exists(_: &Config, _: &str) -> Result<bool, Error> { Ok(true) }
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::credential::RequiredDocument;
use crate::password_change::DEFAULT_CALL_TIME;
use crate::{
    ByName, Context, Credential, CredentialName, Error, Identifier, IssueRequest, IssuedCredential,
    Lifetime, NameFormat, Receipt, RenewInPlace, RenewableInPlace, ResponseData, RevokeContext,
    RevokeOutcome, Secret, UndoByName, UndoOutcome,
};

/// Accounts of an outside system that exist as long as their leases. See the [module](self).
pub trait DynamicAccount: Sized + Send + Sync + 'static {
    /// The word for an account in errors and in the lease, such as `user`.
    const KIND: &'static str;
    /// The path that creates an account; its captures name the role.
    const PATH: &'static str = "creds/{name}";
    /// The description of the path in help and OpenAPI.
    const HELP: &'static str;
    /// The maximum length of a name in the outside system, in bytes. It can't exceed 512, and names
    /// have at least the 26 bytes of their random part.
    const MAX_NAME_BYTES: usize;
    /// The maximum number of consecutive calls that [`create`](Self::create) makes; see
    /// [`Credential::CALLS`].
    const CALLS: u32 = 1;

    /// The document with the address of the outside system and the credentials for it, or `()` for
    /// none.
    type Config: RequiredDocument;
    /// The document with the permissions of an account.
    type Role: RequiredDocument;

    /// The lifetimes that the role sets; zero where it leaves them open. Then those of
    /// [`LeaseConfig`](crate::LeaseConfig) apply, if the engine declares it.
    fn lifetime(role: &Self::Role) -> Lifetime;

    /// How long one call to the outside system may take. The default is 10 seconds.
    fn timeout(_config: &Self::Config) -> Duration {
        DEFAULT_CALL_TIME
    }

    /// The form of the names. The default is [`NameFormat::default`].
    fn name_format(_config: &Self::Config, _role: &Self::Role) -> NameFormat {
        NameFormat::default()
    }

    /// Creates an account with what the role grants.
    ///
    /// # Errors
    ///
    /// Any [`Error`] fails the request, and the account is deleted: at once, or later if a call may
    /// still take effect ([`Error::is_uncertain`]).
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await. Nothing needs to be cleaned up then, since the account
    /// is deleted later.
    fn create(
        &self,
        account: &NewAccount<'_, Self::Config, Self::Role>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Deletes an account with everything it was granted, and returns whether there was one. It may
    /// have been created in part only, or not at all.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: the account may still exist, and this is called again later.
    fn delete(
        &self,
        account: &ExistingAccount<'_, Self::Config>,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Whether an account still exists. If it doesn't, its lease can't be renewed.
    ///
    /// # Errors
    ///
    /// Any [`Error`] fails the renewal; the lease keeps the expiry it had.
    fn exists(
        &self,
        account: &ExistingAccount<'_, Self::Config>,
    ) -> impl Future<Output = Result<bool, Error>> + Send;
}

/// The account that [`DynamicAccount::create`] is to create, with the role and the configuration.
pub struct NewAccount<'a, C, R> {
    /// The engine's configuration document, as it is stored now.
    pub config: &'a C,
    /// The document of the requested role.
    pub role: &'a R,
    /// The name that the account is given, which nobody can guess.
    pub name: &'a str,
    /// The password that the account is given.
    pub password: &'a Secret<String>,
    /// The instance's services and the caller's details.
    pub context: &'a Context,
}

impl<C, R> fmt::Debug for NewAccount<'_, C, R> {
    /// Leaves the password and the documents out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAccount").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The arguments of [`DynamicAccount::delete`] and [`DynamicAccount::exists`].
pub struct ExistingAccount<'a, C> {
    /// The engine's configuration document, which may have changed since the account was created.
    pub config: &'a C,
    /// The name of the account.
    pub name: &'a str,
    /// The instance's services; there may be no caller.
    pub context: &'a Context,
}

impl<C> fmt::Debug for ExistingAccount<'_, C> {
    /// Leaves the configuration out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExistingAccount").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A dynamic account as a credential.
struct AccountCredential<A>(A);

/// The response to the request for an account.
#[derive(ResponseData)]
struct AccountResponse {
    /// Name of the account.
    username: Identifier,
    /// Its password.
    password: Secret<String>,
}

/// What is stored with the lease: the name, which is enough to delete the account.
#[derive(Receipt)]
struct AccountReceipt {
    username: Identifier,
}

impl<A: DynamicAccount> AccountCredential<A> {
    async fn delete(&self, outside: &RevokeContext<'_, Self>, name: &str) -> Result<bool, Error> {
        self.0.delete(&existing(outside, name)).await
    }
}

fn existing<'a, A: DynamicAccount>(
    outside: &RevokeContext<'a, AccountCredential<A>>,
    name: &'a str,
) -> ExistingAccount<'a, A::Config> {
    ExistingAccount { config: outside.config, name, context: outside.context }
}

impl<A: DynamicAccount> Credential for AccountCredential<A> {
    const KIND: &'static str = A::KIND;
    const PATH: &'static str = A::PATH;
    const HELP: &'static str = A::HELP;
    const CALLS: u32 = A::CALLS;

    type Config = A::Config;
    type Role = A::Role;
    type Input = ();
    type Response = AccountResponse;
    type Receipt = AccountReceipt;
    type Renewal = RenewableInPlace;
    type Undo = ByName;

    fn lifetime(role: &A::Role) -> Lifetime {
        A::lifetime(role)
    }

    fn name_format(config: &A::Config, role: &A::Role) -> NameFormat {
        A::name_format(config, role)
    }

    fn timeout(config: &A::Config) -> Duration {
        A::timeout(config)
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let &IssueRequest { config, role, context, .. } = order;
        let too_long = || Error::internal("the name of an account has at most 512 bytes");
        let username =
            Identifier::parse(&order.name.fit(A::MAX_NAME_BYTES)).ok_or_else(too_long)?;
        let password = context.new_password().await?;
        let account =
            NewAccount { config, role, name: username.as_str(), password: &password, context };
        self.0.create(&account).await?;
        let receipt = AccountReceipt { username: username.clone() };
        Ok(IssuedCredential::new(AccountResponse { username, password }, receipt))
    }

    async fn revoke(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &AccountReceipt,
    ) -> Result<RevokeOutcome, Error> {
        match self.delete(outside, receipt.username.as_str()).await? {
            true => Ok(RevokeOutcome::Now),
            false => Ok(RevokeOutcome::AlreadyGone),
        }
    }
}

impl<A: DynamicAccount> UndoByName for AccountCredential<A> {
    async fn undo(
        &self,
        outside: &RevokeContext<'_, Self>,
        name: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        match self.delete(outside, &name.fit(A::MAX_NAME_BYTES)).await? {
            true => Ok(UndoOutcome::Removed),
            false => Ok(UndoOutcome::NotFound),
        }
    }
}

impl<A: DynamicAccount> RenewInPlace for AccountCredential<A> {
    async fn still_exists(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &AccountReceipt,
    ) -> Result<bool, Error> {
        self.0.exists(&existing(outside, receipt.username.as_str())).await
    }
}

impl crate::Blueprint {
    /// Adds accounts that are created on request and deleted when their leases end.
    #[must_use]
    pub fn dynamic_account<A: DynamicAccount>(self, account: A) -> Self {
        self.credential(AccountCredential(account))
    }
}
