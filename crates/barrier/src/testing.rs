//! An open barrier for the tests of crates built on it.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by ending the test")]

use std::sync::Arc;

use strongroom_crypto::SystemEntropy;
use strongroom_storage::Physical;
use strongroom_types::Clock;

use crate::seal::BarrierInitialisation;
use crate::{Barrier, BarrierOptions, Batch, SealConfig, UnsealAttempt};

/// Initialises the store with a single key share, adds to the first batch whatever `prepare` does,
/// and opens the barrier.
pub async fn open_barrier(
    physical: Arc<dyn Physical>,
    clock: Arc<dyn Clock>,
    prepare: impl FnOnce(&Barrier, &mut Batch),
) -> Barrier {
    let options =
        BarrierOptions { physical, entropy: Arc::new(SystemEntropy), clock, cache_bytes: 1 << 20 };
    let config = SealConfig::new(1, 1).unwrap();
    let initialisation = BarrierInitialisation::generate(options.clone(), config).unwrap();
    let mut batch = Batch::new();
    prepare(initialisation.barrier(), &mut batch);
    let share = initialisation.commit(batch).await.unwrap().pop().unwrap();
    let shares = UnsealAttempt::new(config).add_share(share, &SystemEntropy).unwrap();
    shares.open_barrier(options).await.unwrap().unwrap()
}
