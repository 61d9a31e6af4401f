//! How host and plug-in find each other a second time: the host offers each instance a server of
//! its own, on a socket of its own, and tells the plug-in where.
//!
//! - [`host`]: [`HostBroker`] binds, announces and serves
//! - [`plugin`]: [`PluginBroker`] listens for announcements and dials
//!
//! Announcement and set-up call travel on different streams, so either may arrive first.

pub mod host;
pub mod plugin;
#[cfg(test)]
mod tests;

pub use host::{HostBroker, OfferError, OfferedServices};
pub use plugin::{DialError, PluginBroker};
