//! Uses arbitrary text as a token, an accessor or a stored token.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_token(bytes));
