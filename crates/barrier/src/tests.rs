//! Tests of the barrier over an in-memory store, which they can also access directly.

mod absence;

use std::sync::Arc;

use strongroom_crypto::SystemEntropy;
use strongroom_storage::memory::MemoryStorage;
use strongroom_storage::{Physical, PhysicalChange};
use strongroom_types::Secret;
use strongroom_types::clock::ManualClock;

use crate::barrier::{Barrier, BarrierOptions, Batch, KEY_RING_KEY};
use crate::key_ring::RESERVE_STEP;
use crate::seal::{BarrierInitialisation, InvalidSeal, SealConfig, UnsealAttempt};
use crate::{Error, View};

fn test_options(physical: Arc<dyn Physical>) -> BarrierOptions {
    BarrierOptions {
        physical,
        entropy: Arc::new(SystemEntropy),
        clock: Arc::new(ManualClock::default()),
        cache_bytes: 1 << 20,
    }
}

async fn initialise_store(
    physical: &Arc<dyn Physical>,
    shares: u64,
    threshold: u64,
) -> Vec<Secret<Vec<u8>>> {
    let config = SealConfig::new(shares, threshold).unwrap();
    let initialisation =
        BarrierInitialisation::generate(test_options(physical.clone()), config).unwrap();
    let mut first = Batch::new();
    initialisation.barrier().view("core/").put(&mut first, "hello", b"world".to_vec());
    initialisation.commit(first).await.unwrap()
}

async fn unseal_store(physical: &Arc<dyn Physical>, shares: &[Secret<Vec<u8>>]) -> Option<Barrier> {
    let config = SealConfig::load(&**physical).await.unwrap().unwrap();
    let mut unsealing = UnsealAttempt::new(config);
    for share in shares {
        let share = Secret::new(share.expose_secret().clone());
        if let Some(shares) = unsealing.add_share(share, &SystemEntropy) {
            return shares.open_barrier(test_options(physical.clone())).await.unwrap().ok();
        }
    }
    None
}

/// An open barrier and its store.
async fn open_barrier() -> (Barrier, Arc<dyn Physical>) {
    let physical: Arc<dyn Physical> = Arc::new(MemoryStorage::new());
    let shares = initialise_store(&physical, 1, 1).await;
    (unseal_store(&physical, &shares).await.unwrap(), physical)
}

async fn put_value(view: &View, key: &str, value: &[u8]) {
    let mut batch = Batch::new();
    view.put(&mut batch, key, value.to_vec());
    view.commit(batch).await.unwrap();
}

async fn overwrite_raw(physical: &Arc<dyn Physical>, key: &str, value: Vec<u8>) {
    let change = PhysicalChange::Put { key: key.to_owned(), value: value.into() };
    let batch = strongroom_storage::PhysicalBatch { changes: vec![change], ..Default::default() };
    physical.commit(batch).await.unwrap();
}

#[tokio::test]
async fn any_threshold_of_shares_opens_the_seal() {
    let physical: Arc<dyn Physical> = Arc::new(MemoryStorage::new());
    let shares = initialise_store(&physical, 5, 3).await;
    assert_eq!(shares.len(), 5);
    assert!(shares.iter().all(|share| share.expose_secret().len() == 33));
    assert!(unseal_store(&physical, &shares[..2]).await.is_none());
    let barrier = unseal_store(&physical, &shares[2..]).await.unwrap();
    let entry = barrier.view("core/").get("hello").await.unwrap().unwrap();
    assert_eq!(&entry.value[..], b"world");
}

#[tokio::test]
async fn wrong_shares_are_refused_and_progress_is_reset() {
    let physical: Arc<dyn Physical> = Arc::new(MemoryStorage::new());
    let shares = initialise_store(&physical, 3, 2).await;
    let config = SealConfig::load(&*physical).await.unwrap().unwrap();
    let mut unsealing = UnsealAttempt::new(config);
    let copy = |share: &Secret<Vec<u8>>| Secret::new(share.expose_secret().clone());
    assert!(unsealing.add_share(copy(&shares[0]), &SystemEntropy).is_none());
    assert!(unsealing.add_share(copy(&shares[0]), &SystemEntropy).is_none(), "the same one twice");
    assert_eq!(unsealing.progress(), 1);
    let nonce = unsealing.nonce().to_owned();
    assert!(!nonce.is_empty());
    let mut wrong = copy(&shares[1]);
    wrong.expose_secret_mut()[3] ^= 1;
    let tried = unsealing.add_share(wrong, &SystemEntropy).unwrap();
    assert!(tried.open_barrier(test_options(physical.clone())).await.unwrap().is_err());
    assert_eq!((unsealing.progress(), unsealing.nonce()), (0, ""));
}

