//! How large keys, values and batches may be.

use crate::{Error, PhysicalBatch, PhysicalChange};

/// The largest a store takes. Refused with [`Error::TooLarge`] before anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageLimits {
    /// Bytes of one key. Default 4 KiB.
    pub key_bytes: usize,
    /// Bytes of one value. Default 2 MiB: a secret of 1 MiB with all that is wrapped around it.
    pub value_bytes: usize,
    /// Bytes of a whole batch: keys, values and 8 for each change. Default 3 MiB.
    pub batch_bytes: usize,
}

/// What a change counts for beside its key and value.
pub(crate) const CHANGE_OVERHEAD_BYTES: usize = 8;

impl Default for StorageLimits {
    fn default() -> Self {
        Self { key_bytes: 4 << 10, value_bytes: 2 << 20, batch_bytes: 3 << 20 }
    }
}

impl StorageLimits {
    /// Refuses a batch that has an empty key, or anything too large.
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

/// What a batch counts for against [`StorageLimits::batch_bytes`].
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
