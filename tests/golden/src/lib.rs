//! The answers of the API as data. A case is a file: requests, and what the reference server
//! answered to them. The recorder asks that server and writes the files; the test plays them
//! against ours and shows each difference.
//!
//! - [`case`]: a case, as its file holds it
//! - [`wire`]: one request and its answer, with nothing cleaned up on the way
//! - [`redact`]: what differs from run to run and says nothing
//! - [`allowed`]: where two answers may differ, always
//! - [`compare`]: where they do differ
//! - [`play`]: a case against a server
//! - [`mod@format`]: how files are laid out
//!
//! `tests/golden/README.md` says how to record and how to read a case.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails by ending the test"
)]

pub mod allowed;
pub mod case;
pub mod compare;
pub mod format;
pub mod play;
pub mod redact;
pub mod wire;

#[cfg(test)]
mod tests;
