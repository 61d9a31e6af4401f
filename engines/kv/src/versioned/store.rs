//! Where entries and versions lie, and how they change.
//!
//! Entries lie on one shelf under their names, so a list of names is a list of entries. The data of
//! version `n` of `name` lies under the same name on the shelf of all versions `n`, unless it is in
//! the entry. All that belongs to an entry changes together with it: [`change_entry`] is the only way.

use std::future::Future;

use bytes::Bytes;
use strongroom_sdk::records::{RecordChange, RecordKey, RecordStore, check_name};
use strongroom_sdk::{Context, Error, Verbatim};

use super::config::Config;
use super::entry::KvEntry;

/// The shelf of entries.
pub(crate) const ENTRIES: &str = "entry";
/// The most data records that one batch removes.
pub(crate) const MAX_BATCH_REMOVALS: u64 = 256;

/// Where an entry lies.
pub(crate) fn entry_key(name: &str) -> RecordKey {
    RecordKey::new(ENTRIES, name)
}

/// Where the data of a version lies, if it isn't in the entry.
pub(crate) fn data_key(name: &str, number: u64) -> RecordKey {
    RecordKey::new(&format!("v{number}"), name)
}

/// The existence check of `data/` and `metadata/`.
pub(crate) async fn entry_exists(context: Context, name: String) -> Result<bool, Error> {
    Ok(find_entry(&context, &name).await?.is_some())
}

/// The entry of a name. What can't be a name has none.
pub(crate) async fn find_entry(context: &Context, name: &str) -> Result<Option<KvEntry>, Error> {
    if check_name(name).is_err() {
        return Ok(None);
    }
    let stored = context.records().get(&entry_key(name)).await?;
    stored.as_ref().map(KvEntry::from_bytes).transpose()
}

/// The data of a version that is shown.
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

/// What becomes of an entry.
pub(crate) enum EntryChange<T> {
    /// It stays as it is.
    Keep(T),
    /// It is stored, with what goes with it.
    Store(T, KvEntry, SideWrites),
}

/// What changes in storage together with an entry.
#[derive(Default)]
pub(crate) struct SideWrites {
    /// Data to be written, with its version.
    pub(crate) put: Vec<(u64, Bytes)>,
    /// Versions whose data is to be removed.
    pub(crate) remove: Vec<u64>,
}

/// Shows `decide` the entry and does what it says, whole or not at all; if the entry was changed
/// meanwhile, it is asked again. Data of forgotten versions is removed as well.
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
                    // Last: where a batch isn't whole, this is what makes it count.
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

/// Removes the data of many forgotten versions, some at a time. Should the process die, the next
/// change of the entry goes on.
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

/// Removes an entry with all its versions. One with many versions loses the oldest first, some at a
/// time; it is there until nothing else of it is.
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

/// What a secret of version 1 becomes: an entry with one version.
pub(crate) fn migrate_from_version_1(
    context: &Context,
    name: &str,
    data: Bytes,
) -> Vec<(RecordKey, Bytes)> {
    let mut entry = KvEntry::new(context.now());
    let added = entry.add_version(data, &Config::default(), context.now());
    let apart = added.separate_data.into_iter();
    let apart = apart.map(|(number, data)| (data_key(name, number), data));
    // What is new and small can always be written.
    let entry = entry.to_bytes().unwrap_or_default();
    [(entry_key(name), entry)].into_iter().chain(apart).collect()
}
