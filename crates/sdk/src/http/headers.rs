//! Header values that hold secrets.

use bytes::Bytes;
use http::HeaderValue;
use strongroom_types::Secret;

/// The parts joined to one header value, which is wiped when its last copy is dropped and is not
/// shown by `Debug`. `None` if it has a character that no header may have, such as a line break.
pub(super) fn secret_header_value(parts: &[&str]) -> Option<HeaderValue> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut joined = Secret::new(Vec::with_capacity(length));
    for part in parts {
        joined.expose_secret_mut().extend_from_slice(part.as_bytes());
    }
    let mut value = HeaderValue::from_maybe_shared(wiped_bytes(joined)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The secret as shared bytes, which are wiped when their last copy is dropped.
pub(super) fn wiped_bytes(secret: Secret<Vec<u8>>) -> Bytes {
    struct SecretOwner(Secret<Vec<u8>>);
    impl AsRef<[u8]> for SecretOwner {
        fn as_ref(&self) -> &[u8] {
            self.0.expose_secret()
        }
    }
    Bytes::from_owner(SecretOwner(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_header_is_not_shown_and_has_no_line_breaks() {
        let value = secret_header_value(&["Bearer ", "hunter2"]).unwrap();
        assert_eq!(value, "Bearer hunter2");
        assert_eq!(format!("{value:?}"), "Sensitive");
        for bad in ["a\r\nx-admin: 1", "a\n", "a\0"] {
            assert!(secret_header_value(&[bad]).is_none(), "{bad:?}");
        }
    }
}
