//! The key ring: the keys that encrypt entries, numbered by term. New entries are encrypted under
//! the newest term; older terms are kept to decrypt existing entries.
//!
//! A key with random nonces may encrypt about 2^32 messages. Counting each one on disk would double
//! the writes, so encryptions are *reserved* in advance: the stored ring contains the count up to
//! which its active key may be used, and after a restart all of that counts as used.
//! [`crate::Barrier::maintain_key_ring`] extends the reservation, and adds a new term when a key is
//! used up.
//!
//! ```text
//! format 1 · number of terms u32 · per term: term u32 · installed i64 (ns) · reserved u64 · key 32
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom_crypto::AeadKey;
use strongroom_crypto::aead::KEY_BYTES;
use strongroom_types::{Entropy, Secret, Timestamp};

/// Number of encryptions reserved at a time.
pub const RESERVE_STEP: u64 = 1 << 24;
/// A key is replaced before more encryptions than this would be reserved for it: as in Vault and
/// OpenBao, 90 % of 2^32. Reservations that a restart left unused count.
pub const MAX_OPERATIONS: u64 = 3_865_470_566;

const FORMAT: u8 = 1;

/// An immutable set of key terms; every change creates a new ring. Entries are encrypted with the
/// newest term; each is decrypted with the term that encrypted it.
#[derive(Clone, Debug)]
pub struct KeyRing {
    /// In term order; the last is the active one. Never empty.
    terms: Vec<Arc<KeyTerm>>,
}

/// One key of the ring, with its term number and the count of its encryptions.
pub struct KeyTerm {
    /// The term number, from 1.
    pub number: u32,
    /// When the key became active.
    pub installed: Timestamp,
    /// Encryptions that the stored ring allows with this key.
    pub reserved: u64,
    key: AeadKey,
    material: Secret<Vec<u8>>,
    used_count: Arc<AtomicU64>,
}

impl std::fmt::Debug for KeyTerm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyTerm({}, {} of {})", self.number, self.used_count(), self.reserved)
    }
}

impl KeyTerm {
    fn new(
        number: u32,
        installed: Timestamp,
        reserved: u64,
        material: Secret<Vec<u8>>,
        used: u64,
    ) -> Option<Self> {
        let key = AeadKey::new(material.expose_secret())?;
        let used = Arc::new(AtomicU64::new(used));
        Some(Self { number, installed, reserved, key, material, used_count: used })
    }

    /// The AES-256-GCM key of this term, ready for use. It was expanded when the term was created,
    /// so the call costs nothing.
    pub fn key(&self) -> &AeadKey {
        &self.key
    }

    /// Encryptions counted so far; after a restart, everything that was reserved, so it is an upper
    /// bound of the real number.
    pub fn used_count(&self) -> u64 {
        self.used_count.load(Ordering::Relaxed)
    }

    /// A copy with the same key and a shared count, and another reservation.
    fn with_reserved(&self, reserved: u64) -> Option<Self> {
        Some(Self {
            number: self.number,
            installed: self.installed,
            reserved,
            key: AeadKey::new(self.material.expose_secret())?,
            material: Secret::new(self.material.expose_secret().clone()),
            used_count: self.used_count.clone(),
        })
    }
}

impl KeyRing {
    /// A ring with a single new key as term 1. `None` only if the key can't be constructed.
    pub fn generate(entropy: &dyn Entropy, now: Timestamp) -> Option<Self> {
        let term = KeyTerm::new(1, now, RESERVE_STEP, AeadKey::generate_material(entropy), 0)?;
        Some(Self { terms: vec![Arc::new(term)] })
    }

    /// The newest term, which encrypts new entries.
    pub fn active_term(&self) -> Option<&Arc<KeyTerm>> {
        self.terms.last()
    }

    /// The key of the given term, to decrypt an entry that was written under it.
    pub fn find_term(&self, number: u32) -> Option<&Arc<KeyTerm>> {
        self.terms.iter().rev().find(|term| term.number == number)
    }

