//! How a command ends.

use strongroom_client::Error;

/// How a command ends.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// What is printed to standard error, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// 1: here, bad usage mostly. 2: the server said no, or nothing is there.
    pub(crate) code: u8,
    /// Nothing if all is said.
    pub(crate) text: Option<String>,
}

impl Failure {
    /// It can't be done here: bad usage, a file that can't be read.
    pub(crate) fn local(text: impl Into<String>) -> Self {
        Self { code: 1, text: Some(text.into()) }
    }

    /// The server said no, can't be reached, or has nothing there.
    pub(crate) fn remote(text: impl Into<String>) -> Self {
        Self { code: 2, text: Some(text.into()) }
    }

    /// All is said.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, text: None }
    }

    /// A call failed while doing something: `Error reading kv/a: …`.
    pub(crate) fn call(doing: &str) -> impl FnOnce(Error) -> Self {
        move |error| Self::remote(format!("{doing}: {error}"))
    }
}

/// How many arguments a command takes.
pub(crate) fn expect_count(given: &[String], least: usize, most: usize) -> Outcome {
    let got = given.len();
    if got < least {
        let text = format!("Not enough arguments (expected {least}, got {got})");
        return Err(Failure::local(text));
    }
    if got > most {
        return Err(Failure::local(format!("Too many arguments (expected {most}, got {got})")));
    }
    Ok(())
}
