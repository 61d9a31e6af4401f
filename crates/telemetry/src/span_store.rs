//! [`SpanStore`]: the spans that have handles, with their fields.
//!
//! The spans are in the slots of 64 shards. A thread creates its spans in one shard, so that
//! threads rarely wait for each other's locks. A slot whose span was closed is used again, with the
//! memory it has allocated for values: a usual request allocates nothing for its span.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::Metadata;
use tracing::field::Visit;
use tracing::span::Id;

use crate::span_values::SpanValues;

/// All spans of one subscriber. Its locks are held only for a few steps that call no code of
/// others, which could log.
#[derive(Debug)]
pub(crate) struct SpanStore {
    number: u32,
    shards: Box<[Shard; SHARDS]>,
}

/// Identifies a span of a [`SpanStore`]: 32 bits of the slot's generation, 26 of its index, 6 of the
/// shard. The generation changes with each span that a slot holds, so the key of a closed span finds
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanKey(NonZeroU64);

const SHARD_BITS: u32 = 6;
const SHARDS: usize = 1 << SHARD_BITS;
const INDEX_BITS: u32 = 26;
const SLOT_BITS: u32 = INDEX_BITS + SHARD_BITS;
/// The greatest index stays unused, so that no key has all bits set.
const MAX_SLOTS: usize = (1 << INDEX_BITS) - 1;

/// Zero is no generation, because a key is not zero.
const FIRST_GENERATION: u32 = 1;

/// Aligned to two cache lines, so that the locks of two shards are never in the same one.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Slot>,
    /// The indices of the slots without a span; the last one is used next.
    unused: Vec<usize>,
}

#[derive(Debug)]
struct Slot {
    /// How many handles the span has; 0 if the slot is unused.
    handles: usize,
    generation: u32,
    metadata: &'static Metadata<'static>,
    values: SpanValues,
}

impl SpanStore {
    pub(crate) fn new() -> Self {
        static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { number, shards: Box::new(std::array::from_fn(|_| Shard::default())) }
    }

    /// Distinguishes the stores of a process, of which tests have several.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Adds a span with one handle, and the values that `record` passes to its visitor. Returns
    /// `None` if the shard is full, which happens at 67 million spans.
    pub(crate) fn insert(
        &self,
        metadata: &'static Metadata<'static>,
        record: impl Fn(&mut dyn Visit),
    ) -> Option<SpanKey> {
        let number = shard_of_thread();
        let mut shard = self.shards.get(number)?.lock();
        let index = shard.unused_slot(metadata)?;
        let slot = shard.slots.get_mut(index)?;
        slot.handles = 1;
        slot.metadata = metadata;
        let is_complete = slot.values.add_if_text(&record);
        let key = SpanKey::new(slot.generation, index, number)?;
        drop(shard);
        if !is_complete {
            self.record_formatted(key, record);
        }
        Some(key)
    }

    /// Adds the values that `record` passes to its visitor to a span.
    pub(crate) fn record(&self, key: SpanKey, record: impl Fn(&mut dyn Visit)) {
        let is_complete = self.with_slot(key, |slot| slot.values.add_if_text(&record));
        if is_complete == Some(false) {
            self.record_formatted(key, record);
        }
    }

    /// Formats values without a lock, because their own code formats them, and adds them then.
    #[cold]
    fn record_formatted(&self, key: SpanKey, record: impl FnOnce(&mut dyn Visit)) {
        let values = SpanValues::formatted(record);
        self.with_slot(key, |slot| slot.values.append(&values));
    }

    /// Counts one more handle.
    pub(crate) fn add_handle(&self, key: SpanKey) {
        self.with_slot(key, |slot| slot.handles += 1);
    }

    /// Counts one handle less, and makes the slot available to other spans if it was the last one.
    /// Returns whether it was.
    pub(crate) fn remove_handle(&self, key: SpanKey) -> bool {
        let Some(mut shard) = self.shard(key) else { return false };
        let Some(slot) = shard.slot(key) else { return false };
        slot.handles -= 1;
        let is_closed = slot.handles == 0;
        if is_closed {
            slot.generation = slot.generation.wrapping_add(1).max(FIRST_GENERATION);
            slot.values.clear();
            shard.unused.push(key.index());
        }
        is_closed
    }

