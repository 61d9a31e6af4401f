//! Reads arbitrary bytes as responses of a directory: nothing may panic, and what is read is no larger
//! than what was received.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_response(bytes));