    /// Counts `n` encryptions under the active key; `None` if they exceed the reservation.
    pub(crate) fn count_encryptions(&self, n: u64) -> Option<&Arc<KeyTerm>> {
        let term = self.active_term()?;
        let before = term.used_count.fetch_add(n, Ordering::Relaxed);
        (before.saturating_add(n) <= term.reserved).then_some(term)
    }

    /// Whether less than half of a [`RESERVE_STEP`] is left.
    pub(crate) fn needs_extension(&self) -> bool {
        self.active_term()
            .is_none_or(|term| term.used_count().saturating_add(RESERVE_STEP / 2) > term.reserved)
    }

    /// The ring with more encryptions reserved, or with a new term if the active key would exceed
    /// [`MAX_OPERATIONS`].
    pub(crate) fn with_more_reserved(&self, entropy: &dyn Entropy, now: Timestamp) -> Option<Self> {
        let active = self.active_term()?;
        let reserved = active.reserved.max(active.used_count()).saturating_add(RESERVE_STEP);
        if reserved > MAX_OPERATIONS {
            return self.with_new_term(entropy, now);
        }
        let mut terms = self.terms.clone();
        terms.pop();
        terms.push(Arc::new(active.with_reserved(reserved)?));
        Some(Self { terms })
    }

    /// The terms of both rings, each with the higher of the two reservations. Counts are taken from
    /// this ring; for a term that only the other ring has, everything it reserved counts as used.
    /// `None` if the rings have different keys for one term.
    pub(crate) fn merged_with(&self, other: &Self) -> Option<Self> {
        let mut terms = self.terms.clone();
        for theirs in &other.terms {
            match terms.iter_mut().find(|ours| ours.number == theirs.number) {
                Some(ours) if !ours.material.ct_eq(theirs.material.expose_secret()) => return None,
                Some(ours) if ours.reserved < theirs.reserved => {
                    *ours = Arc::new(ours.with_reserved(theirs.reserved)?);
                }
                Some(_) => {}
                None => terms.push(theirs.clone()),
            }
        }
        terms.sort_unstable_by_key(|term| term.number);
        Some(Self { terms })
    }

    /// The ring with an additional, new active key.
    pub(crate) fn with_new_term(&self, entropy: &dyn Entropy, now: Timestamp) -> Option<Self> {
        let number = self.active_term()?.number.checked_add(1)?;
        let term = KeyTerm::new(number, now, RESERVE_STEP, AeadKey::generate_material(entropy), 0)?;
        let mut terms = self.terms.clone();
        terms.push(Arc::new(term));
        Some(Self { terms })
    }

    /// Serialises the ring, keys included.
    pub(crate) fn to_bytes(&self) -> Secret<Vec<u8>> {
        let mut out = Secret::new(Vec::with_capacity(5 + self.terms.len() * (20 + KEY_BYTES)));
        let bytes = out.expose_secret_mut();
        bytes.push(FORMAT);
        bytes.extend_from_slice(&u32::try_from(self.terms.len()).unwrap_or(u32::MAX).to_be_bytes());
        for term in &self.terms {
            bytes.extend_from_slice(&term.number.to_be_bytes());
            bytes.extend_from_slice(&term.installed.as_nanos().to_be_bytes());
            bytes.extend_from_slice(&term.reserved.to_be_bytes());
            bytes.extend_from_slice(term.material.expose_secret());
        }
        out
    }

    /// Parses what [`KeyRing::to_bytes`] wrote. Everything that was reserved counts as used.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = KeyRingReader(bytes);
        if rest.take_array::<1>()? != [FORMAT] {
            return None;
        }
        let count = u32::from_be_bytes(rest.take_array()?);
        let mut terms = Vec::new();
        for _ in 0..count {
            let number = u32::from_be_bytes(rest.take_array()?);
            let installed = Timestamp::from_nanos(i64::from_be_bytes(rest.take_array()?));
            let reserved = u64::from_be_bytes(rest.take_array()?);
            let material = Secret::new(rest.take_slice(KEY_BYTES)?.to_vec());
            terms.push(Arc::new(KeyTerm::new(number, installed, reserved, material, reserved)?));
        }
        (rest.0.is_empty() && !terms.is_empty()).then_some(Self { terms })
    }
}

