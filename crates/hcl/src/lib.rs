//! The syntax of configuration files and policies: HCL 1, or its JSON convention, read into one
//! tree with positions. It knows no key by name: what may stand in a policy or a configuration is
//! the business of those crates.
//!
//! The text is input like any other. It is bounded in bytes, depth and nodes before anything is
//! built from it, is read once from front to back, and no error or `Debug` output carries a value:
//! a value may be a password.
//!
//! In reading order:
//!
//! - [`error`]: [`ParseError`] and [`Position`]
//! - [`tree`]: [`HclBody`], [`HclItem`] and [`HclValue`], and asking for blocks without minding the syntax
//! - [`access`]: values as strings, numbers, lists …
//! - [`format()`]: a text as it is usually laid out, with its comments
//! - `parser`: tokens to tree, both syntaxes
//! - `lexer`, `number`, `string`, `cursor`: text to tokens
//! - `fuzz/`, beside the sources: what must hold for any input
//!
//! ```
//! use strongroom_hcl::{Limits, Value, parse};
//!
//! let native = r#"path "secret/*" { capabilities = ["read"] }"#;
//! let json = r#"{"path": {"secret/*": {"capabilities": ["read"]}}}"#;
//! for text in [native, json] {
//!     let policy = parse(text, &Limits::default())?;
//!     for block in policy.blocks("path")? {
//!         let [path] = block.labels;
//!         assert_eq!(path.text, "secret/*");
//!         assert_eq!(block.body.read("capabilities", Value::as_str_list)?, Some(vec!["read"]));
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
//! - `${ … }` in a string is copied as it stands. Quotes and line breaks in it don't end the
//!   string and escapes in it aren't resolved.
//!
//! Keys are compared byte by byte. HCL 1's own decoder ignores case in places; here two spellings
//! are two keys.
#![deny(missing_docs)]

pub mod access;
mod cursor;
pub mod error;
mod format;
mod lexer;
mod number;
mod parser;
mod string;
pub mod tree;

// The fuzz target's check, which the tests share, sees the crate from outside.
#[cfg(test)]
extern crate self as strongroom_hcl;
#[cfg(test)]
mod tests;

pub use error::{ParseError, Position};
pub use format::format;
pub use number::NumberLiteral;
pub use tree::{DuplicateKey, HclBlock, HclBody, HclItem, HclKey, HclValue, ValueKind};

use cursor::Cursor;
use lexer::Syntax;

/// How much a text may ask of the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseLimits {
    /// The longest text that is looked at, in bytes.
    pub max_bytes: usize,
    /// The most objects, lists and labels around a value. Never more than [`ParseLimits::MAX_DEPTH`],
    /// whatever is set here.
    pub max_depth: usize,
    /// The most keys, labels and list entries in the whole text. One takes up to 250 bytes of
    /// memory beside its own text.
    pub max_nodes: usize,
}

impl ParseLimits {
    /// The deepest nesting that any setting allows: a tree of this depth is read and dropped well
    /// within the stack of a worker thread.
    pub const MAX_DEPTH: usize = 64;
}

impl Default for ParseLimits {
    /// Room for a policy or configuration as large as one entry of the storage, 1 MiB.
    fn default() -> Self {
        Self { max_bytes: 1 << 20, max_depth: 32, max_nodes: 1 << 17 }
    }
}

/// Reads a text into its tree. A byte-order mark in front is skipped, a NUL is refused.
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

/// Reads the bytes of a file: [`parse`], which refuses what isn't UTF-8.
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
