//! Converts whether a response has secrets from a constant into a type. For the derive macros.

use crate::action::{WithSecrets, WithoutSecrets};

/// Whether one of a struct's fields is a secret.
#[doc(hidden)]
#[derive(Debug)]
pub struct SecretPresence<const IS_PRESENT: bool>;

/// The [`ResponseData::Secrecy`](crate::ResponseData::Secrecy) of a struct.
#[doc(hidden)]
pub trait SecrecyOf {
    /// [`WithSecrets`] or [`WithoutSecrets`].
    type Secrecy: 'static;
}

impl SecrecyOf for SecretPresence<true> {
    type Secrecy = WithSecrets;
}

impl SecrecyOf for SecretPresence<false> {
    type Secrecy = WithoutSecrets;
}
