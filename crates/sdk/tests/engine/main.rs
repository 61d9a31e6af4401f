//! Engines as their hosts see them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may be blunt, and so may what it is made of"
)]

mod contended;
mod contract;
mod declarations;
mod harness;
mod many_calls;
mod moved_keys;
mod outside;
