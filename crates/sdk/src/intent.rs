//! Intents: no orphaned credential.
//!
//! Issuing a credential has a gap: between the outside system's answer and the lease on disk a
//! crash would leave a credential that nobody will ever revoke. So an *intent* is stored before
//! the outside call: the name the credential will get, and until when the call can last. It ends
//! in one of two ways, and never in both:
//!
//! - the core writes the lease and deletes the intent in one batch, on the precondition that the
//!   intent is still there;
//! - once the call can't be under way any more, the engine *claims* the intent (deletes it, on the
//!   same precondition, and writes it down as to be undone), looks for the credential by name and
//!   takes it back. It looks once more, an outside time-out later, before it lets the matter rest.
//!
//! Under servers that know nothing of intents (Vault, OpenBao) the same record is kept as a
//! write-ahead entry under their key `wal/`, and deleted by the engine just before it answers.

use serde::{Deserialize, Serialize};
use strongroom_types::Timestamp;

use crate::Error;
use crate::credential::CredentialName;
use crate::engine::{MountContext, StorageBatch, StorageChange, StorageError, StoragePrecondition};

/// The key of the set-up configuration with which a host says that it honours intents.
pub const HOST_CONFIG_KEY: &str = "strongroom_host";
/// Where intents lie in the mount's storage. The core never caches these keys.
pub const INTENT_FOLDER: &str = "intent/";
/// The field of a lease's internal data that names the intent it replaces.
pub const INTENT_FIELD: &str = "strongroom_intent";

/// Where claimed intents lie until they are undone.
pub const UNDO_FOLDER: &str = "undo/";
/// Where Vault and OpenBao keep such entries.
pub(crate) const WAL_FOLDER: &str = "wal/";
/// Names asked for at once.
const PAGE_SIZE: usize = 1000;

/// A credential that is about to exist.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// The credential's kind.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Vault's form wants this: seconds since the epoch.
    created_at: i64,
    pub(crate) data: IntentData,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IntentData {
    pub(crate) name: CredentialName,
    /// When the outside call has been given up.
    deadline: Timestamp,
    /// How long the outside system may take for one call, and so go on with one that was given up.
    timeout_secs: u64,
    /// How often the name was looked for already.
    #[serde(default)]
    looks: u32,
    /// When to look next, once claimed.
    #[serde(default = "epoch")]
    next_look: Timestamp,
}

fn epoch() -> Timestamp {
    Timestamp::EPOCH
}

/// How many looks find nothing before an intent is dropped.
const MAX_UNDO_ATTEMPTS: u32 = 2;

impl Intent {
    pub(crate) fn new(
        kind: &str,
        name: CredentialName,
        now: Timestamp,
        deadline: Timestamp,
        timeout: std::time::Duration,
    ) -> Self {
        let data = IntentData {
            name,
            deadline,
            timeout_secs: timeout.as_secs().max(1),
            looks: 0,
            next_look: Timestamp::EPOCH,
        };
        Self { kind: kind.to_owned(), created_at: now.as_secs(), data }
    }

    fn call_timeout(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.data.timeout_secs)
    }

    /// When the outside call is given up, however late it began.
    pub(crate) fn deadline(&self) -> Timestamp {
        self.data.deadline
    }

    /// When nobody can be using this intent any more.
    pub(crate) fn stale_at(&self) -> Timestamp {
        self.data.deadline.plus(self.call_timeout())
    }
}

/// The intents of one mount.
#[derive(Clone, Debug)]
pub(crate) struct IntentStore {
    mount: MountContext,
    /// Whether the host deletes an intent together with writing its lease.
    pub(crate) host_deletes_intents: bool,
}

/// An intent to be undone now.
#[derive(Debug)]
pub(crate) struct DueIntent {
    pub(crate) uuid: String,
    pub(crate) intent: Intent,
}

impl IntentStore {
    pub(crate) fn new(mount: MountContext) -> Self {
        let offered = mount.config.get(HOST_CONFIG_KEY).is_some_and(|value| value == "1");
        let hosted = offered && mount.storage.is_atomic();
        Self { mount, host_deletes_intents: hosted }
    }

