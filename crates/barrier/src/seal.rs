//! The seal: how the root key is protected while the server is down.
//!
//! ```text
//! key shares ──combine──► unseal key ──opens──► root key ──opens──► key ring ──opens──► entries
//! ```
//!
//! Two records are stored outside the barrier: `core/seal-config`, plain JSON with the numbers of
//! shares, and `core/root-key`, the root key encrypted under the unseal key. The unseal key itself
//! is not stored: it is generated at initialisation, split, returned as shares and wiped.

use std::fmt;

use serde::{Deserialize, Serialize};
use strongroom_crypto::{AeadKey, shamir};
use strongroom_storage::{Physical, PhysicalChange, Precondition};
use strongroom_types::{Entropy, Secret};

use crate::barrier::{Barrier, BarrierOptions, Batch, ROOT_TERM};
use crate::key_ring::KeyRing;
use crate::{Error, record};

const SEAL_CONFIG_KEY: &str = "core/seal-config";
const ROOT_KEY_KEY: &str = "core/root-key";

/// The number of key shares the unseal key is split into, and how many of them unseal the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealConfig {
    /// Number of shares the unseal key is split into, 1 to 255.
    pub shares: u8,
    /// Number of shares needed to unseal, 1 to `shares`.
    pub threshold: u8,
}

impl SealConfig {
    /// Checks the numbers. The error texts are those that clients expect.
    ///
    /// # Errors
    ///
    /// If a number is zero or above 255, the threshold exceeds the shares, or is 1 with several
    /// shares.
    pub fn new(shares: u64, threshold: u64) -> Result<Self, InvalidSeal> {
        let fits = |n: u64| u8::try_from(n).map_err(|_| InvalidSeal::TooMany);
        let (shares, threshold) = (fits(shares)?, fits(threshold)?);
        match (shares, threshold) {
            (0, _) => Err(InvalidSeal::NoShares),
            (_, 0) => Err(InvalidSeal::NoThreshold),
            (s, t) if t > s => Err(InvalidSeal::ThresholdAboveShares),
            (s, 1) if s > 1 => Err(InvalidSeal::ThresholdOfOne),
            _ => Ok(Self { shares, threshold }),
        }
    }

    /// Loads the configuration the store was initialised with; `None` if it isn't initialised.
    ///
    /// # Errors
    ///
    /// [`Error::Tampered`] if the stored configuration is invalid, or the error of the store.
    pub async fn load(physical: &dyn Physical) -> Result<Option<Self>, Error> {
        let Some(stored) = physical.get(SEAL_CONFIG_KEY).await? else { return Ok(None) };
        let config: Self = serde_json::from_slice(&stored.value)
            .map_err(|_| tampered_error(SEAL_CONFIG_KEY, "not a seal configuration"))?;
        match Self::new(config.shares.into(), config.threshold.into()) {
            Ok(config) => Ok(Some(config)),
            Err(_) => Err(tampered_error(SEAL_CONFIG_KEY, "impossible numbers of shares")),
        }
    }
}

/// Why the numbers of shares are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSeal {
    /// The number of shares is zero, so nobody could unseal.
    #[error("invalid seal configuration: shares must be at least one")]
    NoShares,
    /// The threshold is zero, so no share would be needed.
    #[error("invalid seal configuration: threshold must be at least one")]
    NoThreshold,
    /// The threshold is larger than the number of shares.
    #[error("invalid seal configuration: threshold cannot be larger than shares")]
    ThresholdAboveShares,
    /// There are several shares and each would unseal the server alone.
    #[error("invalid seal configuration: threshold must be greater than one for multiple shares")]
    ThresholdOfOne,
    /// A number is above 255.
    #[error("invalid seal configuration: shares must be less than 256")]
    TooMany,
}

/// A barrier whose keys exist in memory only. Add the first entries through
/// [`BarrierInitialisation::barrier`], then call [`BarrierInitialisation::commit`], which writes
/// everything in one batch.
pub struct BarrierInitialisation {
    barrier: Barrier,
    root_key_record: PhysicalChange,
    config: SealConfig,
    shares: Vec<Secret<Vec<u8>>>,
}

