//! Parses arbitrary text as a name or an identifier.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_name(bytes));
