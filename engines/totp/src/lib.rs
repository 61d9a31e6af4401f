//! The secrets engine `totp`: it generates time-based one-time passwords (RFC 6238) in place of an
//! authenticator app, and validates those of users.
//!
//! Paths: `keys/:name`, `code/:name`. Guide and API reference: `docs/src/engines/totp.md`.

mod code;
mod key;

use strongroom_sdk::Blueprint;

use crate::key::KeyDocument;

/// The blueprint of the engine, which a server or a plug-in process is started with.
pub fn blueprint() -> Blueprint {
    Blueprint::new("totp", env!("CARGO_PKG_VERSION"))
        .help("Generates and validates time-based one-time passwords.")
        .document::<KeyDocument>()
        .read("code/{name@}", "The current code of a key.", code::generate)
        .write("code/{name@}", "Validates a code of a key, once.", code::validate)
}
