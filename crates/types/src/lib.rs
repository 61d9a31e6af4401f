//! Types shared by every crate of Strongroom. They do no I/O: mostly values that are valid by
//! construction, and the [`Clock`] and [`Entropy`] traits through which time and randomness are
//! passed in.
//!
//! In reading order:
//!
//! - [`secret`]: [`Secret`], a value that cannot be printed, cloned or serialised by accident
//! - [`clock`]: [`Clock`] and [`Timestamp`]; tests control a [`clock::ManualClock`]
//! - [`entropy`]: [`Entropy`], and the random strings derived from it
//! - [`boolean`]: booleans as Vault's clients write them
//! - [`cidr`]: [`Cidr`], an IP address or a network of addresses
//! - [`duration`]: [`Ttl`], and durations as Vault's clients write them
//! - [`path`]: request paths and mount paths, validated
//! - [`id`]: names and identifiers, created by `parse` only
//! - [`mount_kind`]: [`MountKind`], secrets engine or auth method
//! - [`token_type`]: [`TokenType`], service or batch, and [`TokenTypeSetting`], which chooses it
//! - [`fields`]: the top-level JSON object of a request or a response
//! - [`mod@printable`]: untrusted text, limited to one line and a maximum length
//! - [`serial_queue`]: [`SerialQueue`] and [`serial_queue::KeyedSerialQueue`], for changes that
//!   must not overlap
//! - [`read_cache`]: [`ReadCache`], a cache of store reads that also caches absent keys
//! - [`run_to_completion`]: [`RunToCompletion`], work that continues after its caller is dropped
//! - [`error`]: [`ErrorKind`], the category of an error, independent of HTTP
//! - [`error_chain`]: [`chain`], an error with its sources, for the log
// The fuzz checks are compiled into this crate's tests and refer to it by its external name.
#[cfg(test)]
extern crate self as strongroom_types;

pub mod boolean;
pub mod cidr;
pub mod clock;
pub mod duration;
pub mod entropy;
pub mod error;
pub mod error_chain;
pub mod fields;
pub mod id;
pub mod lockout;
pub mod mount_kind;
pub mod path;
pub mod printable;
pub mod read_cache;
pub mod run_to_completion;
pub mod secret;
pub mod serial_queue;
pub mod token_type;

#[cfg(test)]
mod fuzzed;

pub use boolean::parse_bool;
pub use cidr::Cidr;
pub use clock::{Clock, SystemClock, Timestamp};
pub use duration::Ttl;
pub use entropy::Entropy;
pub use error::ErrorKind;
pub use error_chain::chain;
pub use fields::{Fields, RawObject};
pub use id::{Accessor, LeaseId, MountUuid, Namespace, PolicyName, RequestId};
pub use lockout::LockoutPolicy;
pub use mount_kind::MountKind;
pub use path::{MountPath, RequestPath};
pub use printable::printable;
pub use read_cache::ReadCache;
pub use run_to_completion::RunToCompletion;
pub use secret::{Secret, Wipe};
pub use serial_queue::{KeyedSerialQueue, SerialQueue};
pub use token_type::{TokenType, TokenTypeSetting};