#[tokio::test]
async fn a_store_is_initialised_once() {
    let physical: Arc<dyn Physical> = Arc::new(MemoryStorage::new());
    initialise_store(&physical, 1, 1).await;
    let config = SealConfig::new(1, 1).unwrap();
    let again = BarrierInitialisation::generate(test_options(physical.clone()), config).unwrap();
    assert!(again.commit(Batch::new()).await.err().unwrap().is_precondition());
}

#[test]
fn impossible_numbers_of_shares_are_refused() {
    assert_eq!(SealConfig::new(0, 1), Err(InvalidSeal::NoShares));
    assert_eq!(SealConfig::new(1, 0), Err(InvalidSeal::NoThreshold));
    assert_eq!(SealConfig::new(2, 3), Err(InvalidSeal::ThresholdAboveShares));
    assert_eq!(SealConfig::new(2, 1), Err(InvalidSeal::ThresholdOfOne));
    assert_eq!(SealConfig::new(256, 2), Err(InvalidSeal::TooMany));
}

#[tokio::test]
async fn only_keys_and_the_seal_config_are_stored_in_plain_text() {
    let (barrier, physical) = open_barrier().await;
    put_value(&barrier.view("secret/"), "a", b"hunter2hunter2").await;
    for key in physical.scan("", None, 100).await.unwrap() {
        let value = physical.get(&key).await.unwrap().unwrap().value;
        let shows = |needle: &[u8]| value.windows(needle.len()).any(|window| window == needle);
        assert!(!shows(b"hunter2") && !shows(b"world"), "{key}");
    }
}

#[tokio::test]
async fn a_tampered_or_moved_entry_is_refused_with_its_key() {
    let (barrier, physical) = open_barrier().await;
    let view = barrier.view("secret/");
    put_value(&view, "a", b"one").await;
    put_value(&view, "b", b"two").await;
    let stored = physical.get("secret/a").await.unwrap().unwrap().value;
    // The record was moved to another key.
    overwrite_raw(&physical, "secret/b", stored.to_vec()).await;
    let error = view.get("b").await.unwrap_err();
    assert!(matches!(&error, Error::Tampered { key, .. } if key == "secret/b"), "{error}");
    assert!(error.to_string().contains("secret/b"));
    // The record was modified, at each byte.
    for index in 0..stored.len() {
        let mut changed = stored.to_vec();
        changed[index] ^= 0x40;
        overwrite_raw(&physical, "secret/a", changed).await;
        let error = view.get_uncached("a").await.unwrap_err();
        assert!(
            matches!(&error, Error::Tampered { key, .. } if key == "secret/a"),
            "{index}: {error}"
        );
    }
    // The record was truncated.
    overwrite_raw(&physical, "secret/a", stored[..10].to_vec()).await;
    assert!(view.get_uncached("a").await.is_err());
}

