//! Limits on the number of requests that are processed at the same time.
//!
//! ```
//! # use strongroom_config::Config;
//! let config = Config::parse(
//!     r#"
//!     storage "inmem" {}
//!     listener "tcp" { tls_disable = true }
//!
//!     max_requests                           = 4096
//!     max_requests_per_mount                 = 512
//!     max_unauthenticated_requests           = 512
//!     max_unauthenticated_requests_per_mount = 64
//!     "#,
//!     "server.hcl",
//! )?;
//! assert_eq!(config.requests.per_mount, 512);
//! # Ok::<(), strongroom_config::ConfigError>(())
//! ```

use crate::reading::{ConfigError, ConfigSection};

/// How many requests may be processed at the same time. Requests above a limit are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// The limit for all requests together.
    pub all: usize,
    /// The limit for requests to one mount.
    pub per_mount: usize,
    /// The limit for all requests without a valid token.
    pub unauthenticated: usize,
    /// The limit for requests without a valid token to one mount.
    pub unauthenticated_per_mount: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { all: 8192, per_mount: 1024, unauthenticated: 2048, unauthenticated_per_mount: 256 }
    }
}

impl RequestLimits {
    pub(crate) fn merge(&mut self, section: &ConfigSection<'_>) -> Result<(), ConfigError> {
        section.read_size("max_requests", &mut self.all)?;
        section.read_size("max_requests_per_mount", &mut self.per_mount)?;
        section.read_size("max_unauthenticated_requests", &mut self.unauthenticated)?;
        let per_mount = &mut self.unauthenticated_per_mount;
        section.read_size("max_unauthenticated_requests_per_mount", per_mount)
    }
}
