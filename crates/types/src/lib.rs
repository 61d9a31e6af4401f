//! The words every part of Strongroom shares. No I/O, no decisions: values that cannot be built
//! wrong, and the two things a program must be *given* rather than take, time and chance.
//!
//! In reading order:
//!
//! - [`secret`]: [`Secret`], a value that cannot be printed, cloned or written by accident
//! - [`clock`]: [`Clock`] and [`Timestamp`]; tests move a [`clock::ManualClock`] by hand
//! - [`entropy`]: [`Entropy`], and the unguessable strings made from it
//! - [`boolean`]: booleans as Vault's clients write them
//! - [`duration`]: [`Ttl`], and durations as Vault's clients write them
//! - [`path`]: request paths and mount paths, normalised or refused
//! - [`id`]: names and identifiers, built by `parse` only
//! - [`fields`]: the top-level JSON object of a request or an answer, read once
//! - [`mod@printable`]: text of others, on one line and of bounded length
//! - [`serial_queue`]: [`SerialQueue`] and [`serial_queue::KeyedSerialQueue`], changes that must not overlap
//! - [`read_cache`]: [`ReadCache`], what was read from a store, and what was found not to be there
//! - [`run_to_completion`]: [`RunToCompletion`], work that goes on when whoever began it has gone
//! - [`error`]: [`ErrorKind`], what sort of failure an error is, before HTTP knows of it
#![deny(missing_docs)]

// What the fuzz targets check sees the crate as others do.
#[cfg(test)]
extern crate self as strongroom_types;

pub mod boolean;
pub mod clock;
pub mod duration;
pub mod entropy;
pub mod error;
pub mod fields;
pub mod id;
pub mod path;
pub mod printable;
pub mod read_cache;
pub mod run_to_completion;
pub mod secret;
pub mod serial_queue;

#[cfg(test)]
mod fuzzed;

pub use boolean::parse_bool;
pub use clock::{Clock, SystemClock, Timestamp};
pub use duration::Ttl;
pub use entropy::Entropy;
pub use error::ErrorKind;
pub use fields::{Fields, RawObject};
pub use id::{Accessor, LeaseId, MountUuid, Namespace, PolicyName, RequestId};
pub use path::{MountPath, RequestPath};
pub use printable::printable;
pub use read_cache::ReadCache;
pub use run_to_completion::RunToCompletion;
pub use secret::{Secret, Wipe};
pub use serial_queue::{KeyedSerialQueue, SerialQueue};
