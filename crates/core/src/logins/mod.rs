//! Tokens issued by auth methods. The method decides who the user is and on which terms; the core
//! creates, renews and revokes the token.
//!
//! - this file: [`LoginService`]
//! - [`issue`]: issuing the token of a login, before the response is sent
//! - [`renew`]: calling the method when such a token is renewed
//! - [`record`]: the login data stored with the token's lease for that
//! - [`lockout`]: locking users after too many failed logins

pub(crate) mod issue;
pub mod lockout;
pub(crate) mod record;
pub(crate) mod renew;

use std::sync::Arc;

use crate::error::Error;
use crate::tokens::TokenService;

/// Issues and renews the tokens of logins.
#[derive(Debug)]
pub struct LoginService {
    pub(crate) tokens: Arc<TokenService>,
}

/// The error for renewing a token that has reached its maximum lifetime.
pub fn past_max_ttl() -> Error {
    Error::invalid("past the max TTL, cannot renew")
}
