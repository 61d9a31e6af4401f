//! Revocation marks: which tokens are being revoked.
//!
//! The first step of a revocation durably marks the token. From then on the token and all its
//! descendants are refused, and no batch that creates a child or a lease from it can succeed,
//! because such a batch requires that there be no mark. So nothing new can appear below it while
//! the tree is revoked, however long that takes and however often it is interrupted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::token::TokenKey;

/// What happens to the children of a token that is being revoked. It is serialised in lower case,
/// as `tree` or `orphan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RevocationMark {
    /// The children are revoked with it.
    Tree,
    /// The children become orphans and stay valid.
    Orphan,
}

/// All marks, in memory. Usually there are none, and then readers take no lock.
#[derive(Debug, Default)]
pub(crate) struct RevocationMarks {
    count: AtomicUsize,
    marks: RwLock<HashMap<TokenKey, RevocationMark>>,
}

impl RevocationMarks {
    pub(crate) fn new(marks: HashMap<TokenKey, RevocationMark>) -> Self {
        Self { count: AtomicUsize::new(marks.len()), marks: RwLock::new(marks) }
    }

    pub(crate) fn get(&self, key: &TokenKey) -> Option<RevocationMark> {
        if self.is_empty() {
            return None;
        }
        self.marks.read().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(crate) fn snapshot(&self) -> Vec<(TokenKey, RevocationMark)> {
        let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        marks.iter().map(|(key, mark)| (key.clone(), *mark)).collect()
    }

    pub(crate) fn insert(&self, key: &TokenKey, mark: RevocationMark) {
        self.update_map(|marks| _ = marks.insert(key.clone(), mark));
    }

    pub(crate) fn remove(&self, key: &TokenKey) {
        self.update_map(|marks| _ = marks.remove(key));
    }

    fn update_map(&self, change: impl FnOnce(&mut HashMap<TokenKey, RevocationMark>)) {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut marks);
        self.count.store(marks.len(), Ordering::Release);
    }
}
