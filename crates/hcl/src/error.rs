//! Why a text is refused, and at which position.

use std::fmt;

/// A position in a text. Displays as `line:column`, so that it can follow a file name and a colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line number, starting at 1.
    pub line: u32,
    /// The column in characters, starting at 1. A byte-order mark doesn't count.
    pub column: u32,
}

impl Position {
    /// The position of the first character of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a text, or a value in it, is refused. Holds positions, keys and fixed descriptions, but
/// never a value or other text from the input, which may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The text violates the grammar.
    #[error("{position}: {problem}")]
    Syntax {
        /// Where the violation is.
        position: Position,
        /// What is wrong and, where that is clear, what to write instead.
        problem: &'static str,
    },
    /// The text has more bytes than [`crate::ParseLimits::max_bytes`].
    #[error("text is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The nesting is deeper than [`crate::ParseLimits::max_depth`].
    #[error("{position}: nested more than {limit} levels deep")]
    TooDeep {
        /// Where the first level beyond the limit begins.
        position: Position,
        /// The limit in levels.
        limit: usize,
    },
    /// There are more keys, labels and list entries than [`crate::ParseLimits::max_nodes`].
    #[error("{position}: more than {limit} keys and list entries")]
    TooMany {
        /// Where the first one beyond the limit begins.
        position: Position,
        /// The limit in nodes.
        limit: usize,
    },
    /// A value has another type than its reader expects.
    #[error("{position}: {}must be {expected}, not {found}", named(key.as_deref()))]
    WrongType {
        /// Where the value begins.
        position: Position,
        /// The key of the value; `None` for an entry of a list.
        key: Option<String>,
        /// The expected type, with its article.
        expected: &'static str,
        /// The actual type, with its article.
        found: &'static str,
    },
    /// A block has fewer labels than its reader expects.
    #[error("{position}: {key:?} needs a label in quotes between its name and the brace")]
    MissingLabel {
        /// Where the block begins.
        position: Position,
        /// The name of the block.
        key: String,
    },
}

impl ParseError {
    /// The position of the error; `None` if it concerns the text as a whole.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::TooLong { .. } => None,
            Self::Syntax { position, .. }
            | Self::TooDeep { position, .. }
            | Self::TooMany { position, .. }
            | Self::WrongType { position, .. }
            | Self::MissingLabel { position, .. } => Some(*position),
        }
    }

    pub(crate) fn syntax_error(position: Position, problem: &'static str) -> Self {
        Self::Syntax { position, problem }
    }

    /// Adds the key to the error, unless the error names one already.
    pub(crate) fn with_key(mut self, name: &str) -> Self {
        if let Self::WrongType { key: key @ None, .. } = &mut self {
            *key = Some(name.to_owned());
        }
        self
    }
}

fn named(key: Option<&str>) -> String {
    key.map(|key| format!("{key:?} ")).unwrap_or_default()
}
