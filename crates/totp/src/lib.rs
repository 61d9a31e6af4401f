//! Time-based one-time passwords (TOTP, RFC 6238).
//!
//! - [`TotpKey`]: a shared key with its parameters, which computes codes
//! - [`CodeCheck`]: the result of checking a code, with the time step that must not be used again
//! - [`OtpauthUri`]: the `otpauth://` URI in which authenticator apps receive a key
//! - [`qr_code_png`]: that URI as an image
//!
//! Nothing here stores anything: who accepts a code records the step in [`CodeCheck::Valid`], and
//! passes the recorded steps to the next check, so that a code is accepted once.

mod key;
mod otpauth;
mod qr_code;

pub use key::{CodeCheck, InvalidTotpKey, TotpAlgorithm, TotpKey, TotpParameters};
pub use otpauth::{InvalidOtpauthUri, OtpauthUri};
pub use qr_code::{MAX_QR_PIXELS, QrCodeError, qr_code_png};
