//! Returns memory to the operating system once the store is idle.
//!
//! After a burst of writes the store holds up to two log files of changes in memory, and the C
//! library's allocator keeps freed memory for later use. [`run_maintenance`] checks the store
//! periodically. Once the store is idle, it moves the log into the tree and then returns free
//! memory to the operating system, once. Reads that are served from caches don't reach the store;
//! they don't count as activity and aren't delayed.

use std::sync::Arc;
use std::time::Duration;

use strongroom_types::Clock;
use tokio_util::sync::CancellationToken;

use crate::store::ServerStore;

/// How often the store's activity is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The store is idle if it did fewer operations than this between two checks. Some always happen:
/// periodic cleanup and the expiry of leases write even without requests.
const BUSY_OPERATIONS: u64 = 50;
/// A smaller log is left alone: moving it would cost more writes than it saves memory.
const MIN_CHECKPOINT_BYTES: u64 = 1 << 20;

/// What to do after a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MaintenanceStep {
    Nothing,
    Checkpoint,
    TrimHeap,
}

/// Detects from operation counts when the store has become idle.
#[derive(Debug, Default)]
struct IdleDetector {
    operations_seen: u64,
    /// Checks since the store was last busy; `None` until it has been busy.
    quiet_rounds: Option<u32>,
}

impl IdleDetector {
    /// Records the number of operations since the store was opened, and returns what to do now.
    fn observe(&mut self, done: u64) -> MaintenanceStep {
        let busy = done.saturating_sub(self.operations_seen) >= BUSY_OPERATIONS;
        self.operations_seen = done;
        self.quiet_rounds =
            if busy { Some(0) } else { self.quiet_rounds.map(|looks| looks.saturating_add(1)) };
        match self.quiet_rounds {
            Some(0) => MaintenanceStep::Nothing,
            // First reduce what is held, then return what was freed.
            Some(2) => MaintenanceStep::TrimHeap,
            _ => MaintenanceStep::Checkpoint,
        }
    }
}

/// Runs until `stop` is cancelled.
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
                    // Trimming walks the whole heap, so it doesn't run on the runtime's threads.
                    let _ = tokio::task::spawn_blocking(give_memory_back).await;
                }
            }
        };
        // A store that hangs must not delay the end of the server.
        if stop.run_until_cancelled(done).await.is_none() {
            return;
        }
    }
}

/// Returns heap pages without allocations to the operating system.
#[cfg(target_env = "gnu")]
fn give_memory_back() {
    #[expect(unsafe_code, reason = "there is no safe way to call the C library's allocator")]
    // SAFETY: malloc_trim(3) may be called from any thread at any time, and touches no memory that is
    // allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Does nothing: other C libraries do this by themselves, or have no function for it.
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
        // Afterwards the store is left alone: a small log is not moved.
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
        // One in a hundred allocations stays, so that the heap can't simply shrink at its end.
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
