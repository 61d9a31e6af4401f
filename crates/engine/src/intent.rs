//! Where intents are in a mount's storage. An engine writes an *intent* before it calls an outside
//! system that issues a credential, so that no credential is orphaned; see `strongroom-sdk`.
//!
//! The host reads no intent. It deletes the intent in the batch that writes the lease, on the
//! precondition that the intent still exists, and caches nothing in these folders.

/// The folder of intents in the mount's storage. The core never caches keys below it.
pub const INTENT_FOLDER: &str = "intent/";

/// The folder of claimed intents, which stay there until they are undone.
pub const UNDO_FOLDER: &str = "undo/";

/// The folder in which Vault and OpenBao keep write-ahead log entries. Under these servers an
/// intent is such an entry.
pub const WAL_FOLDER: &str = "wal/";

/// The field in a lease's internal data with the id of the intent that the lease replaces.
pub const INTENT_FIELD: &str = "strongroom_intent";
