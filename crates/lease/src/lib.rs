//! Leases. A lease says until when something that was issued may live; the server alone is
//! responsible that it ends.
//!
//! In reading order:
//!
//! - [`lease`]: [`Lease`], one record
//! - [`store`]: [`LeaseStore`], the table and its indexes: by due time, by token, by path
//! - [`expiration`]: [`ExpirationManager`], which revokes what is due, with bounds and backoff
//! - `schedule`: how the keeper reads the due index, and who waits for whom
//! - `lanes`: each mount's share of what is revoked at the same time
//!
//! The table is a database, not a heap of timers: a million leases cost disk, not memory, and
//! start-up reads none. Formats and crash argument: `docs/src/design/leases.md`.

pub mod expiration;
pub mod lease;
mod mount_limits;
mod schedule;
pub mod store;
#[cfg(test)]
mod tests;

pub use expiration::{ExpirationManager, ExpirationOptions, RevokeError, Revoker};
pub use lease::{Lease, LeaseKind, LeaseState};
pub use store::{DueEntry, Error, IrrevocableLease, LeaseStore, NewLease, StoredLease};
