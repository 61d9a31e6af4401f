//! Layers that fail, or lose power, on purpose.
//!
//! - [`Faulty`]: any store, with chosen operations failing before or after they were applied
//! - [`SimDisk`]: a disk in memory to put under [`Embedded`](crate::embedded::Embedded): it fills
//!   up, turns read-only, fails, and loses power at any point of its history

mod faulty;
mod medium;
mod sim_disk;

pub use faulty::{Faulty, Plan};
pub use sim_disk::{Operation, Outcome, SimDisk, SyncPoint};