impl BarrierInitialisation {
    /// Generates the root key, the unseal key and its shares, and the first key of the key ring.
    /// Writes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Tampered`] if a key can't be constructed or split.
    pub fn generate(options: BarrierOptions, config: SealConfig) -> Result<Self, Error> {
        let entropy = options.entropy.clone();
        let root = AeadKey::generate_material(&*entropy);
        let unseal = AeadKey::generate_material(&*entropy);
        let broken = || tampered_error(ROOT_KEY_KEY, "a key could not be made");
        let root_key = AeadKey::new(root.expose_secret()).ok_or_else(broken)?;
        let unseal_key = AeadKey::new(unseal.expose_secret()).ok_or_else(broken)?;
        let wrapped = record::encrypt(
            &unseal_key,
            ROOT_TERM,
            ROOT_KEY_KEY,
            root.expose_secret(),
            false,
            &*entropy,
        )?;
        let ring = KeyRing::generate(&*entropy, options.clock.now()).ok_or_else(broken)?;
        Ok(Self {
            barrier: Barrier::with_new_ring(options, root_key, ring),
            root_key_record: PhysicalChange::Put { key: ROOT_KEY_KEY.to_owned(), value: wrapped },
            config,
            shares: split_unseal_key(unseal, config, &*entropy).map_err(|_| broken())?,
        })
    }

    /// The new barrier, to build the first batch with. It is not stored before
    /// [`BarrierInitialisation::commit`].
    pub fn barrier(&self) -> &Barrier {
        &self.barrier
    }

    /// Writes the seal records, the key ring and the first entries in one batch, on condition that
    /// the store isn't initialised yet. Returns the key shares, of which no other copy exists.
    ///
    /// # Errors
    ///
    /// A failed precondition if the store is initialised already, an error of [`Barrier::commit`]
    /// if the batch can't be encrypted, or the error of the store. After
    /// [`strongroom_storage::Error::Io`] the store may be initialised all the same, and its key
    /// shares are then lost.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the store may be initialised all the same, and its key shares are
    /// then lost.
    pub async fn commit(self, first: Batch) -> Result<Vec<Secret<Vec<u8>>>, Error> {
        let config = serde_json::to_vec(&self.config).unwrap_or_default();
        let config = PhysicalChange::Put { key: SEAL_CONFIG_KEY.to_owned(), value: config.into() };
        let untouched = Precondition::Absent(SEAL_CONFIG_KEY.to_owned());
        self.barrier.commit_initial(first, vec![config, self.root_key_record], untouched).await?;
        self.barrier.close();
        Ok(self.shares)
    }
}

impl fmt::Debug for BarrierInitialisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierInitialisation")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

fn split_unseal_key(
    unseal: Secret<Vec<u8>>,
    config: SealConfig,
    entropy: &dyn Entropy,
) -> Result<Vec<Secret<Vec<u8>>>, shamir::ShamirError> {
    if config.shares == 1 {
        return Ok(vec![unseal]);
    }
    shamir::split(&unseal, config.shares, config.threshold, entropy)
}

/// An attempt to unseal: collects key shares until the threshold is reached.
pub struct UnsealAttempt {
    config: SealConfig,
    nonce: String,
    shares: Vec<Secret<Vec<u8>>>,
}

/// The key shares don't decrypt the root key. At least one of them is wrong, or the stored root key
/// was damaged; which it is can't be determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key: failed to decrypt keys from storage: message authentication failed")]
pub struct WrongShares;

impl UnsealAttempt {
    /// An attempt without any shares.
    pub fn new(config: SealConfig) -> Self {
        Self { config, nonce: String::new(), shares: Vec::new() }
    }

    /// Number of distinct shares added so far.
    pub fn progress(&self) -> usize {
        self.shares.len()
    }

