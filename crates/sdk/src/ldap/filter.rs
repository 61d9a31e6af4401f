//! [`LdapFilter`]: search filters in their text form (RFC 4515), and what a value must be escaped for
//! to stand in one.

use std::fmt::Write;

use super::ber::{BerWriter, OCTET_STRING, SEQUENCE};

/// A search filter that has been parsed, so that it can't be anything else than what its text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapFilter(FilterNode);

/// Why a text is no search filter. The text of the error quotes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no LDAP filter (RFC 4515): {0}")]
pub struct LdapFilterError(&'static str);

/// How deeply filters may be nested.
const MAX_DEPTH: usize = 32;
/// The maximum length of a filter, in bytes.
const MAX_BYTES: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
enum FilterNode {
    And(Vec<FilterNode>),
    Or(Vec<FilterNode>),
    Not(Box<FilterNode>),
    /// The tag tells `=`, `>=`, `<=` and `~=` apart.
    Compare {
        tag: u8,
        attribute: String,
        value: Vec<u8>,
    },
    Present {
        attribute: String,
    },
    Substrings {
        attribute: String,
        parts: Vec<(u8, Vec<u8>)>,
    },
    Extensible {
        rule: String,
        attribute: String,
        value: Vec<u8>,
        with_dn: bool,
    },
}

const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUAL: u8 = 0xa3;
const SUBSTRINGS: u8 = 0xa4;
const GREATER: u8 = 0xa5;
const LESS: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const APPROXIMATE: u8 = 0xa8;
const EXTENSIBLE: u8 = 0xa9;
const INITIAL: u8 = 0x80;
const ANY: u8 = 0x81;
const FINAL: u8 = 0x82;

/// Escapes a value for a search filter (RFC 4515, section 3): whatever it contains, it stays one
/// value. This is not the escaping of a distinguished name, see [`escape_dn_value`].
///
/// ```
/// assert_eq!(strongroom_sdk::ldap::escape_filter_value("a*)(b"), r"a\2a\29\28b");
/// ```
///
/// [`escape_dn_value`]: super::escape_dn_value
pub fn escape_filter_value(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'*' | b'(' | b')' | b'\\' | 0..=0x1f | 0x7f.. => {
                let _ = write!(escaped, "\\{byte:02x}");
            }
            plain => escaped.push(char::from(plain)),
        }
    }
    escaped
}

impl LdapFilter {
    /// Parses a filter such as `(&(objectClass=person)(uid=alice))`.
    ///
    /// # Errors
    ///
    /// [`LdapFilterError`] if it is no filter, is longer than 64 KiB, or is nested more than 32 times.
    pub fn parse(text: &str) -> Result<Self, LdapFilterError> {
        if text.len() > MAX_BYTES {
            return Err(LdapFilterError("it is too long"));
        }
        let (node, rest) = parse_node(text.trim(), 0)?;
        match rest.is_empty() {
            true => Ok(Self(node)),
            false => Err(LdapFilterError("something follows its last parenthesis")),
        }
    }

    /// Entries whose attribute has this value, which needs no escaping.
    pub fn equals(attribute: &str, value: &str) -> Self {
        let (attribute, value) = (attribute.to_owned(), value.as_bytes().to_vec());
        Self(FilterNode::Compare { tag: EQUAL, attribute, value })
    }

    /// A filter that every entry fits.
    pub fn any_entry() -> Self {
        Self(FilterNode::Present { attribute: "objectClass".to_owned() })
    }

    pub(super) fn write(&self, out: &mut BerWriter) {
        self.0.write(out);
    }
}

