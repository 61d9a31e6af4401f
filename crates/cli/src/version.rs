//! Versions, in one place.

/// This program's version.
pub(crate) const PACKAGE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version that the API reports. Clients read it as a semantic version and switch on features
/// by it, so it says which API this is compatible with: that of the peers' version 2.
pub(crate) const API_VERSION: &str = "2.0.0";
