//! Any bytes as lines of a plug-in's log.
#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::any_log(bytes));
