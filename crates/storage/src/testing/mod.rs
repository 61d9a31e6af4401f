//! Layers that fail, or lose power, on purpose.
//!
//! - [`FaultyStorage`]: any store, with chosen operations failing before or after they were applied
//! - [`SimDisk`]: a disk in memory to put under [`EmbeddedStorage`](crate::embedded::EmbeddedStorage): it fills
//!   up, turns read-only, fails, and loses power at any point of its history

mod faulty;
mod medium;
mod sim_disk;

pub use faulty::{FaultPlan, FaultyStorage};
pub use sim_disk::{DiskOperation, DiskOutcome, SimDisk, SyncPoint};