impl FilterNode {
    fn write(&self, out: &mut BerWriter) {
        let all = |out: &mut BerWriter, nodes: &[Self]| nodes.iter().for_each(|it| it.write(out));
        match self {
            Self::And(nodes) => out.constructed(AND, |out| all(out, nodes)),
            Self::Or(nodes) => out.constructed(OR, |out| all(out, nodes)),
            Self::Not(node) => out.constructed(NOT, |out| node.write(out)),
            Self::Compare { tag, attribute, value } => out.constructed(*tag, |out| {
                out.octets(OCTET_STRING, attribute.as_bytes());
                out.octets(OCTET_STRING, value);
            }),
            Self::Present { attribute } => out.octets(PRESENT, attribute.as_bytes()),
            Self::Substrings { attribute, parts } => out.constructed(SUBSTRINGS, |out| {
                out.octets(OCTET_STRING, attribute.as_bytes());
                out.constructed(SEQUENCE, |out| {
                    parts.iter().for_each(|(tag, part)| out.octets(*tag, part));
                });
            }),
            Self::Extensible { rule, attribute, value, with_dn } => {
                out.constructed(EXTENSIBLE, |out| {
                    if !rule.is_empty() {
                        out.octets(0x81, rule.as_bytes());
                    }
                    if !attribute.is_empty() {
                        out.octets(0x82, attribute.as_bytes());
                    }
                    out.octets(0x83, value);
                    if *with_dn {
                        out.boolean(0x84, true);
                    }
                });
            }
        }
    }
}

fn parse_node(text: &str, depth: usize) -> Result<(FilterNode, &str), LdapFilterError> {
    if depth >= MAX_DEPTH {
        return Err(LdapFilterError("it is nested too deeply"));
    }
    let inner = text.strip_prefix('(').ok_or(LdapFilterError("a filter begins with ("))?;
    let (node, rest) = match inner.as_bytes().first() {
        Some(b'&') => {
            let (nodes, rest) = parse_nodes(inner.get(1..).unwrap_or_default(), depth + 1)?;
            (FilterNode::And(nodes), rest)
        }
        Some(b'|') => {
            let (nodes, rest) = parse_nodes(inner.get(1..).unwrap_or_default(), depth + 1)?;
            (FilterNode::Or(nodes), rest)
        }
        Some(b'!') => {
            let (node, rest) =
                parse_node(inner.get(1..).unwrap_or_default().trim_start(), depth + 1)?;
            (FilterNode::Not(Box::new(node)), rest.trim_start())
        }
        _ => {
            let end = inner.find([')', '(']).ok_or(LdapFilterError("a ) is missing"))?;
            let (item, rest) = inner.split_at(end);
            (parse_item(item)?, rest)
        }
    };
    let rest = rest.strip_prefix(')').ok_or(LdapFilterError("a ) is missing"))?;
    Ok((node, rest))
}

fn parse_nodes(text: &str, depth: usize) -> Result<(Vec<FilterNode>, &str), LdapFilterError> {
    let (mut nodes, mut rest) = (Vec::new(), text.trim_start());
    while rest.starts_with('(') {
        let (node, after) = parse_node(rest, depth)?;
        nodes.push(node);
        rest = after.trim_start();
    }
    Ok((nodes, rest))
}

fn parse_item(item: &str) -> Result<FilterNode, LdapFilterError> {
    let (left, right) = item.split_once('=').ok_or(LdapFilterError("a comparison has no ="))?;
    let (attribute, tag) = match left.as_bytes().last() {
        Some(b'>') => (left.strip_suffix('>').unwrap_or_default(), GREATER),
        Some(b'<') => (left.strip_suffix('<').unwrap_or_default(), LESS),
        Some(b'~') => (left.strip_suffix('~').unwrap_or_default(), APPROXIMATE),
        Some(b':') => (left.strip_suffix(':').unwrap_or_default(), EXTENSIBLE),
        _ => (left, EQUAL),
    };
    let attribute = attribute.trim();
    if tag == EXTENSIBLE {
        return parse_extensible(attribute, right);
    }
    check_attribute(attribute)?;
    let attribute = attribute.to_owned();
    if tag != EQUAL || !right.contains('*') {
        let value = unescape(right)?;
        return Ok(FilterNode::Compare { tag, attribute, value });
    }
    if right == "*" {
        return Ok(FilterNode::Present { attribute });
    }
    let pieces: Vec<&str> = right.split('*').collect();
    let last = pieces.len().saturating_sub(1);
    let mut parts = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        let tag = if place == 0 {
            INITIAL
        } else if place == last {
            FINAL
        } else {
            ANY
        };
        match piece.is_empty() {
            true if tag == ANY => return Err(LdapFilterError("two * follow each other")),
            true => {}
            false => parts.push((tag, unescape(piece)?)),
        }
    }
    Ok(FilterNode::Substrings { attribute, parts })
}

