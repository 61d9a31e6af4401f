//! Where entries and versions are stored, and how they are changed.
//!
//! Entries are records under the key prefix [`ENTRIES`], so listing names is listing those records.
//! The data of version `n`, unless it is in the entry, is a record with the entry's name under a
//! prefix for that version number. Entries are changed by [`change_entry`] and removed by
//! [`remove_entry`] only. Each of their batches changes the entry together with data; the data of
//! forgotten versions may be removed by later batches.

use std::future::Future;

use bytes::Bytes;
use strongroom_sdk::records::{RecordChange, RecordKey, RecordStore, check_name};
use strongroom_sdk::{Context, Error, Verbatim};

use super::config::Config;
use super::entry::KvEntry;

/// The key prefix of entry records.
pub(crate) const ENTRIES: &str = "entry";
/// The maximum number of data records of forgotten versions that one batch removes, and likewise of
/// destroyed versions.
pub(crate) const MAX_BATCH_REMOVALS: u64 = 256;

/// The key of an entry's record.
pub(crate) fn entry_key(name: &str) -> RecordKey {
    RecordKey::new(ENTRIES, name)
}

/// The key of the record with a version's data, if the data isn't in the entry.
pub(crate) fn data_key(name: &str, number: u64) -> RecordKey {
    RecordKey::new(&format!("v{number}"), name)
}

/// The existence check of `data/` and `metadata/`.
pub(crate) async fn entry_exists(context: Context, name: String) -> Result<bool, Error> {
    Ok(find_entry(&context, &name).await?.is_some())
}

/// The entry with this name; `None` also if the name isn't valid.
pub(crate) async fn find_entry(context: &Context, name: &str) -> Result<Option<KvEntry>, Error> {
    if check_name(name).is_err() {
        return Ok(None);
    }
    let stored = context.records().get(&entry_key(name)).await?;
    stored.as_ref().map(KvEntry::from_bytes).transpose()
}

/// Reads the data of a version.
pub(crate) async fn read_version_data(
    records: &RecordStore,
    name: &str,
    entry: &KvEntry,
    number: u64,
) -> Result<Option<Verbatim>, Error> {
    let kept = match &entry.inline_data {
        Some(inline) if number == entry.current_version() => inline.clone(),
        _ => match records.get(&data_key(name, number)).await? {
            Some(kept) => kept,
            None => {
                return Err(Error::internal(format!("the data of version {number} is missing")));
            }
        },
    };
    Ok((&kept[..] != b"null").then(|| Verbatim::from_stored(kept)))
}

/// What to do with an entry.
pub(crate) enum EntryChange<T> {
    /// Leave it unchanged.
    Keep(T),
    /// Store it, together with other records.
    Store(T, KvEntry, SideWrites),
}

/// Storage changes that belong to a change of an entry.
#[derive(Default)]
pub(crate) struct SideWrites {
    /// Data to write, with its version number.
    pub(crate) put: Vec<(u64, Bytes)>,
    /// Versions whose data is to be removed.
    pub(crate) remove: Vec<u64>,
}

/// Passes the entry to `decide` and applies its decision atomically; if the entry changed in the
/// meantime, `decide` is called again. Also removes data of forgotten versions.
pub(crate) async fn change_entry<T, F, Fut>(
    context: &Context,
    name: &str,
    decide: F,
) -> Result<T, Error>
where
    T: Send + 'static,
    F: Fn(Option<KvEntry>) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = Result<EntryChange<T>, Error>> + Send + 'static,
{
    let owned = name.to_owned();
    let now = context.now();
    let changed = context.records().change(entry_key(name), move |seen| {
        let (name, decide) = (owned.clone(), decide.clone());
        async move {
            let entry = seen.as_ref().map(KvEntry::from_bytes).transpose()?;
            Ok(match decide(entry).await? {
                EntryChange::Keep(answer) => RecordChange::returning((answer, true)),
                EntryChange::Store(answer, mut entry, beside) => {
                    entry.metadata.updated = now;
                    let swept = entry.next_sweep_range(MAX_BATCH_REMOVALS);
                    let mut change = RecordChange::returning((answer, entry.is_swept()));
                    for (number, data) in beside.put {
                        change = change.put(data_key(&name, number), data);
                    }
                    for number in beside.remove.into_iter().chain(swept) {
                        change = change.delete(data_key(&name, number));
                    }
                    // The entry comes last: without atomic batches, it is what makes the change
                    // take effect.
                    change.put(entry_key(&name), entry.to_bytes()?)
                }
            })
        }
    });
    let (answer, is_swept) = changed.await?;
    if !is_swept {
        sweep_versions(context, name).await?;
    }
    Ok(answer)
}

