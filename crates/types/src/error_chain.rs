//! [`ErrorChain`]: an error with its sources, for the log.

use std::error::Error;
use std::fmt;

/// The maximum number of sources that are shown.
const MAX_SOURCES: usize = 16;

/// Displays an error and its sources on one line, from the outermost to the root cause, separated
/// by `: `. A source that the message before it already ends with is shown once.
#[derive(Clone, Copy)]
pub struct ErrorChain<'a>(&'a (dyn Error + 'static));

/// The error with its sources, to be written to the log: `tracing::warn!(error = %chain(&error))`.
/// Sources may name files and storage keys, so the text must not be sent to clients.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> ErrorChain<'a> {
    ErrorChain(error)
}

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let sources =
            std::iter::successors(self.0.source(), |error: &&dyn Error| (*error).source());
        for source in sources.take(MAX_SOURCES) {
            let text = source.to_string();
            if !last.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            last = text;
        }
        Ok(())
    }
}

impl fmt::Debug for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Layered {
        #[error("the request failed")]
        Outer(#[source] Box<Layered>),
        #[error("the store failed: {0}")]
        Repeating(#[source] Box<Layered>),
        #[error("disk full")]
        Root,
    }

    #[test]
    fn shows_each_cause_once_from_the_outermost_to_the_root() {
        let root = || Box::new(Layered::Root);
        assert_eq!(chain(&Layered::Root).to_string(), "disk full");
        assert_eq!(chain(&Layered::Outer(root())).to_string(), "the request failed: disk full");
        let nested = Layered::Outer(Box::new(Layered::Repeating(root())));
        assert_eq!(chain(&nested).to_string(), "the request failed: the store failed: disk full");
    }

    #[test]
    fn a_long_chain_is_cut_off() {
        let mut error = Layered::Root;
        for _ in 0..MAX_SOURCES + 5 {
            error = Layered::Outer(Box::new(error));
        }
        let text = chain(&error).to_string();
        assert!(text.len() < 1000 && !text.contains("disk full"), "{text}");
    }
}
