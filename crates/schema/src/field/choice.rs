//! [`FieldChoice`]: an enum as a field, with a fixed list of values.

use super::{Field, LeaseSafe};

/// A field that is one of a fixed list of texts. Derive it for an enum without data:
///
/// ```
/// use strongroom_schema::{FieldChoice, Fields, Input};
///
/// /// How the service is called.
/// #[derive(Clone, Copy, Debug, PartialEq, FieldChoice)]
/// enum CallMode {
///     Direct,
///     ViaProxy,
///     #[choice(rename = "tls1.3")]
///     Tls,
/// }
///
/// /// The connection to the service.
/// #[derive(Input)]
/// struct Connection {
///     /// How the service is called.
///     #[field(default = "direct")]
///     mode: CallMode,
/// }
///
/// assert_eq!(CallMode::VALUES, ["direct", "via-proxy", "tls1.3"]);
/// let connection = Connection::from_fields(&Fields::new()).unwrap();
/// assert_eq!((connection.mode, connection.mode.as_str()), (CallMode::Direct, "direct"));
///
/// let wrong = Fields::from_trusted(br#"{"mode":"by-post"}"#).unwrap();
/// let error = Connection::from_fields(&wrong).err().unwrap();
/// assert!(error.to_string().ends_with(r#"expected one of "direct", "via-proxy", "tls1.3""#));
/// ```
///
/// A value is the variant's name in small letters with hyphens, unless `#[choice(rename = "…")]`
/// gives another. Values are compared exactly. Help and OpenAPI list them, and a default that is
/// none of them is a compile error. There is no value for an absent field: it is required, has a
/// default, or is an `Option`.
pub trait FieldChoice: Field + LeaseSafe + Copy {
    /// The values that clients may send, in the order of the variants.
    const VALUES: &'static [&'static str];

    /// The value of this variant, as clients send and receive it.
    fn as_str(self) -> &'static str;
}

/// Whether a default is one of the allowed values of its field; every text is if there are none.
pub(super) const fn is_allowed_value(text: &[u8], allowed: &[&str]) -> bool {
    let mut rest = allowed;
    while let [first, others @ ..] = rest {
        if is_same_text(first.as_bytes(), text) {
            return true;
        }
        rest = others;
    }
    allowed.is_empty()
}

/// Compares byte by byte, since `==` isn't available in constants.
pub(super) const fn is_same_text(a: &[u8], b: &[u8]) -> bool {
    let (mut left, mut right) = (a, b);
    while let ([first, others_left @ ..], [second, others_right @ ..]) = (left, right) {
        if *first != *second {
            return false;
        }
        (left, right) = (others_left, others_right);
    }
    left.is_empty() && right.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_must_be_an_allowed_value() {
        let allowed = ["direct", "via-proxy"];
        assert!(is_allowed_value(b"direct", &allowed) && is_allowed_value(b"via-proxy", &allowed));
        for text in ["", "dir", "directly", "Direct"] {
            assert!(!is_allowed_value(text.as_bytes(), &allowed), "{text}");
        }
        assert!(is_allowed_value(b"anything", &[]));
    }
}
