//! Any bytes as protobuf messages.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_message(bytes));
