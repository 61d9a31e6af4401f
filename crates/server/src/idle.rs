//! Gives memory back once the store has little to do.
//!
//! After a burst of writes the store holds up to two log files of changes in memory, and the C
//! library's allocator keeps what was freed for later. [`run`] looks at the store now and then. When
//! it has become quiet, the log is carried over into the tree, and then free memory goes back to the
//! system, once. Reads that are answered from caches don't reach the store, and go on meanwhile.

use std::sync::Arc;
use std::time::Duration;

use strongroom_types::Clock;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How often the store is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// A store that did less than this between two looks is quiet: tidying and the expiry of leases write
/// now and then on a server that nobody asks anything.
const FEW: u64 = 50;
/// A log with less in it is left alone. Carrying it over would cost more writes than it saves memory.
const WORTH_CARRYING_OVER: u64 = 1 << 20;

/// What a look leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    CarryOver,
    GiveMemoryBack,
}

/// What was seen of the store so far.
#[derive(Debug, Default)]
struct Looks {
    done: u64,
    /// Looks since the store was last seen busy; none before it was.
    quiet: Option<u32>,
}

impl Looks {
    /// Takes note of how much the store has done since it was opened.
    fn look(&mut self, done: u64) -> Step {
        let busy = done.saturating_sub(self.done) >= FEW;
        self.done = done;
        self.quiet = if busy { Some(0) } else { self.quiet.map(|looks| looks.saturating_add(1)) };
        match self.quiet {
            Some(0) => Step::Nothing,
            // First what is held is made less, then what was freed is given back.
            Some(2) => Step::GiveMemoryBack,
            _ => Step::CarryOver,
        }
    }
}

/// Runs until it is told to stop.
pub(crate) async fn run(store: Store, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut looks = Looks::default();
    loop {
        tokio::select! {
            () = clock.sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
        let step = looks.look(store.operations());
        let done = async {
            match step {
                Step::Nothing => {}
                Step::CarryOver => store.carry_over(WORTH_CARRYING_OVER).await,
                Step::GiveMemoryBack => {
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
    fn a_store_that_became_quiet_is_carried_over_and_then_memory_is_given_back() {
        let mut looks = Looks::default();
        let mut done = 0;
        let mut look = |more: u64| {
            done += more;
            looks.look(done)
        };
        assert_eq!((look(10_000), look(FEW)), (Step::Nothing, Step::Nothing));
        assert_eq!((look(3), look(3)), (Step::CarryOver, Step::GiveMemoryBack));
        assert_eq!((look(0), look(FEW)), (Step::CarryOver, Step::Nothing));
        assert_eq!((look(0), look(0)), (Step::CarryOver, Step::GiveMemoryBack));
        // Then it is left alone: what is small is not carried over.
        assert!((0..100).all(|_| look(3) == Step::CarryOver));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_is_free_between_allocations_is_given_back() {
        fn resident() -> usize {
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
        let before = resident();
        give_memory_back();
        let after = resident();
        assert!(before > 60_000 && after < before - 40_000, "{before} kB, then {after} kB");
        assert!(small.iter().flatten().all(|kept| kept.iter().all(|byte| *byte == 1)));
    }
}
