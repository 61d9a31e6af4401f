//! Decrypts arbitrary bytes as an encrypted record.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_record(bytes));
