//! Shamir's secret sharing over GF(2^8), in the share format of Vault: the `y` bytes, then one byte
//! `x`. A share of a 32-byte secret has 33 bytes.
//!
//! The arithmetic is that of vsss-rs. It uses no lookup tables, so memory access patterns reveal
//! nothing (CVE-2023-25000).

use strongroom_types::{Entropy, Secret};
use vsss_rs::Gf256;
use zeroize::Zeroize;

/// Why a secret can't be split or combined. Shares that are merely wrong are not detected: they
/// combine to another secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShamirError {
    /// The number of shares and the threshold are inconsistent: 2 ≤ threshold ≤ parts ≤ 255 is
    /// required, and the secret must not be empty.
    #[error("threshold and number of shares do not fit each other")]
    Sizes,
    /// The shares have different lengths, are too short, or one is given twice.
    #[error("the shares do not fit each other")]
    Shares,
}

/// Splits `secret` into `parts` shares, any `threshold` of which recover it. Fewer reveal nothing
/// about it.
///
/// # Errors
///
/// [`ShamirError::Sizes`] if the numbers are inconsistent or the secret is empty.
pub fn split(
    secret: &Secret<Vec<u8>>,
    parts: u8,
    threshold: u8,
    entropy: &dyn Entropy,
) -> Result<Vec<Secret<Vec<u8>>>, ShamirError> {
    if threshold < 2 || threshold > parts || secret.expose_secret().is_empty() {
        return Err(ShamirError::Sizes);
    }
    let shares = Gf256::split_bytes(
        usize::from(threshold),
        usize::from(parts),
        secret.expose_secret(),
        EntropyRng(entropy),
    )
    .map_err(|_| ShamirError::Sizes)?;
    // vsss-rs puts `x` first; Vault puts it last.
    let x_last = |mut share: Vec<u8>| {
        share.rotate_left(1);
        Secret::new(share)
    };
    Ok(shares.into_iter().map(x_last).collect())
}

/// Recovers a secret from shares. Too few or wrong shares give *some* bytes without an error: the
/// caller must detect this by using the result.
///
/// # Errors
///
/// [`ShamirError::Shares`] if the shares have different lengths, are too short, or one is given
/// twice.
pub fn combine(shares: &[Secret<Vec<u8>>]) -> Result<Secret<Vec<u8>>, ShamirError> {
    // Before any share is copied, so that no copy is left unwiped.
    if shares.iter().any(|share| share.expose_secret().len() < 2) {
        return Err(ShamirError::Shares);
    }
    let mut x_first: Vec<Vec<u8>> = Vec::with_capacity(shares.len());
    for share in shares {
        let mut share = share.expose_secret().clone();
        share.rotate_right(1);
        x_first.push(share);
    }
    let combined = Gf256::combine_bytes(&x_first);
    x_first.iter_mut().for_each(Zeroize::zeroize);
    combined.map(Secret::new).map_err(|_| ShamirError::Shares)
}

/// Adapts [`Entropy`] to the random generator trait of vsss-rs.
struct EntropyRng<'a>(&'a dyn Entropy);

impl rand_core::TryRng for EntropyRng<'_> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(buffer);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for EntropyRng<'_> {}

#[cfg(test)]
mod tests {
    use strongroom_types::entropy::SeededEntropy;

    use super::*;
    use crate::SystemEntropy;

    fn test_secret() -> Secret<Vec<u8>> {
        Secret::new((0..32).collect())
    }

    fn pick_shares(shares: &[Secret<Vec<u8>>], indices: &[usize]) -> Vec<Secret<Vec<u8>>> {
        indices.iter().map(|i| Secret::new(shares[*i].expose_secret().clone())).collect()
    }

