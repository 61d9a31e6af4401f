//! Any bytes as a trust file.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_trust_file(bytes));
