//! The auth method `userpass`: users log in with a name and a password, of which the server stores a
//! bcrypt hash.
//!
//! Paths: `users/:username` (password, policies and token fields), `users/:username/password`,
//! `users/:username/policies`, `login/:username`. Guide and API reference:
//! `docs/src/auth/userpass.md`.

mod password;
mod user;

use std::sync::Arc;

use strongroom_sdk::login::{LoginGrant, LoginRenewal, LoginRequest};
use strongroom_sdk::*;

use crate::password::PasswordHasher;
use crate::user::{User, set_password, set_policies};

/// The blueprint of the auth method, which a server or a plug-in process is started with.
pub fn blueprint() -> Blueprint {
    Blueprint::auth_method("userpass", env!("CARGO_PKG_VERSION"))
        .help("Logs users in with a name and a password.")
        .document::<User>()
        .write("users/{username}/password", "Sets the password of a user.", set_password)
        .write("users/{username}/policies", "Sets the policies of a user.", set_policies)
        .login(PasswordLogin { hasher: PasswordHasher::shared() })
}

/// The login with a user name and a password.
struct PasswordLogin {
    hasher: Arc<PasswordHasher>,
}

/// Who logs in, and the password.
#[derive(Input)]
struct PasswordInput {
    /// Name of the user; taken from the path. Upper and lower case are the same.
    username: String,
    /// Password of the user.
    password: Option<Secret<String>>,
}

impl Login for PasswordLogin {
    const PATH: &'static str = "login/{username}";
    const HELP: &'static str = "Logs a user in with a password.";
    const REFUSED: &'static str = "invalid username or password";
    type Input = PasswordInput;

    fn alias(&self, input: &PasswordInput) -> Option<String> {
        Some(input.username.clone())
    }

    fn check_input(&self, input: &PasswordInput) -> Result<(), Error> {
        let given = input.password.as_ref();
        given.map(|_| ()).ok_or_else(|| Error::user("missing password"))
    }

    async fn authenticate(
        &self,
        request: &LoginRequest<'_>,
        input: PasswordInput,
    ) -> Result<LoginGrant, LoginError> {
        let PasswordInput { username, password } = input;
        let Some(password) = password else { return Err(LoginError::refused()) };
        let verify = |user: Arc<User>| self.hasher.verify(user, password);
        let user = request.verify_account(&username, User::decoy(), verify).await?;
        let identity = Identity::new(user.name()).with_metadata("username", user.name());
        Ok(LoginGrant::new(identity, &user.token))
    }

    async fn renew(&self, renewal: &LoginRenewal<'_>) -> Result<TokenTerms, Error> {
        Ok(TokenTerms::from(&renewal.account::<User>().await?.token))
    }
}
