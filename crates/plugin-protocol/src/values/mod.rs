//! Fields whose meaning on the wire differs from their type. Both sides convert them here, and
//! build messages from [`blank`](messages) ones, never from `Default`.
//!
//! - [`json`]: JSON in string fields, which must never be empty
//! - [`time`]: times, which must be present even when unset, and durations in nanoseconds
//! - [`messages`]: empty messages that are valid on the wire
//! - [`error`]: [`WireError`], an error that a backend returned

pub mod error;
pub mod json;
pub mod messages;
pub mod time;

pub use error::WireError;
