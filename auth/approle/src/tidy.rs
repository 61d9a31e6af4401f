//! The removal of secret ids that have expired, and of those whose role was deleted. Neither can be
//! used any more, so this only frees storage.
//!
//! Both are found without looking at the secret ids that are valid: expired ones by the records of
//! their expiry times, which are in the order of time, and those of deleted roles by the record that
//! [`note_deleted_role`](crate::role::deleted::note_deleted_role) writes in one batch with the deletion. The work is done in pieces of bounded
//! size, each of which leaves nothing that the next can't continue.

use std::time::Duration;

use strongroom_sdk::records::{RecordChange, RecordKey};
use strongroom_sdk::*;

use crate::role::Role;
use crate::role::deleted::{DELETED_ROLES, DeletedRole};
use crate::secret_id_entry::{AccessorEntry, ExpiryEntry, decode_entry};
use crate::secret_id_keys::{
    ExpiryName, LOCAL, REPLICATED, SecretIdBuckets, SecretIdKeys, is_future_folder,
};
use crate::secret_id_store::{self, DestroyTarget, SecretIdPlace};

/// The interval of the periodic removal.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many secret ids a periodic run removes at most. The next run continues.
const MAX_REMOVED_PER_RUN: usize = 20_000;
/// The maximum number of names that are listed, and of secret ids that are removed in one batch.
const PIECE: usize = 128;
/// How long the note about a deleted role is kept after everything was removed: longer than a request
/// that still issues a secret id of the role may take.
const NOTE_LIFETIME: Duration = Duration::from_secs(3600);

/// Declares the path and the periodic task.
pub(crate) fn declare(method: Blueprint) -> Blueprint {
    method
        .write("tidy/secret-id", "Removes expired secret ids.", start_tidy)
        .periodic("tidy-secret-ids", INTERVAL, run_piecewise)
        .run_limit(Duration::from_secs(300))
}

/// Removes everything there is to remove, in the background.
async fn start_tidy(context: Context, (): ()) -> Result<Response, Error> {
    let work = context.clone();
    let is_started = context.spawn_single("tidy-secret-ids", async move {
        while remove_useless(&work, MAX_REMOVED_PER_RUN).await? == MAX_REMOVED_PER_RUN {}
        Ok(())
    })?;
    let warning = match is_started {
        true => {
            "Tidy operation successfully started. Any information from the operation will be \
             printed to the server's logs."
        }
        false => "Tidy operation already in progress.",
    };
    Ok(Response::accepted(&context, warning))
}

async fn run_piecewise(context: Context) -> Result<(), Error> {
    let removed = remove_useless(&context, MAX_REMOVED_PER_RUN).await?;
    if removed > 0 {
        tracing::debug!(removed, "secret ids that can't be used any more were removed");
    }
    Ok(())
}

/// Removes at most `limit` secret ids, and returns how many. Fewer than `limit` means that nothing is
/// left.
async fn remove_useless(context: &Context, limit: usize) -> Result<usize, Error> {
    let mut removed = remove_of_deleted_roles(context, limit).await?;
    for buckets in [REPLICATED, LOCAL] {
        removed += remove_expired(context, buckets, limit.saturating_sub(removed)).await?;
    }
    Ok(removed)
}

async fn remove_of_deleted_roles(context: &Context, limit: usize) -> Result<usize, Error> {
    let (mut removed, mut after) = (0, None);
    while removed < limit {
        let list = context.records().list(DELETED_ROLES, "", after.as_deref(), PIECE).await?;
        let Some(last) = list.last().cloned() else { break };
        for generation in list {
            removed += remove_of_role(context, &generation, limit.saturating_sub(removed)).await?;
        }
        after = Some(last);
    }
    Ok(removed)
}

/// Removes at most `limit` secret ids of a deleted role, and then the note about the role once it is
/// old enough.
async fn remove_of_role(context: &Context, generation: &str, limit: usize) -> Result<usize, Error> {
    let note_key = RecordKey::new(DELETED_ROLES, generation);
    let Some(note) = context.records().get(&note_key).await? else { return Ok(0) };
    let note: DeletedRole = decode_entry(&note)?;
    let keys = SecretIdKeys::new(generation, note.is_local);
    // On hosts without batches the note is there first, and the role may not be deleted after all.
    let role = context.documents().get::<Role>(&[&note.name]).await?;
    let is_deleted = role.is_none_or(|role| role.generation != generation);
    let mut removed = 0;
    while is_deleted && removed < limit {
        let piece = PIECE.min(limit - removed);
        match remove_piece(context, &note_key, &keys, piece).await? {
            0 => break,
            count => removed += count,
        }
    }
    let ends = Timestamp::from_nanos(note.deleted).plus(NOTE_LIFETIME);
    if removed == 0 && ends <= context.now() {
        remove_record(context, note_key).await?;
    }
    Ok(removed)
}