    /// The static description of a span. `None` if the span is closed.
    pub(crate) fn metadata(&self, key: SpanKey) -> Option<&'static Metadata<'static>> {
        self.with_slot(key, |slot| slot.metadata)
    }

    /// Calls `read` with description and values of a span, under a lock: `read` must not log.
    pub(crate) fn read<R>(
        &self,
        key: SpanKey,
        read: impl FnOnce(&'static Metadata<'static>, &SpanValues) -> R,
    ) -> Option<R> {
        self.with_slot(key, |slot| read(slot.metadata, &slot.values))
    }

    fn with_slot<R>(&self, key: SpanKey, use_slot: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        self.shard(key)?.slot(key).map(use_slot)
    }

    fn shard(&self, key: SpanKey) -> Option<MutexGuard<'_, Slots>> {
        self.shards.get(key.shard()).map(Shard::lock)
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// The slot that has the span of the key.
    fn slot(&mut self, key: SpanKey) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.index())?;
        (slot.generation == key.generation() && slot.handles > 0).then_some(slot)
    }

    fn unused_slot(&mut self, metadata: &'static Metadata<'static>) -> Option<usize> {
        if let Some(index) = self.unused.pop() {
            return Some(index);
        }
        let index = self.slots.len();
        if index >= MAX_SLOTS {
            return None;
        }
        let generation = FIRST_GENERATION;
        self.slots.push(Slot { handles: 0, generation, metadata, values: SpanValues::default() });
        Some(index)
    }
}

impl SpanKey {
    /// The key in a handle of `tracing`. A foreign id is a key too, which finds nothing.
    pub(crate) fn of_id(id: &Id) -> Self {
        Self(id.into_non_zero_u64())
    }

    pub(crate) fn id(self) -> Id {
        Id::from_non_zero_u64(self.0)
    }

    fn new(generation: u32, index: usize, shard: usize) -> Option<Self> {
        let slot = u64::try_from(index << SHARD_BITS | shard).ok()?;
        NonZeroU64::new(u64::from(generation) << SLOT_BITS | slot).map(Self)
    }

    fn generation(self) -> u32 {
        u32::try_from(self.0.get() >> SLOT_BITS).unwrap_or(0)
    }

    fn index(self) -> usize {
        self.slot_bits() >> SHARD_BITS
    }

    fn shard(self) -> usize {
        self.slot_bits() % SHARDS
    }

    fn slot_bits(self) -> usize {
        usize::try_from(self.0.get() % (1 << SLOT_BITS)).unwrap_or(usize::MAX)
    }
}

/// The shard in which the current thread creates spans.
fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    SHARD.with(|shard| *shard)
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::Interest;
    use tracing_core::{Callsite, Kind, Level};

    use super::*;

    struct AnyCallsite;

    static METADATA: Metadata<'static> = tracing_core::metadata! {
        name: "any",
        target: "any",
        level: Level::ERROR,
        fields: &[],
        callsite: &AnyCallsite,
        kind: Kind::SPAN
    };

    impl Callsite for AnyCallsite {
        fn set_interest(&self, _: Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            &METADATA
        }
    }

    fn insert(store: &SpanStore) -> SpanKey {
        store.insert(&METADATA, |_| {}).unwrap()
    }

    #[test]
    fn a_key_finds_nothing_once_its_last_handle_is_gone() {
        let store = SpanStore::new();
        let first = insert(&store);
        store.add_handle(first);
        assert!(!store.remove_handle(first) && store.metadata(first).is_some());
        assert!(store.remove_handle(first) && store.metadata(first).is_none());
        let second = insert(&store);
        assert_eq!((first.index(), first.shard()), (second.index(), second.shard()));
        store.add_handle(first);
        assert!(!store.remove_handle(first), "that of a closed span");
        assert!(store.metadata(first).is_none() && store.metadata(second).is_some());
        assert!(store.remove_handle(second), "nobody else's handle was counted");
    }

    #[test]
    fn a_key_contains_generation_index_and_shard() {
        for (generation, index, shard) in [(1, 0, 0), (u32::MAX, MAX_SLOTS - 1, SHARDS - 1)] {
            let key = SpanKey::new(generation, index, shard).unwrap();
            assert_eq!((key.generation(), key.index(), key.shard()), (generation, index, shard));
        }
    }
}
