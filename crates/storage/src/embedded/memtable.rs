//! What is in the log and not yet in the tree, held in memory. Reads look here first.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::memory::scan_start;
use crate::{PhysicalChange, PhysicalEntry, Version};

/// The newest change of each key in the log.
#[derive(Default)]
pub(super) struct Memtable {
    changes: BTreeMap<String, LatestChange>,
}

/// The newest change of a key.
#[derive(Clone)]
pub(super) struct LatestChange {
    pub(super) version: Version,
    /// `None` when it was deleted.
    pub(super) value: Option<Bytes>,
}

impl LatestChange {
    /// The version of the entry, if there is one.
    pub(super) fn version_if_present(&self) -> Option<Version> {
        self.value.as_ref().map(|_| self.version)
    }

    /// About what changing it writes in the tree: the page it is in, and its own bytes.
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
    /// Takes over the changes of an applied batch.
    pub(super) fn apply_batch(&mut self, version: Version, changes: Vec<PhysicalChange>) {
        for change in changes {
            let (key, value) = match change {
                PhysicalChange::Put { key, value } => (key, Some(value)),
                PhysicalChange::Delete { key } => (key, None),
            };
            self.changes.insert(key, LatestChange { version, value });
        }
    }

    /// How many keys it holds.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// The newest change of `key`. `None` means that the tree knows best.
    pub(super) fn latest_change(&self, key: &str) -> Option<&LatestChange> {
        self.changes.get(key)
    }

    /// The entry at `key`: `Some(None)` when it was deleted, `None` when the tree knows best.
    pub(super) fn get(&self, key: &str) -> Option<Option<PhysicalEntry>> {
        self.latest_change(key).map(LatestChange::to_entry)
    }

    /// The part of it that a scan needs: each key with whether it is there. It ends with the
    /// `limit`th key that is; a scan of no more than `limit` keys never looks further.
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

    /// The next changes up to version `upto`, in key order behind `after`, about `bytes` of them;
    /// and where to go on, `None` at the end. Looks at a bounded number of keys.
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

    /// Drops those of `changes` that have no newer one than `upto`.
    pub(super) fn drop_checkpointed(&mut self, changes: &[(String, LatestChange)], upto: Version) {
        for (key, _) in changes {
            if self.latest_change(key).is_some_and(|latest| latest.version <= upto) {
                self.changes.remove(key);
            }
        }
    }
}

/// A part of the overlay, copied out of it.
pub(super) struct MemtablePage {
    pub(super) changes: Vec<(String, LatestChange)>,
    pub(super) resume: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that was changed again while it was carried over stays.
    #[test]
    fn only_checkpointed_changes_are_dropped() {
        let mut overlay = Memtable::default();
        for (version, key) in [(1, "a"), (2, "b"), (3, "c")] {
            overlay.apply_batch(Version(version), vec![PhysicalChange::put(key, "")]);
        }
        let page = overlay.next_page(None, Version(2), usize::MAX);
        let keys = |page: &MemtablePage| -> Vec<_> {
            page.changes.iter().map(|(key, latest)| (key.clone(), latest.version.0)).collect()
        };
        assert_eq!(keys(&page), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        overlay.apply_batch(Version(4), vec![PhysicalChange::delete("b")]);
        overlay.drop_checkpointed(&page.changes, Version(2));
        assert!(overlay.latest_change("a").is_none());
        assert_eq!(overlay.get("b"), Some(None), "the delete is newer");
        assert!(overlay.latest_change("c").is_some());
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended() {
        let mut overlay = Memtable::default();
        for n in 0..100 {
            overlay
                .apply_batch(Version(n), vec![PhysicalChange::put(format!("{n:02}"), vec![0; 10])]);
        }
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = overlay.next_page(after.as_deref(), Version(89), 3 * 4106);
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
