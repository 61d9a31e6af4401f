//! Mounts: which engine answers below which path.
//!
//! In reading order:
//!
//! - [`entry`]: [`MountEntry`], what is stored of a mount
//! - [`table`]: [`MountTable`], all mounts as an immutable snapshot, and routing by longest prefix
//! - [`handle`]: [`EngineHandle`], the exchangeable engine behind a mount, with its gate
//! - [`storage`]: [`InstanceStorage`], the mount's storage as one instance of its engine sees it
//! - [`system_view`]: what an engine may ask the server
//! - [`loader`]: from an entry to a running engine
//! - [`engine_start`]: engines of mounts that exist, at unseal and again where that failed
//! - [`registry`]: enabling, tuning and disabling
//! - [`reload`]: replacing an engine without failing a request
//! - [`remount`]: giving a mount another path

pub mod engine_start;
pub mod entry;
pub mod handle;
pub mod loader;
pub mod registry;
pub mod reload;
pub mod remount;
pub mod storage;
pub mod system_view;
pub mod table;

pub use entry::{
    MountClass, MountConfig, MountEntry, MountTokenType, RemountProgress, RemountRecord,
};
pub use handle::EngineHandle;
pub use registry::MountRegistry;
pub use storage::InstanceStorage;
pub use table::{ActiveMount, MountBackend, MountTable};
