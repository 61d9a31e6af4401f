//! Leases. A lease limits the lifetime of an issued credential or token; the server revokes it when
//! the lease ends.
//!
//! In reading order:
//!
//! - [`lease`]: [`Lease`], one record of the table
//! - [`store`]: [`LeaseStore`], the table and its indexes: by due time, by token, by path
//! - [`expiration`]: [`ExpirationManager`], which revokes due leases, with limits and backoff
//! - `schedule`: how the expiration manager scans the due index
//! - `mount_limits`: how many concurrent revocations each mount may have
//!
//! The table is stored on disk, without a timer per lease: a million leases cost disk, not memory,
//! and start-up reads none. Formats and crash safety: `docs/src/design/leases.md`.

pub mod expiration;
pub mod lease;
mod mount_limits;
mod schedule;
pub mod store;
#[cfg(test)]
mod tests;

pub use expiration::{ExpirationManager, ExpirationOptions, RevokeError, Revoker};
pub use lease::{Lease, LeaseKind, LeaseState};
pub use store::{
    DueEntry, Error, IrrevocableLease, LeaseIdPages, LeaseStore, NewLease, StoredLease,
};
