//! Limits on the size of keys, values and batches.

use crate::{Error, PhysicalBatch, PhysicalChange};

/// Maximum sizes that a store accepts. Larger batches fail with [`Error::TooLarge`] before anything
/// is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageLimits {
    /// Maximum size of a key in bytes; 4 KiB by default.
    pub key_bytes: usize,
    /// Maximum size of a value in bytes; 2 MiB by default, enough for a secret of 1 MiB with its
    /// encoding.
    pub value_bytes: usize,
    /// Maximum size of a whole batch in bytes, which counts keys, values and 8 bytes per change; 3
    /// MiB by default.
    pub batch_bytes: usize,
}

/// Bytes that a change counts beside its key and value.
pub(crate) const CHANGE_OVERHEAD_BYTES: usize = 8;

impl Default for StorageLimits {
    fn default() -> Self {
        Self { key_bytes: 4 << 10, value_bytes: 2 << 20, batch_bytes: 3 << 20 }
    }
}

impl StorageLimits {
    /// Refuses a batch with an empty key or anything too large.
    pub(crate) fn check_batch(&self, batch: &PhysicalBatch) -> Result<(), Error> {
        for precondition in &batch.preconditions {
            self.check_key(precondition.key())?;
        }
        for change in &batch.changes {
            self.check_key(change.key())?;
            if let PhysicalChange::Put { value, .. } = change {
                check_at_most("value", value.len(), self.value_bytes)?;
            }
        }
        check_at_most("batch", batch_bytes(batch), self.batch_bytes)
    }

    fn check_key(&self, key: &str) -> Result<(), Error> {
        if key.is_empty() {
            return Err(Error::EmptyKey);
        }
        check_at_most("key", key.len(), self.key_bytes)
    }
}

/// The size of a batch that is compared with [`StorageLimits::batch_bytes`].
pub(crate) fn batch_bytes(batch: &PhysicalBatch) -> usize {
    let change = |change: &PhysicalChange| {
        CHANGE_OVERHEAD_BYTES
            + match change {
                PhysicalChange::Put { key, value } => key.len().saturating_add(value.len()),
                PhysicalChange::Delete { key } => key.len(),
            }
    };
    batch.changes.iter().map(change).fold(0, usize::saturating_add)
}

fn check_at_most(what: &'static str, len: usize, limit: usize) -> Result<(), Error> {
    if len > limit { Err(Error::TooLarge { what, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precondition;

    #[test]
    fn refuses_what_is_too_large_and_says_which() {
        let limits = StorageLimits { key_bytes: 4, value_bytes: 10, batch_bytes: 40 };
        let refused = |batch: &PhysicalBatch| match limits.check_batch(batch) {
            Ok(()) => "none",
            Err(Error::TooLarge { what, .. }) => what,
            Err(Error::EmptyKey) => "empty",
            Err(other) => panic!("unexpected: {other}"),
        };
        assert_eq!(refused(&PhysicalBatch::put("keys", vec![0; 10])), "none");
        assert_eq!(refused(&PhysicalBatch::put("keyss", vec![0; 10])), "key");
        assert_eq!(refused(&PhysicalBatch::delete("keyss")), "key");
        assert_eq!(refused(&PhysicalBatch::put("key", vec![0; 11])), "value");
        assert_eq!(refused(&PhysicalBatch::delete("")), "empty");
        let on = PhysicalBatch::default().with_precondition(Precondition::Absent(String::new()));
        assert_eq!(refused(&on), "empty");
        // 22 bytes each: one fits, two do not.
        let twice = PhysicalBatch::put("keys", vec![0; 10])
            .with_change(PhysicalChange::put("keys", vec![0; 10]));
        assert_eq!(refused(&twice), "batch");
    }
}
