//! The calls of a test that the engine has not finished.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::host::lock_mutex;

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
        let mut table = lock_mutex(&self.0);
        let number = table.next;
        table.next += 1;
        table.calls.insert(number, call.to_string());
        CallGuard { table: self.clone(), number }
    }

    /// The calls in the order in which they began.
    pub(super) fn list(&self) -> Vec<String> {
        lock_mutex(&self.0).calls.values().cloned().collect()
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
        lock_mutex(&self.table.0).calls.remove(&self.number);
    }
}
