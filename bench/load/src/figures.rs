//! The arithmetic of measurements: percentiles, medians, ratios and key selection.

use std::time::Duration;

use serde::Serialize;

/// The durations of requests, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    /// Adds the duration of one request.
    pub(crate) fn push(&mut self, took: Duration) {
        self.0.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds all durations of another connection.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The number of recorded requests.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The 50th, 99th and 99.9th percentile (nearest rank) and the maximum, in microseconds. All
    /// are zero if there were no requests.
    pub(crate) fn percentiles(mut self) -> Percentiles {
        self.0.sort_unstable();
        let at = |per_mille: usize| {
            let rank = (self.0.len() * per_mille).div_ceil(1000).max(1);
            nanos_to_micros(self.0.get(rank - 1).copied().unwrap_or(0))
        };
        Percentiles { p50_us: at(500), p99_us: at(990), p999_us: at(999), longest_us: at(1000) }
    }
}

/// Percentiles of request durations, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) longest_us: f64,
}

fn nanos_to_micros(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64() * 1e6
}

/// The median; of an even number of figures, the mean of the two in the middle; `None` if there are
/// none.
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    sorted.get(half - 1).map(|lower| f64::midpoint(*lower, upper))
}

/// The ratios of our figures to the peer's in the same round. Other load on the machine affects
/// both figures of a round alike.
pub(crate) fn pairwise_ratios(ours: &[f64], peers: &[f64]) -> Vec<f64> {
    ours.iter().zip(peers).filter(|(_, peer)| **peer > 0.0).map(|(our, peer)| our / peer).collect()
}

/// A small random generator for keys: choosing a key must cost nothing, and the sequence must be
/// the same for each server.
#[derive(Clone, Debug)]
pub(crate) struct KeyPicker(u64);

impl KeyPicker {
    /// A generator with a sequence that depends on the seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `bound`, which must not be zero (xorshift64*).
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(high).unwrap_or(0) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percentiles_of(millis: impl Iterator<Item = u64>) -> Percentiles {
        let mut latencies = Latencies::default();
        millis.for_each(|millis| latencies.push(Duration::from_millis(millis)));
        latencies.percentiles()
    }

    #[test]
    fn percentiles_are_latencies_that_occurred() {
        let hundred = percentiles_of((1..=100).rev());
        assert_eq!(hundred.p50_us, 50_000.0);
        assert_eq!(hundred.p99_us, 99_000.0);
        assert_eq!(hundred.longest_us, 100_000.0);
        let three = percentiles_of([30, 10, 20].into_iter());
        assert_eq!((three.p50_us, three.p99_us), (20_000.0, 30_000.0));
        assert_eq!(percentiles_of([7].into_iter()).p50_us, 7_000.0);
        assert_eq!(percentiles_of([].into_iter()), Percentiles::default());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        assert_eq!(pairwise_ratios(&[10.0, 30.0], &[5.0, 10.0]), [2.0, 3.0]);
        // A round in which the peer has no figure yields no ratio.
        assert_eq!(pairwise_ratios(&[10.0, 30.0], &[0.0, 10.0]), [3.0]);
        assert_eq!(pairwise_ratios(&[10.0, 30.0], &[5.0]), [2.0]);
    }

    #[test]
    fn key_picks_are_uniform_and_repeatable() {
        let (mut dice, mut again) = (KeyPicker::new(3), KeyPicker::new(3));
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            let at = dice.below(10);
            assert_eq!(at, again.below(10));
            seen[at] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
        assert_ne!(KeyPicker::new(1).below(1 << 20), KeyPicker::new(2).below(1 << 20));
    }
}
