//! The encoding of LDAP messages, as far as the fake needs it.

/// One element: its tag and its content.
pub(super) type Element<'a> = (u8, &'a [u8]);

/// The first element of `bytes`, and what follows it.
pub(super) fn split_element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..=0x7f => (short, rest),
        long => {
            let (digits, rest) = rest.split_at_checked(long & 0x7f)?;
            (digits.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some(((*tag, content), rest))
}

/// All elements of a content.
pub(super) fn elements(mut bytes: &[u8]) -> Vec<Element<'_>> {
    let mut all = Vec::new();
    while let Some((element, rest)) = split_element(bytes) {
        all.push(element);
        bytes = rest;
    }
    all
}

/// The content of the element at this place; empty if there is none.
pub(super) fn content_at<'a>(all: &[Element<'a>], place: usize) -> &'a [u8] {
    all.get(place).map_or(&[], |(_, content)| content)
}

/// A content as text.
pub(super) fn text_of(content: &[u8]) -> String {
    String::from_utf8_lossy(content).into_owned()
}

/// A content as a number.
pub(super) fn number_of(content: &[u8]) -> usize {
    content.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
}

/// Encodes an element.
pub(super) fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag, 0x84];
    bytes.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// Encodes an element with several ones in it.
pub(super) fn encode_all(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    encode(tag, &parts.concat())
}
