//! [`TotpKey`]: computing and checking codes.

use std::fmt;

use data_encoding::{BASE32_NOPAD, Encoding};
use strongroom_crypto::mac::{MacHash, sign_with};
use strongroom_types::{Entropy, Secret, Timestamp};

/// The hash function of a key's codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TotpAlgorithm {
    /// HMAC-SHA-1, which all authenticator apps support.
    #[default]
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

impl TotpAlgorithm {
    /// The name in the API and in `otpauth` URIs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// The algorithm with this name, in capitals.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256, Self::Sha512].into_iter().find(|it| it.as_str() == name)
    }

    fn hash(self) -> MacHash {
        match self {
            Self::Sha1 => MacHash::Sha1,
            Self::Sha256 => MacHash::Sha256,
            Self::Sha512 => MacHash::Sha512,
        }
    }
}

/// How the codes of a key are computed and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TotpParameters {
    /// The hash function.
    pub algorithm: TotpAlgorithm,
    /// The number of digits of a code: 6 or 8.
    pub digits: u32,
    /// How long a code is current, in seconds; not zero.
    pub period_secs: u64,
    /// How many periods before and after the current one a code is accepted: 0 or 1.
    pub skew: u64,
}

impl Default for TotpParameters {
    fn default() -> Self {
        Self { algorithm: TotpAlgorithm::Sha1, digits: 6, period_secs: 30, skew: 1 }
    }
}

/// A shared key and its parameters.
pub struct TotpKey {
    secret: Secret<Vec<u8>>,
    parameters: TotpParameters,
}

/// The result of checking a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeCheck {
    /// The code is the one of this time step. It is accepted once the step is recorded as used.
    Valid {
        /// The number of the period since the Unix epoch.
        step: u64,
    },
    /// The code is right, but was accepted before.
    AlreadyUsed,
    /// The code is that of no accepted time step.
    Wrong,
}

/// Why a key can't be used. Nothing of the key is in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidTotpKey {
    /// The key isn't base32, or empty.
    Encoding,
    /// The key is longer than [`TotpKey::MAX_BYTES`].
    Size,
    /// Neither 6 nor 8 digits.
    Digits,
    /// The period is zero.
    Period,
    /// The period is longer than [`TotpKey::MAX_PERIOD_SECS`].
    LongPeriod,
    /// The skew is neither 0 nor 1.
    Skew,
}

impl fmt::Display for InvalidTotpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoding => "invalid key value: expected base32 (A-Z, 2-7)",
            Self::Size => "the key has more than 1024 bytes",
            Self::Digits => "the digits value can only be 6 or 8",
            Self::Period => "the period value must be greater than zero",
            Self::LongPeriod => "the period value must not exceed 366 days",
            Self::Skew => "the skew value must be 0 or 1",
        })
    }
}

impl std::error::Error for InvalidTotpKey {}

impl TotpParameters {
    /// Checks the values that RFC 6238 and Vault allow.
    ///
    /// # Errors
    ///
    /// The first parameter that has another value.
    pub fn check(&self) -> Result<(), InvalidTotpKey> {
        if !matches!(self.digits, 6 | 8) {
            Err(InvalidTotpKey::Digits)
        } else if self.period_secs == 0 {
            Err(InvalidTotpKey::Period)
        } else if self.period_secs > TotpKey::MAX_PERIOD_SECS {
            Err(InvalidTotpKey::LongPeriod)
        } else if self.skew > 1 {
            Err(InvalidTotpKey::Skew)
        } else {
            Ok(())
        }
    }
}

impl TotpKey {
    /// The longest key that is accepted.
    pub const MAX_BYTES: usize = 1024;
    /// The longest period of a code, in seconds: 366 days.
    pub const MAX_PERIOD_SECS: u64 = 366 * 24 * 3600;

    /// A key from its text in base32, in upper or lower case, with or without padding.
    ///
    /// # Errors
    ///
    /// A text that is no key, or parameters that aren't allowed.
    pub fn from_base32(
        text: &Secret<String>,
        parameters: TotpParameters,
    ) -> Result<Self, InvalidTotpKey> {
        parameters.check()?;
        let upper = Secret::new(text.expose_secret().to_ascii_uppercase());
        let plain = upper.expose_secret().trim_end_matches('=').as_bytes();
        // Compared before decoding, which allocates.
        if plain.len() > Self::MAX_BYTES.div_ceil(5) * 8 {
            return Err(InvalidTotpKey::Size);
        }
        let decoded = lenient_base32().and_then(|encoding| encoding.decode(plain).ok());
        let secret = Secret::new(decoded.ok_or(InvalidTotpKey::Encoding)?);
        match secret.expose_secret().len() {
            0 => Err(InvalidTotpKey::Encoding),
            1..=Self::MAX_BYTES => Ok(Self { secret, parameters }),
            _ => Err(InvalidTotpKey::Size),
        }
    }

