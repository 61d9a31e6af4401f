//! Any bytes as messages of the wire.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_message(bytes));