#[tokio::test]
async fn batches_are_whole_and_conditions_are_judged() {
    let (barrier, _) = open_barrier().await;
    let view = barrier.view("x/");
    put_value(&view, "a", b"1").await;
    let entry = view.get("a").await.unwrap().unwrap();
    let attempt = |conditions: fn(&View, &mut Batch)| {
        let view = view.clone();
        async move {
            let mut batch = Batch::new();
            view.put(&mut batch, "b", b"new".to_vec());
            view.delete(&mut batch, "a");
            conditions(&view, &mut batch);
            view.commit(batch).await
        }
    };
    let error = attempt(|view, batch| view.require_absent(batch, "a")).await.unwrap_err();
    assert!(
        error.is_precondition()
            && view.precondition_failed_on("a", &error)
            && !view.precondition_failed_on("b", &error)
    );
    assert!(attempt(|view, batch| view.require_exists(batch, "zz")).await.is_err());
    assert!(view.get("a").await.unwrap().is_some() && view.get("b").await.unwrap().is_none());
    let mut batch = Batch::new();
    view.require_unchanged(&mut batch, "a", entry.version);
    view.put(&mut batch, "a", b"2".to_vec());
    view.commit(batch).await.unwrap();
    let mut stale = Batch::new();
    view.require_unchanged(&mut stale, "a", entry.version);
    view.put(&mut stale, "a", b"3".to_vec());
    assert!(view.commit(stale).await.unwrap_err().is_precondition());
    assert_eq!(&view.get("a").await.unwrap().unwrap().value[..], b"2");
}

