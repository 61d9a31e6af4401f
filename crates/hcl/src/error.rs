//! Why a text is refused, and where.

use std::fmt;

/// A place in a text. Prints as `line:column`, to follow a file name and a colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1. A byte-order mark doesn't count.
    pub column: u32,
}

impl Position {
    /// Where every text begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a text, or a value in it, is refused. Carries keys and places, never a value: what is said
/// about the text itself is fixed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The text breaks the grammar.
    #[error("{position}: {problem}")]
    Syntax {
        /// Where.
        position: Position,
        /// What is wrong and, where it can be told, what to write instead.
        problem: &'static str,
    },
    /// More bytes than [`crate::ParseLimits::max_bytes`].
    #[error("text is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// More levels than [`crate::ParseLimits::max_depth`].
    #[error("{position}: nested more than {limit} levels deep")]
    TooDeep {
        /// Where the first level too many begins.
        position: Position,
        /// The limit.
        limit: usize,
    },
    /// More keys and entries than [`crate::ParseLimits::max_nodes`].
    #[error("{position}: more than {limit} keys and list entries")]
    TooMany {
        /// Where the first one too many begins.
        position: Position,
        /// The limit.
        limit: usize,
    },
    /// A value is of another type than its reader wants.
    #[error("{position}: {}must be {expected}, not {found}", named(key.as_deref()))]
    WrongType {
        /// Where the value begins.
        position: Position,
        /// The key it stands under; none for an entry of a list.
        key: Option<String>,
        /// What it must be, with its article.
        expected: &'static str,
        /// What it is, with its article.
        found: &'static str,
    },
    /// A block has fewer labels than its reader wants.
    #[error("{position}: {key:?} needs a label in quotes between its name and the brace")]
    MissingLabel {
        /// Where the block begins.
        position: Position,
        /// Its name.
        key: String,
    },
}

impl ParseError {
    /// Where, unless it is about the text as a whole.
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

    /// Names the key, unless one is named already.
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
