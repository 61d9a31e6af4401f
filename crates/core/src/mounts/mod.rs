//! Mounts: which engine answers below which path.
//!
//! In reading order:
//!
//! - [`entry`]: [`MountEntry`], what is stored of a mount
//! - [`table`]: [`MountTable`], all mounts as an immutable snapshot, and routing by longest prefix
//! - [`handle`]: [`EngineHandle`], the exchangeable engine behind a mount, with its gate
//! - [`storage`]: [`InstanceStorage`], the mount's storage as one instance of its engine sees it
//! - [`system_view`]: what an engine may ask the server
//! - [`opening`]: from an entry to a running engine
//! - [`starting`]: engines of mounts that exist, at unseal and again where that failed
//! - [`changes`]: enabling, tuning and disabling
//! - [`reload`]: replacing an engine without failing a request
//! - [`moving`]: giving a mount another path

pub mod changes;
pub mod entry;
pub mod handle;
pub mod moving;
pub mod opening;
pub mod reload;
pub mod starting;
pub mod storage;
pub mod system_view;
pub mod table;

pub use changes::Mounts;
pub use entry::{Class, MountConfig, MountEntry, Move, MoveStatus, TokenKind};
pub use handle::EngineHandle;
pub use storage::InstanceStorage;
pub use table::{Backend, MountTable, Mounted};