    fn intent_folder(&self) -> &'static str {
        if self.host_deletes_intents { INTENT_FOLDER } else { WAL_FOLDER }
    }

    /// Stores an intent and gives its uuid. Nothing may be done outside before this has answered.
    pub(crate) async fn create(&self, intent: &Intent) -> Result<String, Error> {
        let uuid = self.mount.entropy.uuid();
        self.restore(&uuid, intent).await?;
        Ok(uuid)
    }

    /// Stores an intent under the uuid it has.
    pub(crate) async fn restore(&self, uuid: &str, intent: &Intent) -> Result<(), Error> {
        let key = format!("{}{uuid}", self.intent_folder());
        Ok(self.mount.storage.commit(StorageBatch::put(key, encode_intent(intent), false)).await?)
    }

    /// Removes an intent whose credential is known not to exist, or is leased by a host that
    /// doesn't know intents.
    pub(crate) async fn delete(&self, uuid: &str) -> Result<(), Error> {
        let key = format!("{}{uuid}", self.intent_folder());
        Ok(self.mount.storage.commit(StorageBatch::delete(key)).await?)
    }

    /// Claims what is stale and gives what is to be undone now, and when to look again.
    pub(crate) async fn claim_due(&self) -> Result<(Vec<DueIntent>, Option<Timestamp>), Error> {
        let mut due = Vec::new();
        let mut next: Option<Timestamp> = None;
        let mut earlier = |at: Timestamp| next = Some(next.map_or(at, |n: Timestamp| n.min(at)));
        let now = self.mount.clock.now();
        for uuid in self.all_names(self.intent_folder()).await? {
            match self.claim_if_stale(&uuid, now).await? {
                IntentClaim::Ours(intent) => due.push(DueIntent { uuid, intent }),
                IntentClaim::Wait(until) => earlier(until),
                IntentClaim::Gone => {}
            }
        }
        if self.host_deletes_intents {
            for uuid in self.all_names(UNDO_FOLDER).await? {
                if due.iter().any(|known| known.uuid == uuid) {
                    continue;
                }
                let key = format!("{UNDO_FOLDER}{uuid}");
                let Some(stored) = self.mount.storage.get(&key).await? else { continue };
                let Some(intent) = decode_intent(&key, &stored.value) else { continue };
                if intent.data.next_look <= now {
                    due.push(DueIntent { uuid, intent });
                } else {
                    earlier(intent.data.next_look);
                }
            }
        }
        Ok((due, next))
    }

    /// Notes that a name was looked for. After enough looks the matter rests; until then this says
    /// when to look again.
    pub(crate) async fn record_undo_attempt(
        &self,
        due: DueIntent,
    ) -> Result<Option<Timestamp>, Error> {
        let DueIntent { uuid, mut intent } = due;
        let folder = if self.host_deletes_intents { UNDO_FOLDER } else { WAL_FOLDER };
        let key = format!("{folder}{uuid}");
        intent.data.looks += 1;
        if intent.data.looks >= MAX_UNDO_ATTEMPTS {
            self.mount.storage.commit(StorageBatch::delete(key)).await?;
            return Ok(None);
        }
        let next = self.mount.clock.now().plus(intent.call_timeout());
        intent.data.next_look = next;
        self.mount.storage.commit(StorageBatch::put(key, encode_intent(&intent), false)).await?;
        Ok(Some(next))
    }

    /// All names in a folder: entries that stay must not hide those behind them.
    async fn all_names(&self, folder: &str) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().map(String::as_str);
            let page = self.mount.storage.list(folder, after, PAGE_SIZE).await?;
            let is_last = page.len() < PAGE_SIZE;
            names.extend(page);
            if is_last {
                return Ok(names);
            }
        }
    }

    async fn claim_if_stale(&self, uuid: &str, now: Timestamp) -> Result<IntentClaim, Error> {
        let key = format!("{}{uuid}", self.intent_folder());
        let Some(stored) = self.mount.storage.get(&key).await? else {
            return Ok(IntentClaim::Gone);
        };
        let Some(intent) = decode_intent(&key, &stored.value) else { return Ok(IntentClaim::Gone) };
        if intent.stale_at() > now {
            return Ok(IntentClaim::Wait(intent.stale_at()));
        }
        if !self.host_deletes_intents {
            let ready = intent.data.next_look <= now;
            return Ok(if ready {
                IntentClaim::Ours(intent)
            } else {
                IntentClaim::Wait(intent.data.next_look)
            });
        }
        let undo = format!("{UNDO_FOLDER}{uuid}");
        let batch = StorageBatch {
            preconditions: vec![StoragePrecondition::Unchanged(key.clone(), stored.version)],
            changes: vec![
                StorageChange::Delete { key },
                StorageChange::Put { key: undo, value: encode_intent(&intent), seal_wrap: false },
            ],
        };
        match self.mount.storage.commit(batch).await {
            Ok(()) => Ok(IntentClaim::Ours(intent)),
            // The lease was written just now.
            Err(StorageError::Precondition(_)) => Ok(IntentClaim::Gone),
            Err(error) => Err(error.into()),
        }
    }
}

enum IntentClaim {
    Ours(Intent),
    Wait(Timestamp),
    Gone,
}

fn encode_intent(intent: &Intent) -> bytes::Bytes {
    // Plain data; it can't fail to serialise.
    serde_json::to_vec(intent).unwrap_or_default().into()
}

/// An entry that can't be read was left by an engine this one replaces: not ours to judge, and no
/// reason to leave the others undone.
fn decode_intent(key: &str, value: &[u8]) -> Option<Intent> {
    let intent = serde_json::from_slice(value);
    if intent.is_err() {
        tracing::warn!(key, "skipping an entry that is no intent of this engine");
    }
    intent.ok()
}
