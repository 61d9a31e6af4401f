//! Parses arbitrary bytes: nothing may panic, limits hold, and a parsed tree can be printed and parsed
//! again without change.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_bytes(bytes));
