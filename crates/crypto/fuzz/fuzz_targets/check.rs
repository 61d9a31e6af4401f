//! Properties that must hold for every input. Shared by the fuzz target and the crate's own tests.

use strongroom_crypto::shamir::{combine, split};
use strongroom_types::Secret;
use strongroom_types::entropy::SeededEntropy;

/// The first byte gives the length of the shares, into which the rest is cut. Whatever they are,
/// they are combined or refused without a panic; and the same bytes, split as a secret, are
/// recovered from their shares.
pub(crate) fn any_shares(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first() else {
        assert!(combine(&[]).is_err());
        return;
    };
    let length = usize::from(*length).max(1);
    let shares: Vec<_> = rest.chunks(length).map(|share| Secret::new(share.to_vec())).collect();
    if let Ok(secret) = combine(&shares) {
        assert_eq!(secret.expose_secret().len(), length - 1, "as long as a share without its x");
    }
    let secret = Secret::new(rest.iter().copied().take(64).collect::<Vec<u8>>());
    let (parts, threshold) = (2 + bytes[0] % 6, 1 + bytes[0] / 6 % 7);
    let Ok(shares) = split(&secret, parts, threshold, &SeededEntropy::new(u64::from(bytes[0])))
    else {
        assert!(threshold < 2 || threshold > parts || secret.expose_secret().is_empty());
        return;
    };
    assert_eq!(shares.len(), usize::from(parts));
    let enough = &shares[shares.len() - usize::from(threshold)..];
    let back = combine(enough).expect("enough shares");
    assert_eq!(back.expose_secret(), secret.expose_secret());
}
