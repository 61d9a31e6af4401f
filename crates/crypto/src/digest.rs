//! SHA-256 (FIPS 180-4).

use std::fmt;

/// A SHA-256 digest, 32 raw bytes.
pub type Sha256Digest = [u8; 32];

/// Computes the SHA-256 digest of one buffer.
pub fn sha256(data: &[u8]) -> Sha256Digest {
    let mut hasher = Sha256::new();
    hasher.update(data);
    hasher.finish()
}

/// Computes a SHA-256 digest incrementally, over data that arrives in parts. The result does not
/// depend on how the data is split.
pub struct Sha256(aws_lc_rs::digest::Context);

impl Sha256 {
    /// Starts a digest over no data.
    pub fn new() -> Self {
        Self(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256))
    }

    /// Appends `data` to the digested input.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// Finishes and returns the digest of everything passed to [`Sha256::update`]. Without any data
    /// it is the digest of the empty message.
    pub fn finish(self) -> Sha256Digest {
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(self.0.finish().as_ref()) {
            *to = *from;
        }
        out
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn agrees_with_the_standards_example() {
        let hex = data_encoding::HEXLOWER.encode(&super::sha256(b"abc"));
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
