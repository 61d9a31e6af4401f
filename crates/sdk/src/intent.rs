//! Intents: they ensure that no issued credential is orphaned.
//!
//! Issuing a credential has a gap: a crash between the outside system's response and the writing of
//! the lease would leave a credential that is never revoked. So an *intent* is stored before the
//! call: the name that the credential will get, and the deadline of the call. If the call certainly
//! failed, the engine undoes it at once and deletes the intent. Otherwise the intent ends in one of
//! two ways, and never in both:
//!
//! - the core writes the lease and deletes the intent in one batch, on the precondition that the
//!   intent still exists;
//! - once the call can no longer be running, the engine *claims* the intent (moves it to the folder
//!   of intents to be undone, on the same precondition), searches for the credential by name and
//!   revokes it. It searches a second time, one call time-out later, before it drops the intent.
//!
//! Under servers that don't know intents (Vault, OpenBao) the same record is kept as a write-ahead
//! log entry in their folder `wal/`, and the engine deletes it just before it responds.

use serde::{Deserialize, Serialize};
use strongroom_engine::intent::{INTENT_FOLDER, UNDO_FOLDER, WAL_FOLDER};
use strongroom_engine::mount_config::HOST_CONFIG_KEY;
use strongroom_engine::{
    MountContext, StorageBatch, StorageChange, StorageError, StoragePrecondition,
};
use strongroom_types::Timestamp;

use crate::Error;
use crate::credential::CredentialName;

/// Names per storage list request.
const PAGE_SIZE: usize = 1000;

/// A credential that is about to be issued.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// The kind of the credential ([`Credential::KIND`](crate::Credential::KIND)).
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Seconds since the Unix epoch, as in Vault's write-ahead log entries.
    created_at: i64,
    pub(crate) data: IntentData,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IntentData {
    pub(crate) name: CredentialName,
    /// When the call to the outside system is aborted.
    deadline: Timestamp,
    /// The time-out of one call to the outside system, in seconds. A call may go on that long after
    /// it was aborted.
    timeout_secs: u64,
    /// How often the credential has been searched for.
    #[serde(default)]
    looks: u32,
    /// When to search next, once the intent is claimed.
    #[serde(default = "epoch")]
    next_look: Timestamp,
}

fn epoch() -> Timestamp {
    Timestamp::EPOCH
}

/// After how many searches an intent is dropped.
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

    /// When the credential is searched for next, if no lease replaces the intent before.
    #[cfg(feature = "testing")]
    pub(crate) fn next_attempt_at(&self) -> Timestamp {
        self.stale_at().max(self.data.next_look)
    }

    /// When the call can no longer be running, so that the intent may be claimed.
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

/// A claimed intent, due to be undone.
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

    /// Stores a new intent and returns its UUID. No outside call may begin before this has
    /// completed.
    pub(crate) async fn create(&self, intent: &Intent) -> Result<String, Error> {
        let uuid = self.mount.entropy.uuid();
        self.restore(&uuid, intent).await?;
        Ok(uuid)
    }

    /// Stores an intent under an existing UUID.
    pub(crate) async fn restore(&self, uuid: &str, intent: &Intent) -> Result<(), Error> {
        let key = format!("{}{uuid}", self.intent_folder());
        Ok(self.mount.storage.commit(StorageBatch::put(key, encode_intent(intent), false)).await?)
    }

    /// Removes an intent: its credential is known not to exist, or is about to be leased by a host
    /// that doesn't handle intents.
    pub(crate) async fn delete(&self, uuid: &str) -> Result<(), Error> {
        let key = format!("{}{uuid}", self.intent_folder());
        Ok(self.mount.storage.commit(StorageBatch::delete(key)).await?)
    }

    /// Claims all stale intents. Returns those to be undone now, and when the next one will be due.
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

    /// Records that the credential was searched for. After the last search the intent is deleted;
    /// before, the result is when to search again.
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

    /// All names in a folder, over as many pages as it takes: entries that stay must not hide later
    /// ones.
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
            // The core wrote the lease meanwhile.
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

/// An entry that can't be parsed was left by the engine that this one replaced. It is skipped, so
/// that the others are still undone.
pub(crate) fn decode_intent(key: &str, value: &[u8]) -> Option<Intent> {
    let intent = serde_json::from_slice(value);
    if intent.is_err() {
        tracing::warn!(key, "skipping an entry that is no intent of this engine");
    }
    intent.ok()
}
