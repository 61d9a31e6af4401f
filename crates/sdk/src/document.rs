//! [`Document`]: a typed object that operators write and the engine stores, such as a configuration
//! or a role.
//!
//! A document is declared together with its path. Creating, updating, reading, listing and deleting
//! follow from that, and so does the existence check, without which Vault's own SDK panics at the
//! first write.
//!
//! An update merges: fields that are not sent keep their values. A document that is declared with
//! `replace` is replaced instead: fields that are not sent get their defaults.

mod store;

use strongroom_schema::field::{FieldSpec, InvalidInput, ObjectWriter};
use strongroom_types::Fields;

pub use self::store::DocumentStore;
pub(crate) use self::store::{
    MAX_MERGE_ATTEMPTS, name_error, storage_key, unreadable_document_error,
};

/// A stored document. Derive it:
///
/// ```
/// use strongroom_sdk::{BaseUrl, CommaList, Document, DurationSecs, Secret};
///
/// /// How to reach the service.
/// #[derive(Document)]
/// #[document(path = "config", seal_wrap)]
/// struct Config {
///     /// Base URL of the service.
///     #[field(required)]
///     api_endpoint: BaseUrl,
///     /// API key of the service. A secret is never shown again.
///     #[field(required)]
///     api_key: Secret<String>,
/// }
///
/// /// What a credential may do.
/// #[derive(Document)]
/// #[document(path = "roles/{name}")]
/// struct Role {
///     /// Names of permissions.
///     permissions: CommaList,
///     /// Lifetime of a credential.
///     #[field(default = "1h")]
///     ttl: DurationSecs,
/// }
/// ```
///
/// In `#[document(...)]`, `path` is required; a capture in it declares a collection, which can be
/// listed: `{name}` for names of letters, digits, `_`, `-` and `.`, `{name@}` for names with `@` as
/// well, and `{name..}` at the end for names of several segments. `folds_case` makes the case of
/// names irrelevant (see [`FOLDS_CASE`](Self::FOLDS_CASE)). `seal_wrap` encrypts the stored value
/// with the seal as well, `local` excludes the document from replication, `root` requires the
/// `sudo` capability, `internal_key` stores it under a key that no client can name (for an engine
/// that also has free-form documents or migrates those of an earlier version), `replace` lets a
/// client's write replace the whole document (see [`REPLACES`](Self::REPLACES)), and
/// `validate = function` names a `fn(&Self) -> Result<(), String>` that checks the whole document
/// before a client's write is stored.
pub trait Document: Sized + Send + Sync + 'static {
    /// The path below the mount, which is also the storage key.
    const PATH: &'static str;
    /// The description in help and OpenAPI: the documentation comment of the struct.
    const HELP: &'static str;
    /// Whether the stored value is encrypted with the seal as well.
    const SEAL_WRAP: bool;
    /// Whether the document is excluded from replication to other clusters.
    const LOCAL: bool;
    /// Whether its path requires the `sudo` capability.
    const ROOT: bool;
    /// Whether it is stored under a key that no client can name.
    const INTERNAL_KEY: bool;
    /// Whether a client's write replaces the document: fields that it doesn't contain, or that are
    /// `null`, get their defaults, and a required one must be sent. Fields that only the engine sets
    /// (`internal`) and fields with `keep` keep the stored value. If this is false, the write is
    /// merged: all fields that it doesn't contain keep the stored value.
    const REPLACES: bool = false;
    /// Whether the case of names doesn't matter: captures of the path are converted to lower case,
    /// in requests and in the calls of [`DocumentStore`]. Policies are checked against the lower
    /// case form. The same holds for paths below the document's, for a credential whose role it is,
    /// and for logins and actions whose captures have the name of the document's capture, unless
    /// another document has a capture of that name. Documents that were stored under names in upper
    /// case before can't be reached any more.
    const FOLDS_CASE: bool = false;
    /// The declared fields, for help, OpenAPI and merging.
    const FIELDS: &'static [FieldSpec];

    /// Builds the document from fields: those a client sent, merged over those stored before.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if a field has the wrong form, or a required one is missing.
    fn from_fields(fields: &Fields) -> Result<Self, InvalidInput>;

    /// Parses each field's default, since a wrong one would fail every write that leaves the field
    /// out. Written by the derive macro; opening the engine fails if this fails.
    #[doc(hidden)]
    fn check_defaults() -> Result<(), InvalidInput> {
        Ok(())
    }

    /// Writes all fields, including secrets, for storage.
    fn write_stored(&self, out: &mut ObjectWriter);

    /// Writes the fields that a client may read; secrets are left out.
    fn write_shown(&self, out: &mut ObjectWriter);

    /// The names of the fields that a list of the collection shows for each document (`listed`). If
    /// there are any, the response has an object `key_info` beside `keys`. A client needs only the
    /// capability to list the collection to see them.
    fn listed_fields() -> Vec<&'static str> {
        Vec::new()
    }

    /// Writes the fields that a list shows for each document.
    fn write_listed(&self, _out: &mut ObjectWriter) {}

    /// Checks that the fields are consistent with each other, before a client's write is stored.
    /// [`DocumentStore::put`] and [`DocumentStore::change`] don't call it.
    ///
    /// # Errors
    ///
    /// A message for the user, who receives it with status 400.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}
