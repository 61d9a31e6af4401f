//! Distinguished names in their text form (RFC 4514).

use std::fmt::Write;

/// Escapes a value for a distinguished name (RFC 4514, 2.4): whatever it contains, it stays the value of
/// one attribute. This is not the escaping of a search filter, see [`escape_filter_value`]. `=`, and
/// `#` at any place, are escaped as well, as Active Directory asks.
///
/// ```
/// assert_eq!(strongroom_sdk::ldap::escape_dn_value("a,ou=b"), r"a\2cou\3db");
/// ```
///
/// [`escape_filter_value`]: super::escape_filter_value
pub fn escape_dn_value(value: &str) -> String {
    let last = value.len().saturating_sub(1);
    let mut escaped = String::with_capacity(value.len());
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' | b'#' | 0..=0x1f | 0x7f.. => {
                let _ = write!(escaped, "\\{byte:02x}");
            }
            b' ' if at == 0 || at == last => escaped.push_str("\\20"),
            plain => escaped.push(char::from(plain)),
        }
    }
    escaped
}

/// The attributes of a distinguished name from left to right, each with its value; `None` if it isn't
/// one. The parts of a name with several attributes (`cn=a+uid=b`) follow each other.
pub fn attributes_of_dn(dn: &str) -> Option<Vec<(String, String)>> {
    if dn.trim().is_empty() {
        return None;
    }
    let mut attributes = Vec::new();
    let mut rest = dn;
    loop {
        let (name, value) = rest.split_once('=')?;
        let name = name.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if name.is_empty() || !name.chars().all(fits) {
            return None;
        }
        let (value, after) = read_value(value)?;
        attributes.push((name.to_owned(), value));
        match after {
            None => return Some(attributes),
            Some(after) => rest = after,
        }
    }
}

/// The value at the start of a text, and what follows its separator, if there is one.
fn read_value(text: &str) -> Option<(String, Option<&str>)> {
    let text = text.trim_start_matches(' ');
    let (mut value, mut kept) = (Vec::new(), 0);
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b',' | b'+' | b';' => {
                value.truncate(kept);
                return Some((String::from_utf8(value).ok()?, text.get(at + 1..)));
            }
            b'"' | b'<' | b'>' | 0 => return None,
            b'\\' => {
                let (_, first) = bytes.next()?;
                match char::from(first).to_digit(16) {
                    None => value.push(first),
                    Some(high) => {
                        let low = char::from(bytes.next()?.1).to_digit(16)?;
                        value.push(u8::try_from(high * 16 + low).ok()?);
                    }
                }
                kept = value.len();
            }
            b' ' => value.push(b' '),
            plain => {
                value.push(plain);
                kept = value.len();
            }
        }
    }
    value.truncate(kept);
    Some((String::from_utf8(value).ok()?, None))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_directories_write_them() {
        let read = |dn| attributes_of_dn(dn).map(|all| all.into_iter().next().unwrap_or_default());
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(read("cn=Admins,ou=groups,dc=a"), pair("cn", "Admins"));
        assert_eq!(read(r"CN=Smith\, Bob , DC=a"), pair("CN", "Smith, Bob"));
        assert_eq!(read(r"cn=M\c3\bcller,dc=a"), pair("cn", "Müller"));
        assert_eq!(read(r"cn=a\ ,dc=b"), pair("cn", "a "));
        assert_eq!(attributes_of_dn("cn=a+uid=b,dc=c").map(|all| all.len()), Some(3));
        for bad in ["", "admins", "cn=a,", "=a", "cn=\"a\"", r"cn=a\", "c n=a"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn cve_2026_55770_an_escaped_value_is_one_value_of_a_name(value in any::<String>()) {
            let dn = format!("uid={},ou=people", escape_dn_value(&value));
            let read = attributes_of_dn(&dn);
            let expected = [("uid", value.as_str()), ("ou", "people")];
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            prop_assert_eq!(read, Some(expected.to_vec()));
        }

        #[test]
        fn cve_2026_55770_each_escaping_protects_its_own_place(value in "[*()\\\\,=+ a#]{1,8}") {
            let filter = super::super::escape_filter_value(&value);
            let name = escape_dn_value(&value);
            prop_assert!(!filter.contains(['*', '(', ')']));
            prop_assert!(!name.contains([',', '=', '+', '#']));
        }
    }
}
