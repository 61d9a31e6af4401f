//! Gives memory back once the store has little to do.
//!
//! After a burst of writes the store holds up to two log files of changes in memory, and the C
//! library's allocator keeps what was freed for later. [`run_maintenance`] looks at the store now and then. When
//! it has become quiet, the log is carried over into the tree, and then free memory goes back to the
//! system, once. Reads that are answered from caches don't reach the store, and go on meanwhile.

use std::sync::Arc;
use std::time::Duration;

use strongroom_types::Clock;
use tokio_util::sync::CancellationToken;

use crate::store::ServerStore;

/// How often the store is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// A store that did less than this between two looks is quiet: tidying and the expiry of leases write
/// now and then on a server that nobody asks anything.
const BUSY_OPERATIONS: u64 = 50;
/// A log with less in it is left alone. Carrying it over would cost more writes than it saves memory.
const MIN_CHECKPOINT_BYTES: u64 = 1 << 20;

/// What a look leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MaintenanceStep {
    Nothing,
    Checkpoint,
    TrimHeap,
}

/// What was seen of the store so far.
#[derive(Debug, Default)]
struct IdleDetector {
    operations_seen: u64,
    /// Looks since the store was last seen busy; none before it was.
    quiet_rounds: Option<u32>,
}

impl IdleDetector {
    /// Takes note of how much the store has done since it was opened.
    fn observe(&mut self, done: u64) -> MaintenanceStep {
        let busy = done.saturating_sub(self.operations_seen) >= BUSY_OPERATIONS;
        self.operations_seen = done;
        self.quiet_rounds =
            if busy { Some(0) } else { self.quiet_rounds.map(|looks| looks.saturating_add(1)) };
        match self.quiet_rounds {
            Some(0) => MaintenanceStep::Nothing,
            // First what is held is made less, then what was freed is given back.
            Some(2) => MaintenanceStep::TrimHeap,
            _ => MaintenanceStep::Checkpoint,
        }
    }
}

/// Runs until it is told to stop.
pub(crate) async fn run_maintenance(
    store: ServerStore,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut looks = IdleDetector::default();
    loop {
        tokio::select! {
            () = clock.sleep(CHECK_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
        let step = looks.observe(store.operations());
        let done = async {
            match step {
                MaintenanceStep::Nothing => {}
                MaintenanceStep::Checkpoint => store.checkpoint(MIN_CHECKPOINT_BYTES).await,
                MaintenanceStep::TrimHeap => {
                    // Not on the runtime's threads: it goes through the whole heap.
                    let _ = tokio::task::spawn_blocking(give_memory_back).await;
                }
            }
        };
        // The end of the server doesn't wait for a store that hangs.
        if stop.run_until_cancelled(done).await.is_none() {
            return;
        }
    }
}

/// Returns pages of the heap in which nothing is allocated to the system.
#[cfg(target_env = "gnu")]
fn give_memory_back() {
    #[expect(unsafe_code, reason = "there is no safe way to call the C library's allocator")]
    // SAFETY: malloc_trim(3) may be called from any thread at any time, and touches no memory that is
    // allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other C libraries do so by themselves, or offer no way.
#[cfg(not(target_env = "gnu"))]
fn give_memory_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_store_is_checkpointed() {
        let mut looks = IdleDetector::default();
        let mut done = 0;
        let mut look = |more: u64| {
            done += more;
            looks.observe(done)
        };
        assert_eq!(
            (look(10_000), look(BUSY_OPERATIONS)),
            (MaintenanceStep::Nothing, MaintenanceStep::Nothing)
        );
        assert_eq!((look(3), look(3)), (MaintenanceStep::Checkpoint, MaintenanceStep::TrimHeap));
        assert_eq!(
            (look(0), look(BUSY_OPERATIONS)),
            (MaintenanceStep::Checkpoint, MaintenanceStep::Nothing)
        );
        assert_eq!((look(0), look(0)), (MaintenanceStep::Checkpoint, MaintenanceStep::TrimHeap));
        // Then it is left alone: what is small is not carried over.
        assert!((0..100).all(|_| look(3) == MaintenanceStep::Checkpoint));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn free_heap_pages_are_returned() {
        fn resident_bytes() -> usize {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        }
        let mut small: Vec<Option<Box<[u8]>>> =
            (0..64 << 10).map(|_| Some(vec![1; 1024].into_boxed_slice())).collect();
        // One of a hundred stays, so that the heap can't simply end earlier.
        for (n, place) in small.iter_mut().enumerate() {
            if n % 100 != 0 {
                *place = None;
            }
        }
        let before = resident_bytes();
        give_memory_back();
        let after = resident_bytes();
        assert!(before > 60_000 && after < before - 40_000, "{before} kB, then {after} kB");
        assert!(small.iter().flatten().all(|kept| kept.iter().all(|byte| *byte == 1)));
    }
}
