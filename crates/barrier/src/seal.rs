//! The seal: how the root key is protected while the server is down.
//!
//! ```text
//! key shares ──combine──► unseal key ──opens──► root key ──opens──► key ring ──opens──► entries
//! ```
//!
//! Two records stand outside the barrier: `core/seal-config`, plain JSON with the numbers of
//! shares, and `core/root-key`, the root key encrypted under the unseal key. The unseal key itself
//! is nowhere: it is made at initialisation, split, handed out and wiped.

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

/// Into how many shares the unseal key is split, and how many open the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealConfig {
    /// Shares handed out, 1 to 255.
    pub shares: u8,
    /// Shares needed.
    pub threshold: u8,
}

impl SealConfig {
    /// Checks the numbers. The texts are those clients know.
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

    /// What the store was initialised with; `None` when it wasn't.
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

/// Why numbers of shares are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSeal {
    /// Zero shares.
    #[error("invalid seal configuration: shares must be at least one")]
    NoShares,
    /// Zero threshold.
    #[error("invalid seal configuration: threshold must be at least one")]
    NoThreshold,
    /// More needed than there are.
    #[error("invalid seal configuration: threshold cannot be larger than shares")]
    ThresholdAboveShares,
    /// Several shares of which each opens alone.
    #[error("invalid seal configuration: threshold must be greater than one for multiple shares")]
    ThresholdOfOne,
    /// Over 255.
    #[error("invalid seal configuration: shares must be less than 256")]
    TooMany,
}

/// A barrier whose keys exist in memory only. Build the first entries over [`BarrierInitialisation::barrier`],
/// then [`BarrierInitialisation::commit`]: everything appears on disk in one batch, or nothing does.
pub struct BarrierInitialisation {
    barrier: Barrier,
    root_key_record: PhysicalChange,
    config: SealConfig,
    shares: Vec<Secret<Vec<u8>>>,
}

impl BarrierInitialisation {
    /// Makes all keys.
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

    /// The barrier to be.
    pub fn barrier(&self) -> &Barrier {
        &self.barrier
    }

    /// Writes seal, key ring and the first entries at once, on condition that the store isn't
    /// initialised yet. Gives the key shares: the only copy there will ever be.
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

/// An attempt to unseal: collects key shares until there are enough.
pub struct UnsealAttempt {
    config: SealConfig,
    nonce: String,
    shares: Vec<Secret<Vec<u8>>>,
}

/// The shares given don't open the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key: failed to decrypt keys from storage: message authentication failed")]
pub struct WrongShares;

impl UnsealAttempt {
    /// Nothing given yet.
    pub fn new(config: SealConfig) -> Self {
        Self { config, nonce: String::new(), shares: Vec::new() }
    }

    /// How many shares were given.
    pub fn progress(&self) -> usize {
        self.shares.len()
    }

    /// Names this attempt; empty before its first share.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Forgets the shares given.
    pub fn reset(&mut self) {
        self.shares.clear();
        self.nonce.clear();
    }

    /// Adds a share; one that was given already changes nothing. Once there are enough, gives them
    /// all and starts anew.
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

/// Enough shares to try the seal with.
pub struct KeyShares(Vec<Secret<Vec<u8>>>);

impl KeyShares {
    /// Opens the root key with them; [`WrongShares`] when they are not the right ones. Reads one
    /// record and changes nothing, so anybody may try.
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

    /// Opens the barrier: `Ok(Err(WrongShares))` when the shares are not the right ones.
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

/// The root key of a store, which opens its barrier.
pub struct RootKey(AeadKey);

impl RootKey {
    /// Opens the barrier.
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
