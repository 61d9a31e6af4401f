//! A text as it is usually laid out: an item a line, two spaces a level, equals signs below each
//! other. Comments stay; values stay as they were spelled.

mod layout;
mod read;

use crate::error::{ParseError, Position};
use crate::lexer::{Lexer, Syntax, Token};
use crate::{Limits, parse};

/// Lays an HCL text out. It ends with a line break, unless it is empty, and says the same: laying
/// it out once more changes nothing.
///
/// A text in JSON is refused, as is one that [`parse`] refuses.
pub fn format(text: &str, limits: &Limits) -> Result<String, ParseError> {
    // What follows relies on the text being bounded and whole.
    parse(text, limits)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        let problem = "the text is JSON: only HCL has a layout of its own";
        return Err(ParseError::syntax(Position::START, problem));
    }
    let pieces = pieces(text)?;
    let laid_out = layout::document(&read::document(&pieces));
    // Losing a comment or a rule would be worse than any layout.
    if same(&pieces, &self::pieces(&laid_out)?) {
        return Ok(laid_out);
    }
    Err(ParseError::syntax(Position::START, "the text can't be laid out without changing it"))
}

/// A token or a comment, as it is written.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'t> {
    kind: PieceKind,
    text: &'t str,
    /// The lines on which it begins and ends.
    first_line: u32,
    last_line: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceKind {
    Comment,
    /// A key, a label or a value.
    Word,
    /// A value that ends with its line.
    Heredoc,
    Assign,
    Comma,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, ParseError> {
    let mut lexer = Lexer::new(text, Syntax::Native);
    let mut pieces = Vec::new();
    loop {
        while let Some((text, start)) = lexer.comment()? {
            let last_line = lexer.place().1.line;
            let text = text.trim_end();
            let first_line = start.line;
            pieces.push(Piece { kind: PieceKind::Comment, text, first_line, last_line });
        }
        let (offset, start) = lexer.place();
        let kind = match lexer.next()?.0 {
            Token::End => return Ok(pieces),
            Token::Heredoc(_) => PieceKind::Heredoc,
            Token::Assign => PieceKind::Assign,
            Token::Comma => PieceKind::Comma,
            Token::OpenBrace => PieceKind::OpenBrace,
            Token::CloseBrace => PieceKind::CloseBrace,
            Token::OpenBracket => PieceKind::OpenBracket,
            Token::CloseBracket => PieceKind::CloseBracket,
            Token::Ident(_) | Token::Text(_) | Token::Number(_) | Token::Bool(_) | Token::Null => {
                PieceKind::Word
            }
        };
        let (first_line, last_line) = (start.line, lexer.place().1.line);
        pieces.push(Piece { kind, text: lexer.since(offset), first_line, last_line });
    }
}

/// Whether both have the same tokens in the same order, and the same comments. Commas say nothing.
fn same(a: &[Piece<'_>], b: &[Piece<'_>]) -> bool {
    fn of<'p>(pieces: &[Piece<'p>], comments: bool) -> Vec<&'p str> {
        let wanted = pieces.iter().filter(|piece| {
            piece.kind != PieceKind::Comma && (piece.kind == PieceKind::Comment) == comments
        });
        wanted.map(|piece| piece.text).collect()
    }
    of(a, false) == of(b, false) && of(a, true) == of(b, true)
}
