//! Stores and disks that fail, or lose power, on purpose.
//!
//! - [`FaultyStorage`]: wraps any store and makes chosen operations fail before or after they are
//!   applied
//! - [`SimDisk`]: an in-memory disk for [`EmbeddedStorage`](crate::embedded::EmbeddedStorage) that
//!   fills up, turns read-only, fails, and loses power at any point of its history

mod faulty;
mod medium;
mod sim_disk;

pub use faulty::{FaultPlan, FaultyStorage};
pub use sim_disk::{DiskOperation, DiskOutcome, SimDisk, SyncPoint};
