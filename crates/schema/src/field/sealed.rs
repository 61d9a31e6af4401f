//! [`Sealed`]: a secret that is stored with a lease, because only the secret itself revokes it.

use serde_json::value::RawValue;
use strongroom_types::Secret;
use strongroom_types::fields::write_string;

use super::{Field, FieldKind, InvalidValue, LeaseSafe};

/// A secret in a receipt, for an outside system that revokes a credential only if it receives the
/// credential itself, such as `DELETE /installation/token` with the token to be deleted.
///
/// It is written and deleted together with the lease, and passed to the engine only when the lease
/// is revoked or renewed. No response, log line or look-up of the lease contains it. The host
/// stores such a lease under the seal as well, like a document with `seal_wrap`. Under Vault and
/// OpenBao, whose leases can't be wrapped with the seal, it is encrypted like everything else in
/// their storage.
///
/// Prefer an [`Identifier`](super::Identifier) wherever the outside system can revoke by a name or
/// an id: a credential that isn't stored can't be stolen.
pub struct Sealed(Secret<String>);

impl Sealed {
    /// Takes over a secret that no client receives.
    pub fn new(secret: Secret<String>) -> Self {
        Self(secret)
    }

    /// A copy of the secret, which is usually returned to the client as well.
    pub fn copy_of(secret: &Secret<String>) -> Self {
        Self(Secret::from_text(secret.expose_secret()))
    }

    /// The secret, for the call that revokes or renews the credential.
    pub fn secret(&self) -> &Secret<String> {
        &self.0
    }
}

impl Field for Sealed {
    const KIND: FieldKind = FieldKind::String;
    const SECRET: bool = true;

    fn value_if_absent() -> Option<Self> {
        None
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        Secret::read(raw).map(Self)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_string(out, self.0.expose_secret());
        true
    }
}

impl LeaseSafe for Sealed {
    const SEALED: bool = true;
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed")
    }
}
