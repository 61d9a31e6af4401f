//! [`AccessorHash`]: an accessor as the log shows it.

use std::sync::OnceLock;

use strongroom_crypto::digest::sha256;
use strongroom_types::Accessor;

/// The first 16 hexadecimal digits of the SHA-256 of an accessor. The accessor itself would allow
/// any reader of the log to look up and revoke the token.
///
/// Computed at first use and kept with the decoded token, because every request needs it. It is
/// determined by the accessor, so two are always equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessorHash(OnceLock<String>);

impl AccessorHash {
    /// The hash of `accessor`, which must be the same at each call.
    pub(crate) fn of(&self, accessor: &Accessor) -> &str {
        self.0.get_or_init(|| {
            let [a, b, c, d, e, f, g, h, ..] = sha256(accessor.as_str().as_bytes());
            format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
        })
    }
}

impl PartialEq for AccessorHash {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for AccessorHash {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_start_of_what_sha256sum_prints() {
        let hash = AccessorHash::default();
        let accessor = Accessor::parse("abc").unwrap();
        assert_eq!(hash.of(&accessor), "ba7816bf8f01cfea");
        assert_eq!(hash.of(&accessor), "ba7816bf8f01cfea");
    }
}