    /// A new random key of this many bytes, as text in base32 without padding.
    pub fn generate(entropy: &dyn Entropy, bytes: usize) -> Secret<String> {
        let mut secret = Secret::new(vec![0; bytes]);
        entropy.fill(secret.expose_secret_mut());
        Secret::new(BASE32_NOPAD.encode(secret.expose_secret()))
    }

    /// The parameters of this key.
    pub fn parameters(&self) -> TotpParameters {
        self.parameters
    }

    /// The number of the period that a time is in, counted from the Unix epoch.
    pub fn step_at(&self, time: Timestamp) -> u64 {
        u64::try_from(time.as_secs()).unwrap_or_default() / self.parameters.period_secs
    }

    /// The code of a time step.
    pub fn code_of_step(&self, step: u64) -> Secret<String> {
        let key = self.secret.expose_secret();
        let mac = sign_with(self.parameters.algorithm.hash(), key, &step.to_be_bytes());
        // RFC 4226, section 5.3: the last four bits say which four bytes count.
        let offset = usize::from(mac.last().copied().unwrap_or_default() & 0x0f);
        let window: [u8; 4] =
            mac.get(offset..offset + 4).and_then(|it| it.try_into().ok()).unwrap_or_default();
        let number = u32::from_be_bytes(window) & 0x7fff_ffff;
        let digits = self.parameters.digits;
        let width = usize::try_from(digits).unwrap_or_default();
        Secret::new(format!("{:0width$}", number % 10_u32.pow(digits)))
    }

    /// Checks a code against the current period and `skew` periods around it. `used_steps` are those
    /// of codes that were accepted before. All periods are compared, in constant time.
    pub fn check_code(&self, code: &str, now: Timestamp, used_steps: &[u64]) -> CodeCheck {
        let (current, skew) = (self.step_at(now), self.parameters.skew);
        let mut result = CodeCheck::Wrong;
        for step in current.saturating_sub(skew)..=current.saturating_add(skew) {
            if !self.code_of_step(step).ct_eq(code.as_bytes()) {
                continue;
            }
            // Two steps can have the same code. It is used up if it was accepted for either.
            if used_steps.contains(&step) {
                result = CodeCheck::AlreadyUsed;
            } else if result == CodeCheck::Wrong {
                result = CodeCheck::Valid { step };
            }
        }
        result
    }

    /// Whether the code of one of these steps would be accepted, if it weren't recorded as used.
    pub fn accepts_any_step(&self, steps: &[u64], now: Timestamp) -> bool {
        let oldest = self.step_at(now).saturating_sub(self.parameters.skew);
        steps.iter().any(|step| *step >= oldest)
    }

    /// Whether another key has the same secret and parameters, so that it has the same codes.
    pub fn has_codes_of(&self, other: &Self) -> bool {
        let (own, others) = (self.parameters, other.parameters);
        own.algorithm == others.algorithm
            && own.digits == others.digits
            && own.period_secs == others.period_secs
            && self.secret.ct_eq(other.secret.expose_secret())
    }

    /// Removes the steps whose codes aren't accepted any more, and adds `step`.
    pub fn record_step(&self, used_steps: &mut Vec<u64>, step: u64, now: Timestamp) {
        let oldest = self.step_at(now).saturating_sub(self.parameters.skew);
        used_steps.retain(|used| *used >= oldest && *used != step);
        used_steps.push(step);
    }
}

