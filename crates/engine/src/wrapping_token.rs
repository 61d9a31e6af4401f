//! [`WrappingToken`]: the single-use token that stands for data that a host has wrapped.

use std::fmt;

use strongroom_types::{Secret, Timestamp, Ttl};

/// The token with which a client gets the wrapped data, once. Documented at
/// <https://developer.hashicorp.com/vault/docs/concepts/response-wrapping>.
pub struct WrappingToken {
    /// The token itself. Whoever has it gets the data.
    pub token: Secret<String>,
    /// The accessor of the token, with which it can be looked up or revoked.
    pub accessor: String,
    /// How long the data can be unwrapped; at most what was requested.
    pub ttl: Ttl,
    /// When the data was wrapped.
    pub creation_time: Timestamp,
    /// The path that a look-up of the token shows: `sys/wrapping/wrap`.
    pub creation_path: String,
}

impl fmt::Debug for WrappingToken {
    /// Prints neither the token nor its accessor.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappingToken").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
