//! Search filters of the fake: and, or, not, equality and presence.

use super::FakeEntry;
use super::ber::{Element, content_at, elements, text_of};

/// Whether an entry matches an encoded filter. Kinds of filters that the fake doesn't have match
/// nothing.
pub(super) fn matches(entry: &FakeEntry, (tag, content): Element<'_>) -> bool {
    match tag {
        0xa0 => elements(content).into_iter().all(|inner| matches(entry, inner)),
        0xa1 => elements(content).into_iter().any(|inner| matches(entry, inner)),
        0xa2 => !elements(content).into_iter().any(|inner| matches(entry, inner)),
        0xa3 => {
            let parts = elements(content);
            let attribute = text_of(content_at(&parts, 0));
            let wanted = comparable(&text_of(content_at(&parts, 1)));
            let mut values = entry.values(&attribute);
            values.any(|value| comparable(&text_of(value)) == wanted)
        }
        0x87 => {
            let attribute = text_of(content);
            attribute.eq_ignore_ascii_case("objectClass")
                || entry.values(&attribute).next().is_some()
        }
        _ => false,
    }
}

/// A text as directories compare it: in lower case, and with one space for several.
pub(super) fn comparable(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
