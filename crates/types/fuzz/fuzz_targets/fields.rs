//! Parses arbitrary bytes as the body of a request.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_body(bytes));