    /// A UUID that identifies this attempt; empty before its first share. [`UnsealAttempt::reset`]
    /// clears it, so the next attempt gets another.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Discards the shares added so far and the nonce. The attempt can be used again, and starts
    /// with no shares.
    pub fn reset(&mut self) {
        self.shares.clear();
        self.nonce.clear();
    }

    /// Adds a share; a repeated one is ignored. When the threshold is reached, returns all shares
    /// and starts over; `None` before that.
    pub fn add_share(
        &mut self,
        share: Secret<Vec<u8>>,
        entropy: &dyn Entropy,
    ) -> Option<KeyShares> {
        if self.nonce.is_empty() {
            self.nonce = entropy.uuid();
        }
        if !self.shares.iter().any(|known| known.ct_eq(share.expose_secret())) {
            self.shares.push(share);
        }
        if self.shares.len() < usize::from(self.config.threshold) {
            return None;
        }
        self.nonce.clear();
        Some(KeyShares(std::mem::take(&mut self.shares)))
    }
}

impl fmt::Debug for UnsealAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnsealAttempt({} of {})", self.shares.len(), self.config.threshold)
    }
}

/// Enough key shares to try to unseal with; they may still be wrong.
pub struct KeyShares(Vec<Secret<Vec<u8>>>);

impl KeyShares {
    /// Recovers the unseal key and decrypts the root key; [`WrongShares`] if the shares are wrong.
    /// Reads one record and changes nothing, so it is safe for unauthenticated callers.
    ///
    /// # Errors
    ///
    /// [`Error::Tampered`] if the root key record is missing or contains no valid key, or the error
    /// of the store. A damaged record doesn't decrypt, and so gives [`WrongShares`].
    pub async fn root_key(
        self,
        physical: &dyn Physical,
    ) -> Result<Result<RootKey, WrongShares>, Error> {
        let stored = physical.get(ROOT_KEY_KEY).await?;
        let stored =
            stored.ok_or_else(|| tampered_error(ROOT_KEY_KEY, "the root key is missing"))?;
        let Some(unseal_key) = self.unseal_key() else { return Ok(Err(WrongShares)) };
        let Ok(root) = record::decrypt(&unseal_key, ROOT_KEY_KEY, &stored.value) else {
            return Ok(Err(WrongShares));
        };
        let root_key = AeadKey::new(&root.value)
            .ok_or_else(|| tampered_error(ROOT_KEY_KEY, "the root key has the wrong length"))?;
        Ok(Ok(RootKey(root_key)))
    }

    /// Decrypts the root key and opens the barrier: `Ok(Err(WrongShares))` if the shares are wrong.
    ///
    /// # Errors
    ///
    /// As [`KeyShares::root_key`] and [`RootKey::open_barrier`].
    pub async fn open_barrier(
        self,
        options: BarrierOptions,
    ) -> Result<Result<Barrier, WrongShares>, Error> {
        match self.root_key(&*options.physical).await? {
            Ok(root_key) => root_key.open_barrier(options).await.map(Ok),
            Err(wrong) => Ok(Err(wrong)),
        }
    }

    fn unseal_key(&self) -> Option<AeadKey> {
        match self.0.as_slice() {
            [only] => AeadKey::new(only.expose_secret()),
            several => AeadKey::new(shamir::combine(several).ok()?.expose_secret()),
        }
    }
}

impl fmt::Debug for KeyShares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyShares({})", self.0.len())
    }
}

/// The decrypted root key of a store, which opens its barrier. Its `Debug` output does not show the
/// key.
pub struct RootKey(AeadKey);

impl RootKey {
    /// Loads the key ring and opens the barrier, reserving encryptions on the ring.
    ///
    /// # Errors
    ///
    /// [`Error::Tampered`] if the key ring is missing or can't be decrypted; otherwise as
    /// [`Barrier::rotate_key`], because the changed ring is stored.
    pub async fn open_barrier(self, options: BarrierOptions) -> Result<Barrier, Error> {
        Barrier::open(options, self.0).await
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey")
    }
}

fn tampered_error(key: &str, reason: &'static str) -> Error {
    Error::Tampered { key: key.to_owned(), reason }
}