#[tokio::test]
async fn reads_see_every_acknowledged_write_through_the_cache() {
    let (barrier, _) = open_barrier().await;
    let view = barrier.view("x/");
    for round in 0..200_u32 {
        let bytes = round.to_be_bytes();
        put_value(&view, "a", &bytes).await;
        let writer = put_value(&view, "b", &bytes);
        let readers = async {
            for _ in 0..3 {
                let _ = view.get("b").await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(writer, readers);
        assert_eq!(&view.get("a").await.unwrap().unwrap().value[..], &round.to_be_bytes());
        assert_eq!(&view.get("b").await.unwrap().unwrap().value[..], &round.to_be_bytes());
    }
}

#[tokio::test]
async fn a_dropped_commit_leaves_no_stale_value_in_the_cache() {
    let (barrier, _) = open_barrier().await;
    let view = barrier.view("x/");
    put_value(&view, "a", b"old").await;
    for round in 0..50_u8 {
        let mut batch = Batch::new();
        view.put(&mut batch, "a", vec![round]);
        let mut commit = Box::pin(view.commit(batch));
        let _ = std::future::poll_fn(|cx| std::task::Poll::Ready(commit.as_mut().poll(cx))).await;
        drop(commit);
        let _ = view.get("a").await.unwrap();
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        assert_eq!(&view.get("a").await.unwrap().unwrap().value[..], &[round]);
    }
}

#[tokio::test]
async fn rotation_keeps_what_was_written_readable() {
    let (barrier, physical) = open_barrier().await;
    let view = barrier.view("x/");
    put_value(&view, "before", b"1").await;
    barrier.rotate_key().await.unwrap();
    put_value(&view, "after", b"2").await;
    assert_eq!(barrier.key_ring().unwrap().active_term().unwrap().number, 2);
    let record = physical.get("x/after").await.unwrap().unwrap().value;
    assert_eq!(crate::record::read_term("x/after", &record).unwrap(), 2);
    assert_eq!(&view.get("before").await.unwrap().unwrap().value[..], b"1");
    assert_eq!(&view.get("after").await.unwrap().unwrap().value[..], b"2");
}

#[tokio::test]
async fn a_restart_reserves_before_it_encrypts() {
    let physical: Arc<dyn Physical> = Arc::new(MemoryStorage::new());
    let shares = initialise_store(&physical, 1, 1).await;
    for restart in 1..=3 {
        let barrier = unseal_store(&physical, &shares).await.unwrap();
        let ring = barrier.key_ring().unwrap();
        let active = ring.active_term().unwrap();
        assert_eq!(
            active.used_count(),
            restart * RESERVE_STEP,
            "all that was reserved counts as used"
        );
        assert_eq!(active.reserved, (restart + 1) * RESERVE_STEP);
    }
}

#[tokio::test]
async fn a_closed_barrier_refuses_reads_and_clears_its_cache() {
    let (barrier, _) = open_barrier().await;
    let view = barrier.view("x/");
    put_value(&view, "a", b"1").await;
    view.get("a").await.unwrap();
    barrier.close();
    assert!(matches!(view.get("a").await, Err(Error::Sealed)));
    assert!(matches!(view.list_keys("", None, 10).await, Err(Error::Sealed)));
    let mut batch = Batch::new();
    view.put(&mut batch, "a", b"2".to_vec());
    assert!(matches!(view.commit(batch).await, Err(Error::Sealed)));
}

/// SR-2026-01: a remaining clone must hold no key after the barrier is closed.
#[tokio::test]
async fn sr_2026_01_a_closed_barrier_holds_no_key_and_no_value_whoever_keeps_a_clone() {
    let (barrier, _) = open_barrier().await;
    let view = barrier.view("x/");
    put_value(&view, "a", b"1").await;
    view.get("a").await.unwrap();
    assert_eq!(barrier.cached_entries(), 1);
    let keys = Arc::downgrade(&barrier.0.keys.load_full().unwrap());
    let root_key = Arc::downgrade(&keys.upgrade().unwrap().root_key);
    let ring = Arc::downgrade(&barrier.key_ring().unwrap());
    barrier.close();
    assert!(barrier.is_closed());
    assert_eq!(barrier.cached_entries(), 0);
    assert!(keys.upgrade().is_none());
    assert!(root_key.upgrade().is_none(), "the root key is still in memory");
    assert!(ring.upgrade().is_none(), "the key ring is still in memory");
    let is_dropped = barrier.watch_dropped();
    drop(barrier);
    assert!(!is_dropped(), "the view is a clone");
    drop(view);
    assert!(is_dropped());
}

/// A read that the store delays.
#[tokio::test]
async fn sr_2026_01_a_read_that_hangs_keeps_no_key_and_leaves_no_value_behind_a_seal() {
    let slow = PausableStorage::default();
    let physical: Arc<dyn Physical> = Arc::new(slow.clone());
    let shares = initialise_store(&physical, 1, 1).await;
    let barrier = unseal_store(&physical, &shares).await.unwrap();
    let view = barrier.view("core/");
    slow.hold_reads(true);
    let mut reading = Box::pin(view.get("hello"));
    assert!(poll_once(&mut reading).await.is_none());
    let ring = Arc::downgrade(&barrier.key_ring().unwrap());
    barrier.close();
    assert!(ring.upgrade().is_none(), "the read holds the keys");
    slow.hold_reads(false);
    assert!(matches!(reading.await, Err(Error::Sealed)));
    assert_eq!(barrier.cached_entries(), 0);
}

/// The store delays the change of the key ring, before the read and after the write.
#[tokio::test]
async fn sr_2026_01_a_key_ring_change_that_hangs_keeps_no_key_behind_a_seal() {
    for holds_reads in [true, false] {
        let slow = PausableStorage::default();
        let physical: Arc<dyn Physical> = Arc::new(slow.clone());
        let shares = initialise_store(&physical, 1, 1).await;
        let barrier = unseal_store(&physical, &shares).await.unwrap();
        slow.hold_reads(holds_reads);
        slow.hold_answers(!holds_reads);
        let mut rotating = Box::pin(barrier.rotate_key());
        assert!(poll_once(&mut rotating).await.is_none());
        let root_key = Arc::downgrade(&barrier.0.keys.load_full().unwrap().root_key);
        let ring = Arc::downgrade(&barrier.key_ring().unwrap());
        barrier.close();
        assert!(matches!(poll_once(&mut rotating).await, Some(Err(Error::Sealed))));
        assert!(root_key.upgrade().is_none() && ring.upgrade().is_none());
    }
}

/// SR-2026-14: the first change is on disk but not in memory yet when the second is made.
#[tokio::test]
async fn sr_2026_14_key_ring_changes_at_the_same_time_keep_each_others_keys() {
    for rotation_first in [true, false] {
        let slow = PausableStorage::default();
        let physical: Arc<dyn Physical> = Arc::new(slow.clone());
        let shares = initialise_store(&physical, 1, 1).await;
        let barrier = unseal_store(&physical, &shares).await.unwrap();
        slow.hold_answers(true);
        {
            let mut first: BoxedChange<'_> = match rotation_first {
                true => Box::pin(barrier.rotate_key()),
                false => Box::pin(barrier.extend_key_ring()),
            };
            assert!(poll_once(&mut first).await.is_none(), "it is stored and not answered");
            slow.hold_answers(false);
            match rotation_first {
                true => barrier.extend_key_ring().await.unwrap(),
                false => barrier.rotate_key().await.unwrap(),
            }
            first.await.unwrap();
        }
        let ring = barrier.key_ring().unwrap();
        assert_eq!(ring.active_term().unwrap().number, 2, "the new key was lost");
        // Term 1 was extended when the barrier was opened.
        let (term, reserved) =
            if rotation_first { (2, 2 * RESERVE_STEP) } else { (1, 3 * RESERVE_STEP) };
        assert_eq!(ring.find_term(term).unwrap().reserved, reserved, "the reservation was lost");
        let view = barrier.view("x/");
        put_value(&view, "a", b"under the second term").await;
        barrier.close();
        let again = unseal_store(&physical, &shares).await.unwrap();
        let found = again.view("x/").get("a").await.unwrap().unwrap();
        assert_eq!(&found.value[..], b"under the second term");
        let stored = again.key_ring().unwrap().find_term(term).unwrap().reserved;
        assert!(stored >= reserved, "the reservation was lost on disk");
    }
}

/// The second change is stored after the first one has read the ring and before the first is
/// stored.
#[tokio::test]
async fn sr_2026_14_a_change_of_an_old_key_ring_is_made_again_of_the_new_one() {
    for rotation_first in [true, false] {
        let slow = PausableStorage::default();
        let physical: Arc<dyn Physical> = Arc::new(slow.clone());
        let shares = initialise_store(&physical, 1, 1).await;
        let barrier = unseal_store(&physical, &shares).await.unwrap();
        slow.hold_commits(true);
        {
            let mut first: BoxedChange<'_> = match rotation_first {
                true => Box::pin(barrier.rotate_key()),
                false => Box::pin(barrier.extend_key_ring()),
            };
            assert!(poll_once(&mut first).await.is_none(), "it is not stored yet");
            slow.hold_commits(false);
            match rotation_first {
                true => barrier.extend_key_ring().await.unwrap(),
                false => barrier.rotate_key().await.unwrap(),
            }
            first.await.unwrap();
        }
        let (term, reserved) =
            if rotation_first { (1, 3 * RESERVE_STEP) } else { (2, 2 * RESERVE_STEP) };
        barrier.close();
        let again = unseal_store(&physical, &shares).await.unwrap();
        let ring = again.key_ring().unwrap();
        assert_eq!(ring.active_term().unwrap().number, 2, "the new key was lost");
        assert!(ring.find_term(term).unwrap().reserved >= reserved, "the reservation was lost");
    }
}

