//! Initialisation: keys, default policy, root token and cluster name, in one batch. Either
//! everything is on disk and the operator receives the key shares, or nothing has changed.

use strongroom_barrier::seal::BarrierInitialisation;
use strongroom_barrier::{Batch, SealConfig};
use strongroom_policy::PolicyStore;
use strongroom_token::{NewToken, TokenStore};
use strongroom_types::Secret;

use crate::cluster::prepare_cluster;
use crate::error::Error;
use crate::settings::{CoreDependencies, Settings};
use crate::storage_views as views;

/// The result of an initialisation, returned to the operator once and never stored in this form.
pub struct InitResult {
    /// The key shares, `secret_shares` of them; `secret_threshold` unseal the server.
    pub shares: Vec<Secret<Vec<u8>>>,
    /// The id of the root token, which does not expire and has the `root` policy.
    pub root_token: Secret<String>,
}

/// Initialises an uninitialised store. `root_token` is a chosen token id, used by `-dev` only.
pub(crate) async fn initialise_storage(
    parts: &CoreDependencies,
    settings: &Settings,
    config: SealConfig,
    root_token: Option<Secret<String>>,
) -> Result<InitResult, Error> {
    if SealConfig::load(&*parts.physical).await?.is_some() {
        return Err(already_initialised_error());
    }
    let options = barrier_options(parts, settings);
    let initialisation = BarrierInitialisation::generate(options, config)?;
    let barrier = initialisation.barrier();
    let mut batch = Batch::new();
    PolicyStore::add_initial_policies(&barrier.view(views::POLICIES), &mut batch);
    prepare_cluster(barrier, &mut batch, settings.cluster_name.as_deref());
    let tokens = TokenStore::initialise(barrier.view(views::TOKENS), &mut batch);
    let root = NewToken::root(root_token);
    let root = tokens.create(&mut batch, root, parts.clock.now());
    match initialisation.commit(batch).await {
        Ok(shares) => Ok(InitResult { shares, root_token: root.id }),
        Err(error) if error.is_precondition() => Err(already_initialised_error()),
        Err(error) => Err(error.into()),
    }
}

/// The reference server's message; clients match on it.
pub(crate) fn already_initialised_error() -> Error {
    Error::invalid("Vault is already initialized")
}

pub(crate) fn barrier_options(
    parts: &CoreDependencies,
    settings: &Settings,
) -> strongroom_barrier::BarrierOptions {
    strongroom_barrier::BarrierOptions {
        physical: parts.physical.clone(),
        entropy: parts.entropy.clone(),
        clock: parts.clock.clone(),
        cache_bytes: settings.cache_bytes,
    }
}
