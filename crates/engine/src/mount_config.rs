//! The keys of [`MountContext::config`](crate::MountContext::config) by which a host declares its
//! abilities to an engine. They are added to the mount's options; operators don't set them.

/// The key by which the host announces, with the value `1`, that it handles intents.
pub const HOST_CONFIG_KEY: &str = "strongroom_host";

/// The key by which the host sets the size of the document cache in bytes. Names without a document
/// are cached separately, in an eighth of that size.
pub const CACHED_BYTES_CONFIG_KEY: &str = "strongroom_cached_document_bytes";

/// The prefix of all keys of Strongroom.
const OWN_PREFIX: &str = "strongroom_";
/// The keys that Vault, OpenBao and Strongroom add: the plug-in's name, type and version.
const PLUGIN_KEYS: [&str; 3] = ["plugin_name", "plugin_type", "plugin_version"];

/// Whether a key is an option of the mount, and not added by the host.
pub fn is_mount_option(key: &str) -> bool {
    !key.starts_with(OWN_PREFIX) && !PLUGIN_KEYS.contains(&key)
}

/// The size of the document cache, in bytes, if the host doesn't set it.
pub const DEFAULT_CACHED_BYTES: u64 = 1 << 20;
