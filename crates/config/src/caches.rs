//! Limits on what is kept in memory so that it need not be read again, in bytes.
//!
//! ```
//! # use strongroom_config::Config;
//! let config = Config::parse(
//!     r#"
//!     storage "inmem" {}
//!     listener "tcp" { tls_disable = true }
//!
//!     max_cached_entry_bytes              = 4194304
//!     max_cached_token_bytes              = 2097152
//!     max_cached_document_bytes_per_mount = 262144
//!     "#,
//!     "server.hcl",
//! )?;
//! assert_eq!(config.caches.tokens, 2 << 20);
//! # Ok::<(), strongroom_config::ConfigError>(())
//! ```

use crate::reading::{ConfigError, ConfigSection};

/// Bytes of each cache. The cache of the embedded store is a setting of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Decrypted entries of the store. Keys that are known not to exist get an eighth of it beside
    /// them.
    pub entries: usize,
    /// Tokens.
    pub tokens: usize,
    /// Documents of one mount, such as roles. Names that have no document get an eighth of it beside
    /// them.
    pub documents_per_mount: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { entries: 8 << 20, tokens: 8 << 20, documents_per_mount: 1 << 20 }
    }
}

impl CacheLimits {
    pub(crate) fn merge(&mut self, section: &ConfigSection<'_>) -> Result<(), ConfigError> {
        section.read_size("max_cached_entry_bytes", &mut self.entries)?;
        section.read_size("max_cached_token_bytes", &mut self.tokens)?;
        section.read_size("max_cached_document_bytes_per_mount", &mut self.documents_per_mount)
    }
}
