//! [`Error`]: the failures of a measurement. Each of them ends the run, because figures of an
//! incomplete run are misleading.

/// Why a run ended. The message is for the user of the benchmark.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file, process or socket operation failed.
    #[error("{doing}: {source}")]
    Io {
        /// The operation, for the message.
        doing: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A connection was closed or did not carry valid HTTP/1.1.
    #[error("the connection failed: {0}")]
    Http(#[from] hyper::Error),
    /// A server returned another status than expected, or a body without the expected value.
    #[error("{method} {path} answered {status}: {body}")]
    Answer {
        /// The method of the request.
        method: http::Method,
        /// The path of the request.
        path: String,
        /// The status of the response.
        status: http::StatusCode,
        /// The beginning of the response's body.
        body: String,
    },
    /// Any other failure, with its complete message.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// For `map_err`: adds the operation to an I/O error.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// An error with the given message.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::Other(message.into())
    }
}
