//! [`Syntax`]: which of the two grammars a text follows.

/// The grammar that a text follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// HCL 1, the native syntax.
    Native,
    /// JSON as in RFC 8259.
    Json,
}

/// Whether a character can continue an identifier, or the closing word after `<<`.
pub(crate) fn is_letter_or_digit(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
