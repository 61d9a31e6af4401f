//! Formats a text in the usual layout: one item per line, indentation by two spaces, aligned equals
//! signs. Comments are kept, and values stay as they were spelled.

mod layout;
mod layout_tree;

use crate::error::{ParseError, Position};
use crate::lexer::{Lexer, LexerToken};
use crate::syntax::Syntax;
use crate::{ParseLimits, parse};

/// Formats an HCL text. The result has the same content and ends with a line break, unless it is
/// empty; formatting it again changes nothing.
///
/// # Errors
///
/// A text in JSON is refused, and so is one that [`parse`] refuses.
pub fn format(text: &str, limits: &ParseLimits) -> Result<String, ParseError> {
    // The layout code below assumes text that is within the limits and valid.
    parse(text, limits)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        let problem = "the text is JSON: only HCL has a layout of its own";
        return Err(ParseError::syntax_error(Position::START, problem));
    }
    let pieces = scan_tokens(text)?;
    let laid_out = layout::render_document(&layout_tree::parse_document(&pieces));
    // A check against bugs in the layout: refuse rather than lose a comment or a policy rule.
    if same_content(&pieces, &scan_tokens(&laid_out)?) {
        return Ok(laid_out);
    }
    Err(ParseError::syntax_error(Position::START, "the text can't be laid out without changing it"))
}

/// A token or a comment with its source text.
#[derive(Clone, Copy)]
pub(crate) struct SourceToken<'t> {
    kind: SourceTokenKind,
    text: &'t str,
    /// The first and the last line it occupies.
    first_line: u32,
    last_line: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceTokenKind {
    Comment,
    /// A key, a label or a value.
    Word,
    /// A heredoc; nothing may follow on the line that ends it.
    Heredoc,
    Assign,
    Comma,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
}

fn scan_tokens(text: &str) -> Result<Vec<SourceToken<'_>>, ParseError> {
    let mut lexer = Lexer::new(text, Syntax::Native);
    let mut pieces = Vec::new();
    loop {
        while let Some((text, start)) = lexer.next_comment()? {
            let last_line = lexer.offset_and_position().1.line;
            let text = text.trim_end();
            let first_line = start.line;
            pieces.push(SourceToken {
                kind: SourceTokenKind::Comment,
                text,
                first_line,
                last_line,
            });
        }
        let (offset, start) = lexer.offset_and_position();
        let kind = match lexer.next()?.0 {
            LexerToken::End => return Ok(pieces),
            LexerToken::Heredoc(_) => SourceTokenKind::Heredoc,
            LexerToken::Assign => SourceTokenKind::Assign,
            LexerToken::Comma => SourceTokenKind::Comma,
            LexerToken::OpenBrace => SourceTokenKind::OpenBrace,
            LexerToken::CloseBrace => SourceTokenKind::CloseBrace,
            LexerToken::OpenBracket => SourceTokenKind::OpenBracket,
            LexerToken::CloseBracket => SourceTokenKind::CloseBracket,
            LexerToken::Ident(_)
            | LexerToken::Text(_)
            | LexerToken::Number(_)
            | LexerToken::Bool(_)
            | LexerToken::Null => SourceTokenKind::Word,
        };
        let (first_line, last_line) = (start.line, lexer.offset_and_position().1.line);
        pieces.push(SourceToken { kind, text: lexer.text_since(offset), first_line, last_line });
    }
}

/// Whether both have the same tokens in the same order, and the same comments. Commas are ignored.
fn same_content(a: &[SourceToken<'_>], b: &[SourceToken<'_>]) -> bool {
    fn token_texts<'p>(pieces: &[SourceToken<'p>], comments: bool) -> Vec<&'p str> {
        let wanted = pieces.iter().filter(|piece| {
            piece.kind != SourceTokenKind::Comma
                && (piece.kind == SourceTokenKind::Comment) == comments
        });
        wanted.map(|piece| piece.text).collect()
    }
    token_texts(a, false) == token_texts(b, false) && token_texts(a, true) == token_texts(b, true)
}
