//! Mounts: the engines, and the paths at which requests reach them.
//!
//! In reading order:
//!
//! - [`entry`]: [`MountEntry`], the stored description of a mount
//! - [`table`]: [`MountTable`], all mounts as an immutable snapshot, and routing by longest prefix
//! - [`handle`]: [`EngineHandle`], the replaceable engine instance behind a mount
//! - [`mount_load`]: [`MountLoad`], the count of requests being processed under a mount
//! - [`storage`]: [`InstanceStorage`], the mount's storage as one instance of its engine sees it
//! - [`system_view`]: the information about the server that an engine can query
//! - [`data_wrapping`]: how engines have data wrapped
//! - [`plugins`]: the plug-in catalog, the choice of a version, and the trait that launches plug-ins
//! - [`loader`]: opens the engine that an entry describes
//! - [`engine_start`]: starts the engines of existing mounts, and retries failed starts
//! - [`registry`]: enabling, tuning and disabling mounts
//! - [`reload`]: replacing an engine without failing a request
//! - [`remount`]: moving a mount to another path
//! - [`error`]: [`Error`], why an operation failed, with the messages clients match on
//!
//! The crate names no engine and starts no process: engines come from a
//! [`plugins::PluginLauncher`]. Routing requests, revoking the leases of a removed or moved mount,
//! and the API of `sys/` are up to the crates above.

pub mod data_wrapping;
pub mod engine_start;
pub mod entry;
pub mod error;
pub mod handle;
pub mod loader;
pub mod mount_load;
mod pending_remounts;
pub mod plugins;
pub mod registry;
pub mod reload;
pub mod remount;
pub mod storage;
pub mod system_view;
pub mod table;

pub use entry::{MountConfig, MountEntry, RemountProgress, RemountRecord};
pub use error::Error;
pub use handle::EngineHandle;
pub use mount_load::MountLoad;
pub use registry::MountRegistry;
pub use storage::InstanceStorage;
pub use table::{ActiveMount, MountBackend, MountTable};