/// Removes the data of many forgotten versions in batches. If the process dies in between, the next
/// change of the entry continues.
async fn sweep_versions(context: &Context, name: &str) -> Result<(), Error> {
    loop {
        let owned = name.to_owned();
        let swept = context.records().change(entry_key(name), move |seen| {
            let name = owned.clone();
            async move {
                let Some(mut entry) = seen.as_ref().map(KvEntry::from_bytes).transpose()? else {
                    return Ok(RecordChange::returning(true));
                };
                let range = entry.next_sweep_range(MAX_BATCH_REMOVALS);
                let mut change = RecordChange::returning(entry.is_swept());
                if range.is_empty() {
                    return Ok(change);
                }
                for number in range {
                    change = change.delete(data_key(&name, number));
                }
                Ok(change.put(entry_key(&name), entry.to_bytes()?))
            }
        });
        if swept.await? {
            return Ok(());
        }
    }
}

/// Removes an entry with all its versions. If there are many, the oldest are removed first, in
/// batches; the entry itself goes last.
pub(crate) async fn remove_entry(context: &Context, name: &str) -> Result<(), Error> {
    if check_name(name).is_err() {
        return Ok(());
    }
    loop {
        let owned = name.to_owned();
        let removed = context.records().change(entry_key(name), move |seen| {
            let name = owned.clone();
            async move {
                let Some(mut entry) = seen.as_ref().map(KvEntry::from_bytes).transpose()? else {
                    return Ok(RecordChange::returning(true));
                };
                let left = entry.current_version() + 1 - entry.metadata.first_unswept;
                let is_last = left <= MAX_BATCH_REMOVALS;
                if !is_last {
                    let forget = (entry.metadata.first_unswept + MAX_BATCH_REMOVALS)
                        .saturating_sub(entry.metadata.first);
                    entry.forget_oldest(usize::try_from(forget).unwrap_or(usize::MAX));
                }
                let numbers = match is_last {
                    true => entry.metadata.first_unswept..entry.current_version() + 1,
                    false => entry.next_sweep_range(MAX_BATCH_REMOVALS),
                };
                let mut change = RecordChange::returning(is_last);
                for number in numbers {
                    change = change.delete(data_key(&name, number));
                }
                Ok(match is_last {
                    true => change.delete(entry_key(&name)),
                    false => change.put(entry_key(&name), entry.to_bytes()?),
                })
            }
        });
        if removed.await? {
            return Ok(());
        }
    }
}

/// Converts a secret of version 1 to an entry with one version.
pub(crate) fn migrate_from_version_1(
    context: &Context,
    name: &str,
    data: Bytes,
) -> Vec<(RecordKey, Bytes)> {
    let mut entry = KvEntry::new(context.now());
    let added = entry.add_version(data, &Config::default(), context.now());
    let apart = added.separate_data.into_iter();
    let apart = apart.map(|(number, data)| (data_key(name, number), data));
    // A new entry within the limits can always be serialised.
    let entry = entry.to_bytes().unwrap_or_default();
    [(entry_key(name), entry)].into_iter().chain(apart).collect()
}