/// Reads fixed-size fields from the front of a slice.
struct KeyRingReader<'a>(&'a [u8]);

impl KeyRingReader<'_> {
    fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    /// Returns a slice without copying, so that key material doesn't stay on the stack.
    fn take_slice(&mut self, len: usize) -> Option<&[u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use strongroom_crypto::SystemEntropy;

    use super::*;

    fn new_ring() -> KeyRing {
        KeyRing::generate(&SystemEntropy, Timestamp::from_secs(5)).unwrap()
    }

    #[test]
    fn reads_back_with_everything_reserved_used() {
        let ring = new_ring().with_new_term(&SystemEntropy, Timestamp::from_secs(9)).unwrap();
        ring.count_encryptions(3).unwrap();
        let back = KeyRing::from_bytes(ring.to_bytes().expose_secret()).unwrap();
        assert_eq!(back.terms.len(), 2);
        let active = back.active_term().unwrap();
        assert_eq!((active.number, active.installed), (2, Timestamp::from_secs(9)));
        assert_eq!(active.used_count(), RESERVE_STEP);
        assert!(
            back.count_encryptions(1).is_none(),
            "nothing may be encrypted before reserving again"
        );
    }

    #[test]
    fn refuses_bytes_cut_anywhere() {
        let bytes = new_ring().to_bytes();
        let bytes = bytes.expose_secret();
        for len in 0..bytes.len() {
            assert!(KeyRing::from_bytes(&bytes[..len]).is_none());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(KeyRing::from_bytes(&longer).is_none());
    }

    #[test]
    fn extends_until_the_key_is_used_up_then_rotates() {
        let mut ring = new_ring();
        assert!(!ring.needs_extension());
        ring.count_encryptions(RESERVE_STEP / 2 + 1).unwrap();
        assert!(ring.needs_extension());
        for _ in 0..MAX_OPERATIONS / RESERVE_STEP {
            ring = ring.with_more_reserved(&SystemEntropy, Timestamp::EPOCH).unwrap();
            assert!(ring.active_term().unwrap().reserved <= MAX_OPERATIONS);
        }
        assert_eq!(ring.active_term().unwrap().number, 2);
        assert!(ring.find_term(1).is_some());
    }

    #[test]
    fn merging_keeps_terms_reservations_and_counts() {
        let ours = new_ring();
        ours.count_encryptions(7).unwrap();
        let stored = |ring: &KeyRing| KeyRing::from_bytes(ring.to_bytes().expose_secret()).unwrap();
        let extended = stored(&ours.with_more_reserved(&SystemEntropy, Timestamp::EPOCH).unwrap());
        let rotated = stored(&extended.with_new_term(&SystemEntropy, Timestamp::EPOCH).unwrap());
        let joined = ours.merged_with(&rotated).unwrap();
        let numbers: Vec<u32> = joined.terms.iter().map(|term| term.number).collect();
        assert_eq!(numbers, [1, 2]);
        let first = joined.find_term(1).unwrap();
        assert_eq!((first.reserved, first.used_count()), (2 * RESERVE_STEP, 7));
        let second = joined.find_term(2).unwrap();
        assert_eq!((second.reserved, second.used_count()), (RESERVE_STEP, RESERVE_STEP));
        // Terms that only memory has are kept.
        let ahead = ours.with_new_term(&SystemEntropy, Timestamp::EPOCH).unwrap();
        assert_eq!(ahead.merged_with(&stored(&ours)).unwrap().terms.len(), 2);
        // Rings with different keys for a term can't be merged.
        assert!(ours.merged_with(&new_ring()).is_none());
    }

    #[test]
    fn debug_shows_no_key() {
        let ring = new_ring();
        let shown = format!("{ring:?}");
        assert_eq!(shown, format!("KeyRing {{ terms: [KeyTerm(1, 0 of {RESERVE_STEP})] }}"));
    }
}
