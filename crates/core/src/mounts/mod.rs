//! Mounts: the engines, and the paths at which requests reach them.
//!
//! In reading order:
//!
//! - [`entry`]: [`MountEntry`], the stored description of a mount
//! - [`table`]: [`MountTable`], all mounts as an immutable snapshot, and routing by longest prefix
//! - [`handle`]: [`EngineHandle`], the replaceable engine instance behind a mount
//! - [`storage`]: [`InstanceStorage`], the mount's storage as one instance of its engine sees it
//! - [`system_view`]: the information about the server that an engine can query
//! - [`loader`]: opens the engine that an entry describes
//! - [`engine_start`]: starts the engines of existing mounts, and retries failed starts
//! - [`registry`]: enabling, tuning and disabling mounts
//! - [`reload`]: replacing an engine without failing a request
//! - [`remount`]: moving a mount to another path

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