/// `attribute[:dn][:rule]`, of which the `:` before the `=` is cut off.
fn parse_extensible(text: &str, value: &str) -> Result<FilterNode, LdapFilterError> {
    let mut names = text.split(':');
    let attribute = names.next().unwrap_or_default();
    let (mut rule, mut with_dn) = ("", false);
    for name in names {
        match name {
            "dn" if rule.is_empty() && !with_dn => with_dn = true,
            name if rule.is_empty() => rule = name,
            _ => return Err(LdapFilterError("an extensible match has two rules")),
        }
    }
    if attribute.is_empty() && rule.is_empty() {
        return Err(LdapFilterError("an extensible match has neither attribute nor rule"));
    }
    for name in [attribute, rule].into_iter().filter(|name| !name.is_empty()) {
        check_attribute(name)?;
    }
    let (rule, attribute) = (rule.to_owned(), attribute.to_owned());
    Ok(FilterNode::Extensible { rule, attribute, value: unescape(value)?, with_dn })
}

/// An attribute's name or number, with options.
fn check_attribute(name: &str) -> Result<(), LdapFilterError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';' | '_');
    match !name.is_empty() && name.chars().all(fits) {
        true => Ok(()),
        false => Err(LdapFilterError("an attribute has characters that no name has")),
    }
}

fn unescape(text: &str) -> Result<Vec<u8>, LdapFilterError> {
    let mut bytes = text.bytes();
    let mut value = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                let digits = [bytes.next(), bytes.next()];
                let digit = |at: Option<u8>| at.and_then(|byte| char::from(byte).to_digit(16));
                let [Some(high), Some(low)] = digits.map(digit) else {
                    return Err(LdapFilterError("a \\ is not followed by two hexadecimal digits"));
                };
                value.push(u8::try_from(high * 16 + low).unwrap_or_default());
            }
            b'*' => return Err(LdapFilterError("a * is not escaped")),
            0 => return Err(LdapFilterError("a NUL character is not escaped")),
            plain => value.push(plain),
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn filters_of_directories_are_parsed() {
        for text in [
            "(|(memberUid=a)(member=cn=a,dc=b)(uniqueMember=cn=a,dc=b))",
            "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:=cn=a,dc=b))",
            "(!(uid=a))",
            "(cn=a*b*c)",
            "(cn=*)",
            "(&(uid>=a)(uid<=b)(uid~=c))",
            "(cn:dn:caseExactMatch:=a)",
            "(&)",
            "(& (a=b) (c=d) )",
        ] {
            assert!(LdapFilter::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "uid=a",
            "(uid=a",
            "(uid=a))",
            "(uid=a)(uid=b)",
            "(=a)",
            "(u id=a)",
            "(uid=a\\2)",
            "(uid=a**b)",
            "(uid>=a*)",
            "(:=a)",
            "(!(a=b)(c=d))",
            "(uid=(a))",
        ] {
            assert!(LdapFilter::parse(text).is_err(), "{text}");
        }
        let deep = format!("{}(a=b){}", "(!".repeat(40), ")".repeat(40));
        assert!(LdapFilter::parse(&deep).is_err());
    }

    proptest! {
        #[test]
        fn cve_2026_55770_an_escaped_value_is_one_value_of_a_filter(value in any::<String>()) {
            let text = format!("(uid={})", escape_filter_value(&value));
            prop_assert_eq!(LdapFilter::parse(&text), Ok(LdapFilter::equals("uid", &value)));
        }
    }
}