async fn remove_record(context: &Context, record: RecordKey) -> Result<(), Error> {
    let key = record.clone();
    let remove = move |_| {
        let change = RecordChange::returning(()).delete(key.clone());
        async move { Ok(change) }
    };
    context.records().change(record, remove).await
}

/// Removes one piece of a deleted role's secret ids in one batch, and returns how many they were.
async fn remove_piece(
    context: &Context,
    note_key: &RecordKey,
    keys: &SecretIdKeys,
    piece: usize,
) -> Result<usize, Error> {
    let (records, folder) = (context.records(), keys.folder());
    let mut useless = Vec::new();
    let accessors = records.list(keys.buckets.accessors, &folder, None, piece).await?;
    for accessor in &accessors {
        let accessor_key = keys.accessor(accessor);
        if let Some(stored) = records.get(&accessor_key).await? {
            let entry: AccessorEntry = decode_entry(&stored)?;
            useless.push(keys.secret_id(&entry.digest));
            useless.extend(entry.expires().map(|at| keys.expiry(at, &entry.digest)));
        }
        useless.push(accessor_key);
    }
    let mut count = accessors.len();
    if count == 0 {
        // What a crash on a host without batches left without an accessor.
        let digests = records.list(keys.buckets.secret_ids, &folder, None, piece).await?;
        count = digests.len();
        useless.extend(digests.iter().map(|digest| keys.secret_id(digest)));
    }
    if count == 0 {
        return Ok(0);
    }
    let remove = move |_| {
        let none = RecordChange::returning(());
        let change = useless.iter().fold(none, |change, key| change.delete(key.clone()));
        async move { Ok(change) }
    };
    records.change(note_key.clone(), remove).await?;
    Ok(count)
}

/// Removes at most `limit` expired secret ids.
async fn remove_expired(
    context: &Context,
    buckets: SecretIdBuckets,
    limit: usize,
) -> Result<usize, Error> {
    let (records, now) = (context.records(), context.now());
    let mut removed = 0;
    let mut last_folder = None;
    while removed < limit {
        let found = records.list(buckets.expiries, "", last_folder.as_deref(), 1).await?;
        let Some(folder) = found.into_iter().next() else { break };
        if is_future_folder(&folder, now) {
            break;
        }
        let mut last = None;
        while removed < limit {
            let piece = PIECE.min(limit - removed);
            let names = records.list(buckets.expiries, &folder, last.as_deref(), piece).await?;
            let Some(name) = names.last().cloned() else { break };
            for name in &names {
                if !remove_if_expired(context, buckets, &folder, name).await? {
                    return Ok(removed);
                }
                removed += 1;
            }
            last = Some(name);
        }
        last_folder = Some(folder);
    }
    Ok(removed)
}

/// Removes the secret id of an expiry record, and the record. Returns false, without a change, if it
/// expires later.
async fn remove_if_expired(
    context: &Context,
    buckets: SecretIdBuckets,
    folder: &str,
    name: &str,
) -> Result<bool, Error> {
    let record = RecordKey::new(buckets.expiries, &format!("{folder}{name}"));
    let parsed = ExpiryName::parse(name, buckets);
    if parsed.as_ref().is_some_and(|parsed| parsed.at_secs >= context.now().as_secs()) {
        return Ok(false);
    }
    if let (Some(parsed), Some(stored)) = (parsed, context.records().get(&record).await?) {
        let ExpiryEntry { accessor } = decode_entry(&stored)?;
        let place = SecretIdPlace::with_digest(parsed.keys, &parsed.digest);
        secret_id_store::destroy(context, place, DestroyTarget::Expired(accessor)).await?;
    }
    // Removed with the secret id, unless that was gone already.
    if context.records().get(&record).await?.is_some() {
        remove_record(context, record).await?;
    }
    Ok(true)
}