impl fmt::Debug for TotpKey {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TotpKey").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

/// Base32 without padding, whose last character may have unused bits that aren't zero: other
/// programs write such keys.
fn lenient_base32() -> Option<Encoding> {
    let mut lenient = BASE32_NOPAD.specification();
    lenient.check_trailing_bits = false;
    lenient.encoding().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strongroom_types::entropy::SeededEntropy;

    use super::*;

    fn key_of(text: &str, parameters: TotpParameters) -> TotpKey {
        TotpKey::from_base32(&Secret::from_text(text), parameters).unwrap()
    }

    /// The test vectors of RFC 6238, appendix B.
    #[test]
    fn codes_agree_with_the_rfc() {
        let vectors: [(i64, [&str; 3]); 6] = [
            (59, ["94287082", "46119246", "90693936"]),
            (1_111_111_109, ["07081804", "68084774", "25091201"]),
            (1_111_111_111, ["14050471", "67062674", "99943326"]),
            (1_234_567_890, ["89005924", "91819424", "93441116"]),
            (2_000_000_000, ["69279037", "90698825", "38618901"]),
            (20_000_000_000, ["65353130", "77737706", "47863826"]),
        ];
        let algorithms = [TotpAlgorithm::Sha1, TotpAlgorithm::Sha256, TotpAlgorithm::Sha512];
        for (secs, codes) in vectors {
            for ((algorithm, bytes), code) in algorithms.into_iter().zip([20, 32, 64]).zip(codes) {
                let digits = b"1234567890".iter().copied().cycle().take(bytes).collect::<Vec<_>>();
                let parameters = TotpParameters { algorithm, digits: 8, ..Default::default() };
                let key = key_of(&BASE32_NOPAD.encode(&digits), parameters);
                // A Timestamp ends in the year 2262, so the step is computed here.
                let step = u64::try_from(secs).unwrap() / 30;
                assert_eq!(key.code_of_step(step).expose_secret(), code, "{algorithm:?} at {secs}");
            }
        }
    }

    #[test]
    fn a_code_is_accepted_once_within_the_skew() {
        let key = key_of("GEZDGNBVGY3TQOJQ", TotpParameters::default());
        let now = Timestamp::from_secs(3000);
        let code = |step| key.code_of_step(step);
        let mut used = Vec::new();
        assert_eq!(key.check_code(code(98).expose_secret(), now, &used), CodeCheck::Wrong);
        assert_eq!(key.check_code(code(102).expose_secret(), now, &used), CodeCheck::Wrong);
        for step in [99, 100, 101] {
            let code = code(step);
            let check = key.check_code(code.expose_secret(), now, &used);
            assert_eq!(check, CodeCheck::Valid { step });
            key.record_step(&mut used, step, now);
            let again = key.check_code(code.expose_secret(), now, &used);
            assert_eq!(again, CodeCheck::AlreadyUsed);
        }
        key.record_step(&mut used, 103, Timestamp::from_secs(3090));
        assert_eq!(used, [103], "steps that are too old are forgotten");
        let strict = TotpParameters { skew: 0, ..TotpParameters::default() };
        let strict = key_of("GEZDGNBVGY3TQOJQ", strict);
        assert_eq!(strict.check_code(code(99).expose_secret(), now, &[]), CodeCheck::Wrong);
    }

    #[test]
    fn keys_are_read_as_other_programs_write_them() {
        let code = key_of("GEZDGNBVGY", TotpParameters::default()).code_of_step(1);
        for same in ["gezdgnbvgy", "GEZDGNBVGY======", "GEZDGNBVGZ"] {
            let other = key_of(same, TotpParameters::default()).code_of_step(1);
            assert!(other.ct_eq(code.expose_secret().as_bytes()), "{same}");
        }
        let read = |text: &str| {
            let read = TotpKey::from_base32(&Secret::from_text(text), TotpParameters::default());
            read.map(drop)
        };
        for wrong in ["", "=", "A", "GEZD GNBV", "GEZ1", "ÄÄ"] {
            assert_eq!(read(wrong), Err(InvalidTotpKey::Encoding), "{wrong:?}");
        }
        assert_eq!(read(&"A".repeat(1639)), Ok(()));
        for long in [1640, 1641, 2000] {
            assert_eq!(read(&"A".repeat(long)), Err(InvalidTotpKey::Size), "{long}");
        }
    }

    #[test]
    fn parameters_that_are_not_allowed_are_named() {
        let new = TotpParameters::default;
        let cases = [
            (TotpParameters { digits: 7, ..new() }, InvalidTotpKey::Digits),
            (TotpParameters { period_secs: 0, ..new() }, InvalidTotpKey::Period),
            (TotpParameters { skew: 2, ..new() }, InvalidTotpKey::Skew),
        ];
        for (parameters, error) in cases {
            let text = Secret::from_text("GEZDGNBV");
            assert_eq!(TotpKey::from_base32(&text, parameters).err(), Some(error));
        }
    }

    proptest! {
        #[test]
        fn a_generated_key_accepts_its_own_code_and_prints_nothing(
            seed: u64, bytes in 1_usize..64, secs in 0_i64..4_000_000_000,
        ) {
            let text = TotpKey::generate(&SeededEntropy::new(seed), bytes);
            let key = TotpKey::from_base32(&text, TotpParameters::default()).unwrap();
            let now = Timestamp::from_secs(secs);
            let code = key.code_of_step(key.step_at(now));
            let check = key.check_code(code.expose_secret(), now, &[]);
            prop_assert_eq!(check, CodeCheck::Valid { step: key.step_at(now) });
            let printed = format!("{key:?}");
            prop_assert!(!printed.contains(text.expose_secret().as_str()));
        }
    }
}
