//! Splits a text into tokens, for both syntaxes.

use crate::cursor::Cursor;
use crate::error::{ParseError, Position};
use crate::number::NumberLiteral;
use crate::string;
use crate::syntax::{Syntax, is_letter_or_digit};

/// A token. No `Debug`, because tokens hold values, which may be secret.
pub(crate) enum LexerToken {
    /// An unquoted key or label.
    Ident(String),
    /// A quoted string: a key, a label or a value.
    Text(String),
    /// A heredoc, which can only be a value.
    Heredoc(String),
    Number(NumberLiteral),
    Bool(bool),
    /// JSON's `null`; HCL has none.
    Null,
    /// The separator of key and value: `=` in HCL, `:` in JSON.
    Assign,
    Comma,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    End,
}

pub(crate) struct Lexer<'t> {
    cursor: Cursor<'t>,
    syntax: Syntax,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str, syntax: Syntax) -> Self {
        Self { cursor: Cursor::new(text), syntax }
    }

    pub(crate) fn syntax(&self) -> Syntax {
        self.syntax
    }

    /// Returns the next token and its position.
    pub(crate) fn next(&mut self) -> Result<(LexerToken, Position), ParseError> {
        self.skip_blank()?;
        let start = self.cursor.position();
        let Some(c) = self.cursor.peek() else { return Ok((LexerToken::End, start)) };
        if is_letter(c) {
            return Ok((self.scan_word(start)?, start));
        }
        if self.starts_number(c) {
            return Ok((self.scan_number(start)?, start));
        }
        self.cursor.advance();
        let token = match (c, self.syntax) {
            ('{', _) => LexerToken::OpenBrace,
            ('}', _) => LexerToken::CloseBrace,
            ('[', _) => LexerToken::OpenBracket,
            (']', _) => LexerToken::CloseBracket,
            (',', _) => LexerToken::Comma,
            ('=', Syntax::Native) | (':', Syntax::Json) => LexerToken::Assign,
            ('"', syntax) => {
                LexerToken::Text(string::read_quoted(&mut self.cursor, syntax, start)?)
            }
            ('<', Syntax::Native) => {
                LexerToken::Heredoc(string::read_heredoc(&mut self.cursor, start)?)
            }
            _ => return Err(ParseError::syntax_error(start, self.unexpected_char_problem(c))),
        };
        Ok((token, start))
    }

    /// Skips white space and, in HCL, comments.
    fn skip_blank(&mut self) -> Result<(), ParseError> {
        while self.next_comment()?.is_some() {}
        Ok(())
    }

    /// Skips white space; if a comment follows, consumes it and returns its source text.
    pub(crate) fn next_comment(&mut self) -> Result<Option<(&'t str, Position)>, ParseError> {
        self.cursor.eat_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
        let (start, from) = (self.cursor.position(), self.cursor.offset());
        match (self.cursor.peek(), self.cursor.peek_second(), self.syntax) {
            (_, _, Syntax::Json) => return Ok(None),
            (Some('#'), _, _) | (Some('/'), Some('/'), _) => {
                self.cursor.eat_while(|c| c != '\n');
            }
            (Some('/'), Some('*'), _) => self.skip_long_comment(start)?,
            _ => return Ok(None),
        }
        Ok(Some((self.cursor.text_since(from), start)))
    }

    /// The byte offset and the position of the next character.
    pub(crate) fn offset_and_position(&self) -> (usize, Position) {
        (self.cursor.offset(), self.cursor.position())
    }

    /// The source text from an earlier offset up to the current position.
    pub(crate) fn text_since(&self, offset: usize) -> &'t str {
        self.cursor.text_since(offset)
    }

    fn skip_long_comment(&mut self, start: Position) -> Result<(), ParseError> {
        self.cursor.advance();
        self.cursor.advance();
        loop {
            match self.cursor.advance() {
                Some('*') if self.cursor.eat_char('/') => return Ok(()),
                Some(_) => {}
                None => {
                    return Err(ParseError::syntax_error(start, "comment is not closed: add */"));
                }
            }
        }
    }

    fn scan_word(&mut self, start: Position) -> Result<LexerToken, ParseError> {
        let word = self.cursor.eat_while(|c| is_letter_or_digit(c) || matches!(c, '-' | '.'));
        match (word, self.syntax) {
            ("true", _) => Ok(LexerToken::Bool(true)),
            ("false", _) => Ok(LexerToken::Bool(false)),
            ("null", Syntax::Json) => Ok(LexerToken::Null),
            (_, Syntax::Json) => Err(ParseError::syntax_error(start, "text must stand in quotes")),
            (_, Syntax::Native) => Ok(LexerToken::Ident(word.to_owned())),
        }
    }

    fn starts_number(&self, c: char) -> bool {
        let next_is_digit = || self.cursor.peek_second().is_some_and(|c| c.is_ascii_digit());
        c.is_ascii_digit() || (matches!(c, '-' | '.') && next_is_digit())
    }

    fn scan_number(&mut self, start: Position) -> Result<LexerToken, ParseError> {
        let from = self.cursor.offset();
        self.cursor.eat_char('-');
        let hex =
            self.cursor.peek() == Some('0') && matches!(self.cursor.peek_second(), Some('x' | 'X'));
        if hex {
            self.cursor.advance();
            self.cursor.advance();
            self.cursor.eat_while(|c| c.is_ascii_hexdigit());
        } else {
            self.skip_decimal();
        }
        if self.cursor.peek().is_some_and(|c| is_letter_or_digit(c) || c == '.') {
            let problem = "a number may not run into other characters: put text in quotes";
            return Err(ParseError::syntax_error(start, problem));
        }
        let number = NumberLiteral::parse(self.cursor.text_since(from), self.syntax);
        number.map(LexerToken::Number).map_err(|problem| ParseError::syntax_error(start, problem))
    }

    fn skip_decimal(&mut self) {
        self.cursor.eat_while(|c| c.is_ascii_digit());
        if self.cursor.eat_char('.') {
            self.cursor.eat_while(|c| c.is_ascii_digit());
        }
        if self.cursor.eat_char('e') || self.cursor.eat_char('E') {
            let _signed = self.cursor.eat_char('-') || self.cursor.eat_char('+');
            self.cursor.eat_while(|c| c.is_ascii_digit());
        }
    }

    fn unexpected_char_problem(&self, c: char) -> &'static str {
        match (c, self.syntax) {
            ('\u{2018}'..='\u{201f}' | '\'' | '`', _) => "quotes must be plain double quotes",
            ('#' | '/', Syntax::Json) => "JSON has no comments",
            ('=', Syntax::Json) => "JSON takes a colon between key and value",
            (':', Syntax::Native) => "keys are assigned with =, not with a colon",
            _ => "unexpected character",
        }
    }
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}
