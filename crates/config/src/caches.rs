//! Limits on the caches in memory, in bytes.
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

/// Sizes of the caches in bytes. The cache of the embedded store is set in its `storage` stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// The cache of decrypted storage entries. The cache of keys that are known not to exist may
    /// use another eighth of this.
    pub entries: usize,
    /// The cache of tokens that were looked up.
    pub tokens: usize,
    /// The cache of one mount's documents, such as roles. The cache of names that are known to have
    /// no document may use another eighth of this.
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
