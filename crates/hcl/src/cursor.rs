//! Reads a text once, character by character, and tracks the line and column.

use crate::error::Position;

/// A position in a text that only moves forward. Line and column are counted along the way, so
/// finding a position stays linear even in very long lines.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'t> {
    text: &'t str,
    rest: std::str::Chars<'t>,
    position: Position,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, rest: text.chars(), position: Position::START }
    }

    /// The position just after the end of a text.
    pub(crate) fn end_of(text: &str) -> Position {
        let mut cursor = Cursor::new(text);
        while cursor.advance().is_some() {}
        cursor.position
    }

    /// The position of the next character.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The byte offset of the next character, for [`Self::text_since`].
    pub(crate) fn offset(&self) -> usize {
        self.text.len() - self.rest.as_str().len()
    }

    /// The text from an earlier byte offset up to the current position.
    pub(crate) fn text_since(&self, offset: usize) -> &'t str {
        self.text.get(offset..self.offset()).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    pub(crate) fn peek_second(&self) -> Option<char> {
        self.rest.clone().nth(1)
    }

    pub(crate) fn advance(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.position.line = self.position.line.saturating_add(1);
            self.position.column = 1;
        } else {
            self.position.column = self.position.column.saturating_add(1);
        }
        Some(c)
    }

    /// Consumes this character if it is the next one; returns whether it was.
    pub(crate) fn eat_char(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.advance();
        }
        found
    }

    /// Consumes the longest run of matching characters and returns it.
    pub(crate) fn eat_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let start = self.offset();
        while self.peek().is_some_and(&wanted) {
            self.advance();
        }
        self.text_since(start)
    }
}
