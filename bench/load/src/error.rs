//! What can go wrong with a measurement. Anything that does ends the run: half a figure is none.

/// Why a run ended. The message is for whoever started it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file, a process or a socket.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A connection ended or spoke something else than HTTP/1.1.
    #[error("the connection failed: {0}")]
    Http(#[from] hyper::Error),
    /// A server answered something else than it should.
    #[error("{method} {path} answered {status}: {body}")]
    Answer {
        /// Of the request.
        method: http::Method,
        /// Of the request.
        path: String,
        /// What came.
        status: http::StatusCode,
        /// The beginning of what came.
        body: String,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// For `map_err`: names what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// A message of its own.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::Other(message.into())
    }
}
