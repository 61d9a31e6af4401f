//! Auth methods, where they meet tokens. A method says who somebody is and on which terms; the token
//! is the core's to make, to renew and to end.
//!
//! - [`issue`]: a login becomes a token, before the answer leaves
//! - [`renew`]: the method is asked again when such a token is renewed
//! - [`record`]: what is kept of a login for that

pub(crate) mod issue;
pub(crate) mod record;
pub(crate) mod renew;

use crate::error::Error;

/// A token that has reached its longest lifetime.
pub(crate) fn past_max_ttl() -> Error {
    Error::invalid("past the max TTL, cannot renew")
}
