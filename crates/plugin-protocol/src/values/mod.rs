//! Values that mean something else on this wire than they seem to. Both sides convert here, and
//! build messages from [`blank`](messages) ones, never from defaults.
//!
//! - [`json`]: JSON inside string fields, which must never be empty
//! - [`time`]: times that must be present even when unset, and durations in nanoseconds
//! - [`messages`]: messages that are valid on the wire though nothing is in them
//! - [`error`]: [`WireError`], an error a backend returned

pub mod error;
pub mod json;
pub mod messages;
pub mod time;

pub use error::WireError;
