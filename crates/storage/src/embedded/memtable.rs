//! The memtable: changes that are in the log but not yet in the tree. Reads look here first.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::memory::scan_start;
use crate::{PhysicalChange, PhysicalEntry, Version};

/// The latest change of each key in the log.
#[derive(Default)]
pub(super) struct Memtable {
    changes: BTreeMap<String, LatestChange>,
}

/// The latest change of a key.
#[derive(Clone)]
pub(super) struct LatestChange {
    pub(super) version: Version,
    /// `None` if the key was deleted.
    pub(super) value: Option<Bytes>,
}

impl LatestChange {
    /// The version of the entry; `None` if it was deleted.
    pub(super) fn version_if_present(&self) -> Option<Version> {
        self.value.as_ref().map(|_| self.version)
    }

    /// Estimated bytes that the change writes in the tree: the page that contains it, and its
    /// value.
    fn tree_bytes(&self) -> usize {
        const PAGE: usize = 4096;
        PAGE + self.value.as_ref().map_or(0, Bytes::len)
    }

    fn to_entry(&self) -> Option<PhysicalEntry> {
        let version = self.version;
        self.value.clone().map(|value| PhysicalEntry { value, version })
    }
}

impl Memtable {
    /// Adds the changes of an applied batch.
    pub(super) fn apply_batch(&mut self, version: Version, changes: Vec<PhysicalChange>) {
        for change in changes {
            let (key, value) = match change {
                PhysicalChange::Put { key, value } => (key, Some(value)),
                PhysicalChange::Delete { key } => (key, None),
            };
            self.changes.insert(key, LatestChange { version, value });
        }
    }

    /// Number of keys in the memtable.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// The latest change of `key`; `None` if only the tree may have the key.
    pub(super) fn latest_change(&self, key: &str) -> Option<&LatestChange> {
        self.changes.get(key)
    }

    /// The entry at `key`: `Some(None)` if it was deleted, `None` if only the tree may have it.
    pub(super) fn get(&self, key: &str) -> Option<Option<PhysicalEntry>> {
        self.latest_change(key).map(LatestChange::to_entry)
    }

    /// The keys that a scan needs, each with whether it exists. Stops after `limit` existing keys,
    /// because a scan for that many never needs more.
    pub(super) fn keys_for_scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<(String, bool)> {
        let mut slice = Vec::new();
        let mut present = 0;
        let keys = self.changes.range::<str, _>((scan_start(prefix, after), Bound::Unbounded));
        for (key, latest) in keys.take_while(|(key, _)| key.starts_with(prefix)) {
            if present == limit {
                break;
            }
            present += usize::from(latest.value.is_some());
            slice.push((key.clone(), latest.value.is_some()));
        }
        slice
    }

    /// The next changes up to version `upto` in key order after `after`, roughly `bytes` of them,
    /// and where to resume (`None` at the end). Examines a bounded number of keys.
    pub(super) fn next_page(
        &self,
        after: Option<&str>,
        upto: Version,
        bytes: usize,
    ) -> MemtablePage {
        const MOST_KEYS: usize = 4096;
        let mut changes = Vec::new();
        let mut taken = 0;
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = self.changes.range::<str, _>((behind, Bound::Unbounded));
        for (seen, (key, latest)) in keys.enumerate() {
            if latest.version <= upto {
                taken += latest.tree_bytes();
                changes.push((key.clone(), latest.clone()));
            }
            if taken >= bytes || seen + 1 == MOST_KEYS {
                return MemtablePage { changes, resume: Some(key.clone()) };
            }
        }
        MemtablePage { changes, resume: None }
    }

    /// Drops those of `changes` that were not changed again after `upto`.
    pub(super) fn drop_checkpointed(&mut self, changes: &[(String, LatestChange)], upto: Version) {
        for (key, _) in changes {
            if self.latest_change(key).is_some_and(|latest| latest.version <= upto) {
                self.changes.remove(key);
            }
        }
    }
}

/// A page of the memtable, copied out of it.
pub(super) struct MemtablePage {
    pub(super) changes: Vec<(String, LatestChange)>,
    pub(super) resume: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that was changed again during the checkpoint is kept.
    #[test]
    fn only_checkpointed_changes_are_dropped() {
        let mut memtable = Memtable::default();
        for (version, key) in [(1, "a"), (2, "b"), (3, "c")] {
            memtable.apply_batch(Version(version), vec![PhysicalChange::put(key, "")]);
        }
        let page = memtable.next_page(None, Version(2), usize::MAX);
        let keys = |page: &MemtablePage| -> Vec<_> {
            page.changes.iter().map(|(key, latest)| (key.clone(), latest.version.0)).collect()
        };
        assert_eq!(keys(&page), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        memtable.apply_batch(Version(4), vec![PhysicalChange::delete("b")]);
        memtable.drop_checkpointed(&page.changes, Version(2));
        assert!(memtable.latest_change("a").is_none());
        assert_eq!(memtable.get("b"), Some(None), "the delete is newer");
        assert!(memtable.latest_change("c").is_some());
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended() {
        let mut memtable = Memtable::default();
        for n in 0..100 {
            memtable
                .apply_batch(Version(n), vec![PhysicalChange::put(format!("{n:02}"), vec![0; 10])]);
        }
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = memtable.next_page(after.as_deref(), Version(89), 3 * 4106);
            found.extend(page.changes.into_iter().map(|(_, latest)| latest.version.0));
            pages += 1;
            match page.resume {
                None => break,
                resume => after = resume,
            }
        }
        assert_eq!((found, pages), ((0..90).collect(), 31));
    }
}
