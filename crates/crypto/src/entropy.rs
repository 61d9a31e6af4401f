//! The system's random number generator, through aws-lc-rs.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use strongroom_types::Entropy;

/// The [`Entropy`] source of a running server: cryptographically secure random bytes, fit for keys
/// and tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::expect_used, reason = "without a random generator nothing safe can go on")]
    fn fill(&self, buffer: &mut [u8]) {
        SystemRandom::new().fill(buffer).expect("the system's random generator must not fail");
    }
}
