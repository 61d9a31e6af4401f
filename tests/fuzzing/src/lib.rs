//! What fuzz targets check, as normal tests on a stable compiler: over the corpus, and over a
//! bounded number of its mutations, always the same for a seed.
//!
//! A target stands beside its crate, in `fuzz/`, outside the workspace. The crate's own tests take
//! the file with its check and run it here:
//!
//! ```ignore
//! #[path = "../fuzz/fuzz_targets/check.rs"]
//! mod check;
//!
//! #[test]
//! fn any_bytes_are_read_or_refused() {
//!     strongroom_fuzzing::smoke(env!("CARGO_MANIFEST_DIR"), "parse", PIECES, check::any_bytes);
//! }
//! ```
#![deny(missing_docs)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of tests fails by ending the test"
)]

use std::fs;
use std::path::Path;

/// How many mutations a normal run tries; `STRONGROOM_FUZZ_ROUNDS` says otherwise.
const ROUNDS: usize = 4_000;

/// What messages of the plug-in wire are made of: tags, lengths, and the JSON in their fields.
pub const MESSAGE_PIECES: &[&[u8]] = &[
    b"\x0a",
    b"\x12",
    b"\x1a",
    b"\x22",
    b"\x2a",
    b"\x08",
    b"\xff\xff\xff\xff\x0f",
    b"{",
    b"}",
    b"\"a\":",
    b"null",
    b"\"http_status_code\":200",
    b"\"error\":\"x\"",
    b"read",
    b"renew",
    b"\0",
];

/// Runs a check over the corpus of a target of the crate at `manifest`, then over mutations of it.
/// `pieces` are what the format is made of: they get into inputs more often than chance would put
/// them there.
pub fn run_corpus_and_mutations(
    manifest: &str,
    target: &str,
    pieces: &[&[u8]],
    check: impl Fn(&[u8]),
) {
    let corpus = read_corpus(manifest, target);
    corpus.iter().for_each(|bytes| check(bytes));
    let mut random = SplitMix64(0x5eed);
    for _ in 0..mutation_rounds() {
        let mut bytes = random.pick_from(&corpus).clone();
        for _ in 0..=random.next_below(3) {
            mutate_bytes(&mut bytes, &mut random, &corpus, pieces);
        }
        check(&bytes);
    }
}

/// The corpus of a target, in the order of its names, so that a seed always gives the same inputs.
pub fn read_corpus(manifest: &str, target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(manifest).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "the corpus of {target} is empty");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn mutation_rounds() -> usize {
    std::env::var("STRONGROOM_FUZZ_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap())
}

fn mutate_bytes(
    bytes: &mut Vec<u8>,
    random: &mut SplitMix64,
    corpus: &[Vec<u8>],
    pieces: &[&[u8]],
) {
    let at = random.next_below(bytes.len() + 1);
    match random.next_below(5) {
        0 => bytes.truncate(at),
        1 if !pieces.is_empty() => {
            bytes.splice(at..at, random.pick_from(pieces).iter().copied());
        }
        2 => drop(bytes.drain(at..(at + 1 + random.next_below(8)).min(bytes.len()).max(at))),
        3 => {
            let other = random.pick_from(corpus);
            let from = random.next_below(other.len() + 1);
            let to = (from + random.next_below(40)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = u8::try_from(random.next_below(256)).unwrap();
            }
        }
    }
}

/// SplitMix64: repeatable, and good enough to choose bytes.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn next_below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn pick_from<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.next_below(from.len())]
    }
}
