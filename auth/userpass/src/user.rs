//! [`User`]: the stored document of a user, and the actions that change parts of it.

use strongroom_sdk::document_hooks::{DocumentWrite, WriteHook};
use strongroom_sdk::*;

use crate::password::{DECOY_HASH, PasswordHasher};

/// A user: the password, and what the tokens of its logins may do.
#[derive(Document)]
#[document(path = "users/{username}", seal_wrap, folds_case, WriteHook)]
pub(crate) struct User {
    /// bcrypt hash of the password, instead of the password itself. Never shown.
    pub(crate) password_hash: Option<Secret<String>>,
    #[field(
        embed,
        legacy(
            token_policies = "policies",
            token_ttl = "ttl",
            token_max_ttl = "max_ttl",
            token_bound_cidrs = "bound_cidrs",
        ),
        echo
    )]
    pub(crate) token: TokenFields,
}

impl User {
    /// A user that no password fits. Checking a password against it takes as long as against that
    /// of an existing user.
    pub(crate) fn decoy() -> Self {
        let password_hash = Some(Secret::from_text(DECOY_HASH));
        Self { password_hash, token: TokenFields::default() }
    }
}

/// What a write of a user takes beside the stored fields.
#[derive(Input)]
pub(crate) struct UserInput {
    /// Password of the user; only its hash is stored.
    password: Option<Secret<String>>,
}

impl WriteHook for User {
    type Input = UserInput;

    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        input: UserInput,
    ) -> Result<(), Error> {
        let hasher = PasswordHasher::shared();
        let stored = write.stored().and_then(|user| user.password_hash.as_ref());
        let is_imported = !is_same_hash(self.password_hash.as_ref(), stored);
        match (input.password, &self.password_hash) {
            (Some(_), _) if is_imported => {
                Err(Error::user("only one of password and password_hash can be given"))
            }
            (Some(password), _) => {
                self.password_hash = Some(hasher.hash(write.context(), password).await?);
                Ok(())
            }
            (None, Some(hash)) if is_imported => hasher.check_hash(hash).await,
            (None, Some(_)) => Ok(()),
            (None, None) => Err(missing_password()),
        }
    }
}

fn is_same_hash(one: Option<&Secret<String>>, other: Option<&Secret<String>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.ct_eq(other.expose_secret().as_bytes()),
        (None, None) => true,
        _ => false,
    }
}

/// The new password of a user.
#[derive(Input)]
pub(crate) struct NewPassword {
    /// Name of the user; taken from the path.
    username: String,
    /// New password of the user.
    password: Option<Secret<String>>,
    /// bcrypt hash of the new password, instead of the password itself.
    password_hash: Option<Secret<String>>,
}

/// Sets the password of an existing user.
pub(crate) async fn set_password(context: Context, input: NewPassword) -> Result<Response, Error> {
    let hash = match (input.password, input.password_hash) {
        (Some(password), None) => PasswordHasher::shared().hash(&context, password).await?,
        (None, Some(hash)) => {
            PasswordHasher::shared().check_hash(&hash).await?;
            hash
        }
        (None, None) => return Err(missing_password()),
        (Some(_), Some(_)) => {
            return Err(Error::user("only one of password and password_hash can be given"));
        }
    };
    let change = |user: Option<User>| {
        let user = user.ok_or_else(unknown_user)?;
        let password_hash = Some(Secret::from_text(hash.expose_secret()));
        Ok(User { password_hash, ..user })
    };
    context.documents().change(&[&input.username], change).await?;
    Ok(Response::no_content())
}

/// The new policies of a user.
#[derive(Input)]
pub(crate) struct NewPolicies {
    /// Name of the user; taken from the path.
    username: String,
    /// Policies of the user's tokens.
    #[field(legacy = "policies")]
    token_policies: Option<PolicyNames>,
}

/// Replaces the policies of an existing user.
pub(crate) async fn set_policies(context: Context, input: NewPolicies) -> Result<Response, Error> {
    let missing = || Error::user("missing token_policies; an empty text removes all policies");
    let policies = input.token_policies.ok_or_else(missing)?;
    let change = |user: Option<User>| {
        let user = user.ok_or_else(unknown_user)?;
        let token = TokenFields { token_policies: policies.clone(), ..user.token };
        Ok(User { token, ..user })
    };
    context.documents().change(&[&input.username], change).await?;
    Ok(Response::no_content())
}

fn missing_password() -> Error {
    Error::user("must provide either password or password_hash")
}

fn unknown_user() -> Error {
    Error::user("username does not exist")
}
