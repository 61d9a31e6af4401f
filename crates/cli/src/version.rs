//! The version numbers of the program and of the API.

/// The version of this program.
pub(crate) const PACKAGE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version that the API reports. Clients parse it as a semantic version and enable features by
/// it, so it states which API this server is compatible with: version 2 of Vault and OpenBao.
pub(crate) const API_VERSION: &str = "2.0.0";
