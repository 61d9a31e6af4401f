//! Matches a path against a pattern, both arbitrary text.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_pattern(bytes));
