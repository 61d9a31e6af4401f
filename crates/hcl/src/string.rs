//! Quoted strings and heredocs.

use crate::cursor::Cursor;
use crate::error::{ParseError, Position};
use crate::syntax::{Syntax, is_letter_or_digit};

/// Reads a quoted string whose opening quote, at `start`, is already consumed.
pub(crate) fn read_quoted(
    cursor: &mut Cursor<'_>,
    syntax: Syntax,
    start: Position,
) -> Result<String, ParseError> {
    // Bytes, since `\xNN` is one byte and several may form one character.
    let mut bytes = Vec::new();
    // Depth of open braces of `${ … }`. Inside, escapes are checked but kept as written.
    let mut braces = 0_usize;
    loop {
        let at = cursor.position();
        let from = cursor.offset();
        match cursor.advance() {
            Some('"') if braces == 0 => break,
            Some('\n') if braces == 0 => {
                return Err(ParseError::syntax_error(start, UNCLOSED_STRING));
            }
            None => return Err(ParseError::syntax_error(start, UNCLOSED_STRING)),
            Some('\\') if braces == 0 => read_escape(cursor, syntax, at, &mut bytes)?,
            Some('\\') => {
                read_escape(cursor, syntax, at, &mut Vec::new())?;
                bytes.extend(cursor.text_since(from).bytes());
            }
            // HCL 1 only counts a line feed as a line break.
            Some('\r') if braces > 0 && cursor.peek() == Some('\n') => {}
            Some(c) => {
                match c {
                    '$' if braces == 0 && syntax == Syntax::Native && cursor.eat_char('{') => {
                        braces = 1;
                    }
                    '{' if braces > 0 => braces += 1,
                    '}' if braces > 0 => braces -= 1,
                    _ => {}
                }
                bytes.extend(cursor.text_since(from).bytes());
            }
        }
    }
    let problem = "the escapes of this string are not UTF-8";
    String::from_utf8(bytes).map_err(|_| ParseError::syntax_error(start, problem))
}

const UNCLOSED_STRING: &str =
    "string is not closed: add a quote, or use a heredoc for a text of several lines";

/// Reads the rest of an escape sequence whose backslash is at `at`.
fn read_escape(
    cursor: &mut Cursor<'_>,
    syntax: Syntax,
    at: Position,
    bytes: &mut Vec<u8>,
) -> Result<(), ParseError> {
    let refused = |problem| Err(ParseError::syntax_error(at, problem));
    let lead = cursor.advance();
    let code = match (lead, syntax) {
        (Some('"'), _) => Some(u32::from('"')),
        (Some('\\'), _) => Some(u32::from('\\')),
        (Some('b'), _) => Some(0x08),
        (Some('f'), _) => Some(0x0c),
        (Some('n'), _) => Some(0x0a),
        (Some('r'), _) => Some(0x0d),
        (Some('t'), _) => Some(0x09),
        (Some('u'), Syntax::Native) => read_digits(cursor, 16, 4),
        (Some('u'), Syntax::Json) => read_utf16_escape(cursor),
        (Some('/'), Syntax::Json) => Some(u32::from('/')),
        (Some('a'), Syntax::Native) => Some(0x07),
        (Some('v'), Syntax::Native) => Some(0x0b),
        (Some('x'), Syntax::Native) => read_digits(cursor, 16, 2),
        (Some('U'), Syntax::Native) => read_digits(cursor, 16, 8),
        (Some(first @ '0'..='7'), Syntax::Native) => {
            let high = first.to_digit(8).map(|digit| digit * 64);
            high.zip(read_digits(cursor, 8, 2)).map(|(high, low)| high + low)
        }
        _ => return refused("unknown escape: write \\\\ for a backslash"),
    };
    let Some(code) = code else { return refused("escape has too few digits") };
    if code == 0 {
        return refused("a NUL character is not allowed");
    }
    if matches!(lead, Some('x' | '0'..='7')) {
        let Ok(byte) = u8::try_from(code) else { return refused("octal escape is above \\377") };
        bytes.push(byte);
        return Ok(());
    }
    let Some(c) = char::from_u32(code) else { return refused("escape is no Unicode character") };
    bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
    Ok(())
}

/// Reads exactly `count` digits.
fn read_digits(cursor: &mut Cursor<'_>, base: u32, count: u32) -> Option<u32> {
    let mut value = 0;
    for _ in 0..count {
        value = value * base + cursor.peek()?.to_digit(base)?;
        cursor.advance();
    }
    Some(value)
}

/// Reads a JSON escape: four digits, or two escapes of four for a surrogate pair. An unpaired
/// surrogate is returned as it is, and the caller refuses it as no character.
fn read_utf16_escape(cursor: &mut Cursor<'_>) -> Option<u32> {
    let high = read_digits(cursor, 16, 4)?;
    if (0xd800..0xdc00).contains(&high) && cursor.eat_char('\\') && cursor.eat_char('u') {
        let low = read_digits(cursor, 16, 4)?;
        if (0xdc00..0xe000).contains(&low) {
            return Some(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
        }
    }
    Some(high)
}

/// Reads a heredoc whose first `<` is at `start` and already consumed.
///
/// The value ends with the line break before the closing word. With `<<`, white space before that
/// word is part of the value; with `<<-`, it is the indentation to remove from every line, provided
/// that every line has it.
pub(crate) fn read_heredoc(cursor: &mut Cursor<'_>, start: Position) -> Result<String, ParseError> {
    let refused = |problem| Err(ParseError::syntax_error(start, problem));
    if !cursor.eat_char('<') {
        return refused("unexpected character: a heredoc begins with <<");
    }
    let indented = cursor.eat_char('-');
    let word = cursor.eat_while(is_letter_or_digit);
    if word.is_empty() {
        return refused("heredoc needs a closing word after <<");
    }
    cursor.eat_char('\r');
    if !cursor.eat_char('\n') {
        return refused("the line must end after the word that opens a heredoc");
    }
    let body = cursor.offset();
    loop {
        let padding = cursor.eat_while(is_blank);
        let value = cursor.text_since(body);
        let line = cursor.eat_while(|c| c != '\n');
        if line.trim_end_matches('\r') == word {
            let value = value.replace("\r\n", "\n");
            return Ok(if indented { strip_indentation(&value, padding) } else { value });
        }
        if !cursor.eat_char('\n') {
            return refused("heredoc is not closed: its closing word must stand alone on a line");
        }
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\u{b}' | '\u{c}')
}

/// Removes `padding` from every line, or from none unless all lines have it. A blank line without
/// it counts as a line that lacks it.
fn strip_indentation(value: &str, padding: &str) -> String {
    let lines = value.strip_suffix(padding).unwrap_or(value);
    if lines.split_terminator('\n').all(|line| line.starts_with(padding)) {
        let strip = |line: &str| line.strip_prefix(padding).unwrap_or(line).to_owned();
        lines.split_inclusive('\n').map(strip).collect()
    } else {
        lines.to_owned()
    }
}
