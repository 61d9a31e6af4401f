//! The second connection between host and plug-in: the host serves each instance on a socket of its
//! own, and announces the address to the plug-in.
//!
//! - [`host`]: [`HostBroker`] binds, announces and serves
//! - [`plugin`]: [`PluginBroker`] receives announcements and dials
//!
//! The announcement and the set-up call travel on different streams, so either may arrive first.

pub mod host;
pub mod plugin;
#[cfg(test)]
mod tests;

pub use host::{HostBroker, OfferError, OfferedServices};
pub use plugin::{DialError, PluginBroker};
