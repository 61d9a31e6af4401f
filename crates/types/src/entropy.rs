//! The [`Entropy`] trait: randomness as a parameter, and the random strings derived from it.

use std::fmt;

/// A source of unpredictable bytes. Constructed in `main` (the crypto crate's system source) and in
/// tests (a seeded one), and passed to everything else as a parameter.
pub trait Entropy: Send + Sync + fmt::Debug + 'static {
    /// Fills the whole buffer. An implementation that fails must end the process, because the
    /// server can't continue safely without random bytes.
    fn fill(&self, buffer: &mut [u8]);

    /// A string of `len` base62 characters (`0-9A-Za-z`), each drawn uniformly.
    fn base62(&self, len: usize) -> String {
        random_text(self, b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", len)
    }

    /// A string of `len` lower-case letters and digits, each drawn uniformly.
    fn base36(&self, len: usize) -> String {
        random_text(self, b"0123456789abcdefghijklmnopqrstuvwxyz", len)
    }

    /// A version 4 UUID in its usual hyphenated, lower-case form (RFC 9562, section 5.4).
    fn uuid(&self) -> String {
        let mut bytes = [0_u8; 16];
        self.fill(&mut bytes);
        uuid_text(bytes)
    }

    /// A uniformly distributed `u64`, for example for jitter.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0_u8; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// A string of `len` characters of an alphabet, each drawn uniformly.
fn random_text<const N: usize>(
    entropy: &(impl Entropy + ?Sized),
    alphabet: &[u8; N],
    len: usize,
) -> String {
    const { assert!(N > 0 && N < 256, "a byte has to select a character of the alphabet") };
    // Bytes above the greatest multiple are rejected: they would favour the first characters.
    let fair_bytes = 256 / N * N;
    let mut text = String::with_capacity(len);
    let mut pool = [0_u8; 64];
    while text.len() < len {
        entropy.fill(&mut pool);
        let fair = pool.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair_bytes);
        let characters = fair.filter_map(|byte| alphabet.get(byte % N));
        text.extend(characters.take(len - text.len()).map(|character| char::from(*character)));
    }
    zeroize::Zeroize::zeroize(&mut pool);
    text
}

/// Formats random bytes as a version 4 UUID.
pub(crate) fn uuid_text(random: [u8; 16]) -> String {
    let uuid = uuid::Builder::from_random_bytes(random).into_uuid();
    let mut text = uuid::Uuid::encode_buffer();
    uuid.hyphenated().encode_lower(&mut text).to_owned()
}

/// A repeatable source for tests: the same seed always gives the same bytes. Never use it for
/// secrets.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug)]
pub struct SeededEntropy(std::sync::Mutex<u64>);

#[cfg(any(test, feature = "testing"))]
impl SeededEntropy {
    /// A source whose output is determined by `seed`.
    pub fn new(seed: u64) -> Self {
        Self(std::sync::Mutex::new(seed))
    }
}

#[cfg(any(test, feature = "testing"))]
impl Entropy for SeededEntropy {
    /// SplitMix64 (Steele, Lea, Flood 2014): small, and sufficient to make test values distinct.
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for chunk in buffer.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            for (to, from) in chunk.iter_mut().zip(z.to_le_bytes()) {
                *to = from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base62_has_the_asked_length_and_alphabet() {
        let entropy = SeededEntropy::new(1);
        for len in [0, 1, 24, 95, 300] {
            let text = entropy.base62(len);
            assert_eq!(text.len(), len);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        assert_ne!(entropy.base62(24), entropy.base62(24));
    }

    #[test]
    fn uuid_is_version_4() {
        let text = SeededEntropy::new(7).uuid();
        assert_eq!(text.len(), 36);
        assert_eq!(text.as_bytes()[14], b'4');
    }
}
