//! The work of the writers and readers, and its measurement.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use strongroom_storage::{PhysicalBatch, PhysicalChange, Physical};

use crate::machine;

const WRITERS: u64 = 16;

/// A repeatable random generator (SplitMix64).
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next 64 bits of the sequence. It is determined by the seed in field `0`, so that runs
    /// with the same seed do the same work.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// 100 to 600 bytes that do not compress, like ciphertext.
    fn value(&mut self) -> Vec<u8> {
        let mut value = vec![0; 100 + self.below(501) as usize];
        for part in value.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
        value
    }

    fn put(&mut self, keys: u64) -> PhysicalChange {
        let key = key(self.below(keys));
        PhysicalChange::put(key, self.value())
    }
}

/// The nth key: a mount's prefix and a hash, so that keys written one after the other are not
/// adjacent.
pub fn key(n: u64) -> String {
    format!("logical/5f6c1f2e-0000-4000-8000-000000000001/{:016x}", SplitMix(n).next())
}

/// The kind of batches that a writer commits.
#[derive(Clone, Copy, PartialEq)]
pub enum BatchKind {
    /// One put in each batch.
    Single,
    /// One to four puts in each batch, and a delete in every fourth.
    Mixed,
}

fn batch(chance: &mut SplitMix, kind: BatchKind, keys: u64) -> PhysicalBatch {
    let puts = if kind == BatchKind::Single { 1 } else { 1 + chance.below(4) };
    let mut changes: Vec<_> = (0..puts).map(|_| chance.put(keys)).collect();
    if kind == BatchKind::Mixed && chance.below(4) == 0 {
        changes.push(PhysicalChange::delete(key(chance.below(keys))));
    }
    PhysicalBatch { preconditions: Vec::new(), changes }
}

/// Fills an empty store with `keys` keys.
pub async fn load(store: &dyn Physical, keys: u64) {
    let mut chance = SplitMix(1);
    let mut next = 0;
    while next < keys {
        let until = (next + 1000).min(keys);
        let changes = (next..until).map(|n| PhysicalChange::put(key(n), chance.value())).collect();
        store.commit(PhysicalBatch { preconditions: Vec::new(), changes }).await.unwrap();
        next = until;
    }
}

/// Deletes nine keys of ten.
pub async fn thin(store: &dyn Physical, keys: u64) {
    let gone: Vec<u64> = (0..keys).filter(|n| n % 10 != 0).collect();
    for part in gone.chunks(1000) {
        let changes = part.iter().map(|n| PhysicalChange::delete(key(*n))).collect();
        store.commit(PhysicalBatch { preconditions: Vec::new(), changes }).await.unwrap();
    }
}

/// The results of a run of the writers.
pub struct WriteReport {
    pub commits_per_second: f64,
    pub latency: LatencyPercentiles,
    pub cpu_micros_per_commit: f64,
    pub device_bytes_per_commit: f64,
    pub resident_mib: u64,
    pub reads: LatencyPercentiles,
}

/// Runs sixteen writers, each of which commits again as soon as its last commit is durable, and one
/// concurrent reader.
pub async fn write(
    store: &Arc<dyn Physical>,
    dir: &Path,
    keys: u64,
    kind: BatchKind,
    time: Duration,
    seed: u64,
) -> WriteReport {
    let stop = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(read_until(Arc::clone(store), keys, Arc::clone(&stop)));
    let resident = Arc::new(AtomicU64::new(0));
    let (cpu, device, start) = (machine::cpu_time(), machine::device_written(dir), Instant::now());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, resident) = (Arc::clone(store), Arc::clone(&resident));
            tokio::spawn(async move {
                let mut chance = SplitMix(1000 + seed + writer);
                let mut latencies = Vec::new();
                while start.elapsed() < time {
                    let batch = batch(&mut chance, kind, keys);
                    let began = Instant::now();
                    store.commit(batch).await.unwrap();
                    latencies.push(began.elapsed());
                    if latencies.len() % 2000 == 0 {
                        resident.fetch_max(machine::resident_mib(), Ordering::Relaxed);
                    }
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for writer in writers {
        latencies.extend(writer.await.unwrap());
    }
    let (elapsed, cpu) = (start.elapsed(), machine::cpu_time() - cpu);
    stop.store(true, Ordering::Relaxed);
    let reads = reader.await.unwrap();
    let commits = latencies.len() as f64;
    WriteReport {
        commits_per_second: commits / elapsed.as_secs_f64(),
        cpu_micros_per_commit: cpu.as_secs_f64() * 1e6 / commits,
        device_bytes_per_commit: (machine::device_written(dir) - device) as f64 / commits,
        resident_mib: resident.load(Ordering::Relaxed),
        latency: LatencyPercentiles::of(latencies),
        reads: LatencyPercentiles::of(reads),
    }
}

/// Reads a random key every millisecond.
async fn read_until(store: Arc<dyn Physical>, keys: u64, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let mut chance = SplitMix(777);
    let mut latencies = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let key = key(chance.below(keys));
        let began = Instant::now();
        store.get(&key).await.unwrap();
        latencies.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    latencies
}

/// Reads random keys one after the other, without concurrent writes.
pub async fn read(store: &dyn Physical, keys: u64, reads: usize) -> LatencyPercentiles {
    let mut chance = SplitMix(99);
    let mut latencies = Vec::new();
    for _ in 0..reads {
        let key = key(chance.below(keys));
        let began = Instant::now();
        store.get(&key).await.unwrap();
        latencies.push(began.elapsed());
    }
    LatencyPercentiles::of(latencies)
}

/// Percentiles of durations, in microseconds.
pub struct LatencyPercentiles {
    pub p50: u128,
    pub p99: u128,
    pub p999: u128,
    pub max: u128,
}

impl LatencyPercentiles {
    fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort();
        let last = latencies.len().saturating_sub(1) as f64;
        let at = |part: f64| latencies.get((last * part) as usize).map_or(0, Duration::as_micros);
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}
