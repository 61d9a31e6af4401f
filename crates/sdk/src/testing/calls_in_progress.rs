//! The calls of a test that the engine has not finished.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which calls of the engine are in progress, each as its operation and path.
#[derive(Clone, Debug, Default)]
pub(super) struct CallsInProgress(Arc<Mutex<CallTable>>);

#[derive(Debug, Default)]
struct CallTable {
    next: u64,
    calls: BTreeMap<u64, String>,
}

impl CallsInProgress {
    /// Records a call until the returned guard is dropped, which also happens if the test drops the
    /// future of the call.
    pub(super) fn begin(&self, call: impl fmt::Display) -> CallGuard {
        let mut table = self.lock_table();
        let number = table.next;
        table.next += 1;
        table.calls.insert(number, call.to_string());
        CallGuard { table: self.clone(), number }
    }

    fn lock_table(&self) -> MutexGuard<'_, CallTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls in the order in which they began.
    pub(super) fn list(&self) -> Vec<String> {
        self.lock_table().calls.values().cloned().collect()
    }
}

/// Ends the record of one call when it is dropped.
#[derive(Debug)]
pub(super) struct CallGuard {
    table: CallsInProgress,
    number: u64,
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.table.lock_table().calls.remove(&self.number);
    }
}