    #[test]
    fn any_threshold_of_shares_gives_the_secret_back() {
        let shares = split(&test_secret(), 5, 3, &SystemEntropy).unwrap();
        assert_eq!(shares.len(), 5);
        assert!(shares.iter().all(|share| share.expose_secret().len() == 33));
        for indices in [[0, 1, 2], [4, 2, 0], [1, 3, 4]] {
            let back = combine(&pick_shares(&shares, &indices)).unwrap();
            assert!(back.ct_eq(test_secret().expose_secret()));
        }
        let all = combine(&shares).unwrap();
        assert!(all.ct_eq(test_secret().expose_secret()));
    }

    #[test]
    fn too_few_shares_give_a_wrong_secret() {
        let shares = split(&test_secret(), 5, 3, &SystemEntropy).unwrap();
        let wrong = combine(&pick_shares(&shares, &[0, 1])).unwrap();
        assert!(!wrong.ct_eq(test_secret().expose_secret()));
    }

    #[test]
    fn the_x_byte_is_last_and_never_zero() {
        let shares = split(&test_secret(), 255, 2, &SeededEntropy::new(3)).unwrap();
        let mut xs: Vec<u8> = shares.iter().map(|share| share.expose_secret()[32]).collect();
        xs.sort_unstable();
        xs.dedup();
        assert_eq!(xs.len(), 255);
        assert_eq!(xs[0], 1);
    }

    /// Computed by hand: with f(x) = 7 + 3x over GF(2^8), f(1) = 4 and f(2) = 1.
    #[test]
    fn agrees_with_a_hand_computed_polynomial() {
        let shares = [Secret::new(vec![4, 1]), Secret::new(vec![1, 2])];
        assert!(combine(&shares).unwrap().ct_eq(&[7]));
    }

    #[test]
    fn refuses_sizes_and_shares_that_do_not_fit() {
        for (parts, threshold) in [(1, 1), (3, 1), (2, 3), (0, 0)] {
            assert!(split(&test_secret(), parts, threshold, &SystemEntropy).is_err());
        }
        let shares = split(&test_secret(), 3, 2, &SystemEntropy).unwrap();
        assert!(combine(&pick_shares(&shares, &[0, 0])).is_err());
        assert!(combine(&pick_shares(&shares, &[0])).is_err());
        assert!(combine(&[]).is_err());
        let mut short = pick_shares(&shares, &[0, 1]);
        short[1].expose_secret_mut().truncate(12);
        assert!(combine(&short).is_err());
        assert!(combine(&[Secret::new(vec![]), Secret::new(vec![1])]).is_err());
    }

    /// Whether the arithmetic uses secret bytes as table indices can't be tested from outside. This
    /// version of the library was reviewed: it multiplies and inverts with masks and shifts. When
    /// updating it, review its GF(256) code again, then change the version number here.
    #[test]
    fn cve_2023_25000_the_arithmetic_that_was_read_is_what_is_used() {
        const READ: &str = "6.0.1";
        let lock = include_str!("../../../Cargo.lock");
        let mut packages = lock.split("[[package]]");
        let used = packages.find(|package| package.contains("name = \"vsss-rs\"\n")).unwrap();
        assert!(used.contains(&format!("version = \"{READ}\"\n")), "{used}");
        assert!(packages.all(|package| !package.contains("name = \"vsss-rs\"\n")), "one of it");
    }

    proptest::proptest! {
        #[test]
        fn round_trips(
            bytes in proptest::collection::vec(0_u8..=255, 1..64),
            threshold in 2_u8..6, extra in 0_u8..4, seed in 0_u64..1000,
        ) {
            let secret = Secret::new(bytes.clone());
            let entropy = SeededEntropy::new(seed);
            let mut shares = split(&secret, threshold + extra, threshold, &entropy).unwrap();
            shares.truncate(usize::from(threshold));
            proptest::prop_assert!(combine(&shares).unwrap().ct_eq(&bytes));
        }

        #[test]
        fn combining_junk_never_panics(
            shares in proptest::collection::vec(proptest::collection::vec(0_u8..=255, 0..40), 0..8),
        ) {
            let shares: Vec<_> = shares.into_iter().map(Secret::new).collect();
            let _ = combine(&shares);
        }
    }
}
