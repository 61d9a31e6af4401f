//! The syntax of configuration files and policies: parses HCL 1, or its JSON form, into one tree
//! with positions. This crate knows no key by name; which keys a policy or a configuration may have
//! is checked by those crates.
//!
//! The text is treated as untrusted input. Bytes, depth and number of nodes are limited before
//! anything is built, the text is read once from front to back, and no error or `Debug` output
//! shows a value, since it may be a password.
//!
//! In reading order:
//!
//! - [`error`]: [`ParseError`] and [`Position`]
//! - [`tree`]: [`HclBody`], [`HclItem`] and [`HclValue`], and access to blocks in either syntax
//! - [`access`]: readers that return values as strings, numbers, lists and so on
//! - [`format()`]: formats a text in the usual layout and keeps its comments
//! - `parser`: tokens to tree, both syntaxes
//! - `lexer`, `number`, `string`, `cursor`: text to tokens
//! - `fuzz/`, beside the sources: checks what must hold for any input
//!
//! ```
//! use strongroom_hcl::{HclValue, ParseLimits, parse};
//!
//! let native = r#"path "secret/*" { capabilities = ["read"] }"#;
//! let json = r#"{"path": {"secret/*": {"capabilities": ["read"]}}}"#;
//! for text in [native, json] {
//!     let policy = parse(text, &ParseLimits::default())?;
//!     for block in policy.blocks("path")? {
//!         let [path] = block.labels;
//!         assert_eq!(path.text, "secret/*");
//!         let capabilities = block.body.read("capabilities", HclValue::as_str_list)?;
//!         assert_eq!(capabilities, Some(vec!["read"]));
//!     }
//! }
//! # Ok::<(), strongroom_hcl::ParseError>(())
//! ```
//!
//! # What is accepted
//!
//! A text whose first character after white space is `{` is JSON (RFC 8259, and a comma before a
//! closing bracket). Every other text is HCL 1:
//!
//! - `key = value`, `key { … }` and `key "label" … { … }`; items may share a line, with or
//!   without a comma between them. Keys and labels are identifiers or quoted strings.
//! - Strings with the escapes of HCL 1; heredocs, `<<END` and `<<-END`; whole numbers in decimal,
//!   hex (`0x1f`) and octal (`017`), fractions, `true` and `false`, lists, objects.
//! - Comments: `# …`, `// …`, `/* … */`.
//! - `${ … }` in a string is kept as it is written. Quotes and line breaks inside it don't end the
//!   string, and escapes inside it aren't resolved.
//!
//! Keys are compared byte by byte. HCL 1's own decoder ignores case in places; here two spellings
//! are two different keys.
pub mod access;
mod cursor;
pub mod error;
mod format;
mod lexer;
mod number;
mod parser;
mod string;
mod syntax;
pub mod tree;

// The fuzz target's check, which the tests share, refers to this crate by its external name.
#[cfg(test)]
extern crate self as strongroom_hcl;
#[cfg(test)]
mod tests;

pub use error::{ParseError, Position};
pub use format::format;
pub use number::NumberLiteral;
pub use tree::{DuplicateKey, HclBlock, HclBody, HclItem, HclKey, HclValue, ValueKind};

use cursor::Cursor;
use syntax::Syntax;

/// Limits on the size and nesting of a text that is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseLimits {
    /// The maximum length of a text in bytes. A longer text is refused without being read.
    pub max_bytes: usize,
    /// The maximum number of objects, lists and labels around a value. A setting above
    /// [`ParseLimits::MAX_DEPTH`] counts as that.
    pub max_depth: usize,
    /// The maximum number of keys, labels and list entries in the whole text. Each takes up to 250
    /// bytes of memory in addition to its own text.
    pub max_nodes: usize,
}

impl ParseLimits {
    /// The deepest nesting that any setting allows. A tree of this depth can be parsed and dropped
    /// within the stack of a worker thread.
    pub const MAX_DEPTH: usize = 64;
}

impl Default for ParseLimits {
    /// Allows a policy or configuration as large as one storage entry, 1 MiB.
    fn default() -> Self {
        Self { max_bytes: 1 << 20, max_depth: 32, max_nodes: 1 << 17 }
    }
}

/// Parses a text. A leading byte-order mark is skipped; a NUL character is refused.
///
/// # Errors
///
/// [`ParseError::Syntax`] for an invalid text, [`ParseError::TooLong`], [`ParseError::TooDeep`] or
/// [`ParseError::TooMany`] for one that exceeds a limit.
pub fn parse(text: &str, limits: &ParseLimits) -> Result<HclBody, ParseError> {
    if text.len() > limits.max_bytes {
        return Err(ParseError::TooLong { limit: limits.max_bytes });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((before, _)) = text.split_once('\0') {
        return Err(ParseError::syntax_error(
            Cursor::end_of(before),
            "a NUL character is not allowed",
        ));
    }
    let is_json = text.trim_start().starts_with('{');
    let syntax = if is_json { Syntax::Json } else { Syntax::Native };
    parser::parse(text, syntax, limits)
}

/// Parses the bytes of a file like [`parse`], and refuses bytes that aren't UTF-8.
pub fn parse_bytes(bytes: &[u8], limits: &ParseLimits) -> Result<HclBody, ParseError> {
    if bytes.len() > limits.max_bytes {
        return Err(ParseError::TooLong { limit: limits.max_bytes });
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return parse(text, limits);
    }
    let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let valid = valid.strip_prefix('\u{feff}').unwrap_or(valid);
    Err(ParseError::syntax_error(
        Cursor::end_of(valid),
        "text is not UTF-8: save the file as UTF-8",
    ))
}
