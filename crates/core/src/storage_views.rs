//! The prefixes below which each store keeps its entries in the barrier's storage.

pub(crate) const POLICIES: &str = "sys/policy/";
pub(crate) const PASSWORD_POLICIES: &str = "sys/password-policy/";
pub(crate) const TOKENS: &str = "sys/token/";
pub(crate) const TOKEN_ROLES: &str = "sys/token-role/";
pub(crate) const LEASES: &str = "sys/lease/";
/// The prefix of all cubbyholes, by the key of the token that owns them.
pub const CUBBYHOLES: &str = "sys/cubbyhole/";
pub(crate) const MOUNTS: &str = "core/mounts/";
pub(crate) const PLUGIN_CATALOG: &str = "core/plugin-catalog/";