/// A commit that was applied but reported a failure.
#[tokio::test]
async fn sr_2026_14_a_key_ring_change_without_an_answer_is_found_by_the_next() {
    let slow = PausableStorage::default();
    let physical: Arc<dyn Physical> = Arc::new(slow.clone());
    let shares = initialise_store(&physical, 1, 1).await;
    let barrier = unseal_store(&physical, &shares).await.unwrap();
    slow.hold_answers(true);
    {
        let mut rotation = Box::pin(barrier.rotate_key());
        assert!(poll_once(&mut rotation).await.is_none());
    }
    slow.hold_answers(false);
    assert_eq!(barrier.key_ring().unwrap().active_term().unwrap().number, 1);
    barrier.extend_key_ring().await.unwrap();
    assert_eq!(barrier.key_ring().unwrap().active_term().unwrap().number, 2);
}

type BoxedChange<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        let polled = std::pin::Pin::new(&mut *future).poll(cx);
        std::task::Poll::Ready(match polled {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// An in-memory store whose reads, commits, or commit results can be delayed.
#[derive(Clone, Debug, Default)]
struct PausableStorage {
    below: Arc<MemoryStorage>,
    holds_reads: tokio::sync::watch::Sender<bool>,
    holds_commits: tokio::sync::watch::Sender<bool>,
    holds_answers: tokio::sync::watch::Sender<bool>,
}

impl PausableStorage {
    fn hold_reads(&self, hold: bool) {
        self.holds_reads.send_replace(hold);
    }

    fn hold_commits(&self, hold: bool) {
        self.holds_commits.send_replace(hold);
    }

    fn hold_answers(&self, hold: bool) {
        self.holds_answers.send_replace(hold);
    }
}

#[async_trait::async_trait]
impl Physical for PausableStorage {
    async fn get(
        &self,
        key: &str,
    ) -> Result<Option<strongroom_storage::PhysicalEntry>, strongroom_storage::Error> {
        let _ = self.holds_reads.subscribe().wait_for(|hold| !hold).await;
        self.below.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, strongroom_storage::Error> {
        self.below.scan(prefix, after, limit).await
    }

    async fn commit(
        &self,
        batch: strongroom_storage::PhysicalBatch,
    ) -> Result<strongroom_storage::Version, strongroom_storage::Error> {
        let _ = self.holds_commits.subscribe().wait_for(|hold| !hold).await;
        let done = self.below.commit(batch).await;
        let _ = self.holds_answers.subscribe().wait_for(|hold| !hold).await;
        done
    }
}

#[tokio::test]
async fn a_damaged_key_ring_stops_the_unsealing() {
    let physical: Arc<dyn Physical> = Arc::new(MemoryStorage::new());
    let shares = initialise_store(&physical, 1, 1).await;
    let ring = physical.get(KEY_RING_KEY).await.unwrap().unwrap().value;
    let mut changed = ring.to_vec();
    changed[40] ^= 1;
    overwrite_raw(&physical, KEY_RING_KEY, changed).await;
    let config = SealConfig::load(&*physical).await.unwrap().unwrap();
    let share = Secret::new(shares[0].expose_secret().clone());
    let tried = UnsealAttempt::new(config).add_share(share, &SystemEntropy).unwrap();
    let error = tried.open_barrier(test_options(physical)).await.unwrap_err();
    assert!(error.to_string().contains(KEY_RING_KEY), "{error}");
}

#[tokio::test]
async fn keys_are_read_page_by_page() {
    let (barrier, _) = open_barrier().await;
    let view = barrier.view("x/");
    for key in ["a/1", "a/2", "a/3", "a/4", "b"] {
        put_value(&view, key, b"").await;
    }
    let mut pages = view.key_pages("a/").with_page_size(2);
    assert_eq!(pages.next_page().await.unwrap().unwrap(), ["a/1", "a/2"]);
    assert_eq!(pages.next_page().await.unwrap().unwrap(), ["a/3", "a/4"], "a full last page");
    assert!(pages.next_page().await.unwrap().is_none());
    assert!(pages.next_page().await.unwrap().is_none());

    let mut pages = view.key_pages("a/").start_after(Some("a/1".to_owned())).with_page_size(1);
    assert_eq!(pages.next_page().await.unwrap().unwrap(), ["a/2"]);
    pages.skip_past("a/1".to_owned());
    assert_eq!(pages.next_page().await.unwrap().unwrap(), ["a/3"], "it was passed already");
    pages.skip_past("a/4".to_owned());
    assert!(pages.next_page().await.unwrap().is_none());
    assert!(view.key_pages("c/").next_page().await.unwrap().is_none());

    let mut pages = view.key_pages("a/");
    barrier.close();
    assert!(matches!(pages.next_page().await, Err(Error::Sealed)));
}

#[tokio::test]
async fn children_are_listed_once_and_in_pages() {
    let (barrier, _) = open_barrier().await;
    let view = barrier.view("x/");
    for key in ["a", "a/1", "a/2/3", "a-b", "a!", "b/1", "c", "ab/1"] {
        put_value(&view, key, b"").await;
    }
    for n in 0..700 {
        put_value(&view, &format!("many/{n}"), b"").await;
    }
    put_value(&view, "zz", b"").await;
    let all = view.list_children("", None, 100).await.unwrap();
    assert_eq!(all, ["a", "a!", "a-b", "a/", "ab/", "b/", "c", "many/", "zz"]);
    assert_eq!(view.list_children("a/", None, 100).await.unwrap(), ["1", "2/"]);
    assert_eq!(view.list_children("many/", None, 1000).await.unwrap().len(), 700);
    let mut paged = Vec::new();
    while let page = view.list_children("", paged.last().map(String::as_str), 2).await.unwrap()
        && !page.is_empty()
    {
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert!(view.list_children("nothing/", None, 10).await.unwrap().is_empty());
}
