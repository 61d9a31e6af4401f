//! [`UnsealedCore`]: everything that exists only while the keys are in memory. Sealing drops it, so
//! nothing in it checks whether the server is sealed.

pub(crate) mod backend;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Barrier, Batch};
use strongroom_lease::{ExpirationManager, LeaseStore};
use strongroom_policy::{PasswordPolicies, PolicyStore};
use strongroom_sdk::engine::{ClusterInfo, EngineError, MountLifetimes};
use strongroom_telemetry::{MetricsExporter, names};
use strongroom_token::{TokenRoleStore, TokenStore};
use strongroom_types::{Clock, MountUuid, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::backend::{Backends, BuiltInMount};
use crate::cubbyhole::CubbyholeStore;
use crate::error::Error;
use crate::leases::revoker::LeaseRevoker;
use crate::leases::token_revoker::TokenRevoker;
use crate::mounts::entry::{MountClass, MountConfig, MountEntry};
use crate::mounts::handle::Blocked;
use crate::mounts::loader::EngineLoader;
use crate::mounts::system_view::ServerInfo;
use crate::mounts::{ActiveMount, MountBackend, MountRegistry};
use crate::plugins::{PluginCatalogStore, RunningPlugin};
use crate::refusal_log::RefusalLog;
use crate::settings::{CoreDependencies, Settings};
use crate::unmount::Unmount;

/// The state of an unsealed server. Created by an unseal, dropped by a seal.
#[derive(Debug)]
pub struct UnsealedCore {
    /// The barrier, through which all storage is encrypted.
    pub(crate) barrier: Barrier,
    /// The stores of policies, tokens, leases and cubbyholes.
    pub(crate) stores: CoreStores,
    /// Revokes leases when they expire.
    pub(crate) expiration: ExpirationManager,
    /// Revokes tokens together with their children and leases.
    pub(crate) token_revoker: TokenRevoker,
    /// Calls engines to revoke credentials, for the expiration manager; also used to renew.
    pub(crate) lease_revoker: Arc<LeaseRevoker>,
    /// The mount table and the operations that change it.
    pub(crate) mounts: MountRegistry,
    /// The cluster's name and id, the default lifetimes and the server's version.
    pub(crate) server_info: ServerInfo,
    pub(crate) settings: Settings,
    /// Finds the backend of a mount.
    pub(crate) backends: Backends,
    pub(crate) exporter: MetricsExporter,
    /// The rate-limited log of refused requests.
    pub(crate) refusal_log: RefusalLog,
    /// Whether a seal was requested or has started.
    seal_state: watch::Sender<SealState>,
    /// Running requests. They continue if the client disconnects, so that operations begun in
    /// outside systems are completed or undone.
    pub(crate) requests: TaskTracker,
    /// What a seal waits for: requests with a valid token, and work that outlives its request (see
    /// [`UnsealedCore::run_detached`]). Unauthenticated requests such as logins are not included,
    /// because anyone could keep them open and delay a seal.
    pub(crate) awaited_by_seal: TaskTracker,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Progress of a requested seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealState {
    /// No seal was requested.
    NotRequested,
    /// A seal was requested and has not started.
    Requested,
    /// The seal has started: new requests find the server sealed.
    Started,
}

/// The stores behind the server's own backends.
#[derive(Clone, Debug)]
pub(crate) struct CoreStores {
    pub(crate) policies: PolicyStore,
    pub(crate) password_policies: PasswordPolicies,
    pub(crate) tokens: TokenStore,
    pub(crate) roles: TokenRoleStore,
    pub(crate) leases: LeaseStore,
    pub(crate) cubbyholes: CubbyholeStore,
}

/// The stored name and id of the cluster.
#[derive(Serialize, Deserialize)]
struct ClusterRecord {
    v: u8,
    name: String,
    id: String,
}

pub(crate) const POLICY_VIEW: &str = "sys/policy/";
pub(crate) const TOKEN_VIEW: &str = "sys/token/";
const ROLE_VIEW: &str = "sys/token-role/";
const PASSWORD_VIEW: &str = "sys/password-policy/";
const LEASE_VIEW: &str = "sys/lease/";
pub(crate) const CUBBYHOLE_VIEW: &str = "sys/cubbyhole/";
const MOUNT_VIEW: &str = "core/mounts/";
const CATALOG_VIEW: &str = "core/plugin-catalog/";
const CORE_VIEW: &str = "core/";
const CLUSTER_KEY: &str = "cluster";
const LEASE_PAGE: usize = 256;
const REVOCATION_CONCURRENCY: usize = 16;
const PERIODIC_CONCURRENCY: usize = 16;
/// The timeout of one engine's periodic call.
const PERIODIC_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a seal waits for engines and tasks to close before it removes the keys anyway.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);
/// The interval at which leases are counted for the metrics.
const LEASE_COUNT_INTERVAL: Duration = Duration::from_secs(600);

/// Adds the cluster record to the batch that initialises a store. Without a name, one is generated.
pub(crate) fn prepare_cluster(barrier: &Barrier, batch: &mut Batch, name: Option<&str>) {
    let entropy = barrier.entropy();
    let generated = || format!("vault-cluster-{:08x}", entropy.next_u64() & 0xffff_ffff);
    let name = name.map_or_else(generated, str::to_owned);
    let record = ClusterRecord { v: 1, name, id: entropy.uuid() };
    barrier.view(CORE_VIEW).put_json(batch, CLUSTER_KEY, &record);
}

impl UnsealedCore {
    /// Loads the stores and mounts, then starts the engines and the background tasks.
    pub(crate) async fn open(
        barrier: Barrier,
        parts: &CoreDependencies,
        backends: Backends,
        settings: &Settings,
        refusals: RefusalLog,
    ) -> Result<Arc<Self>, Error> {
        let cluster: Option<ClusterRecord> = barrier.view(CORE_VIEW).get_json(CLUSTER_KEY).await?;
        let cluster = cluster.ok_or_else(|| Error::internal("the cluster's names are missing"))?;
        let server = ServerInfo {
            lifetimes: settings.lifetimes,
            cluster: ClusterInfo { name: cluster.name, id: cluster.id },
            version: settings.version.clone(),
        };
        let stores = CoreStores {
            policies: PolicyStore::load(barrier.view(POLICY_VIEW)).await?,
            password_policies: PasswordPolicies::new(barrier.view(PASSWORD_VIEW)),
            tokens: TokenStore::load(barrier.view(TOKEN_VIEW), settings.token_cache_bytes).await?,
            roles: TokenRoleStore::new(barrier.view(ROLE_VIEW)),
            leases: LeaseStore::new(barrier.view(LEASE_VIEW)),
            cubbyholes: CubbyholeStore::new(barrier.view(CUBBYHOLE_VIEW)),
        };
        let clock = barrier.clock().clone();
        let table = Arc::new(ArcSwap::default());
        let opener = EngineLoader {
            barrier: barrier.clone(),
            catalog: PluginCatalogStore::load(barrier.view(CATALOG_VIEW)).await?,
            plugin_launcher: parts.plugin_launcher.clone(),
            table: table.clone(),
            server_info: server.clone(),
            password_policies: stores.password_policies.clone(),
            document_cache_bytes: settings.document_cache_bytes,
        };
        let builtin = backends.builtin_mounts().iter();
        let builtin = builtin.map(|mount| builtin_mount(mount, &server, clock.now()));
        let builtin = builtin.collect::<Result<_, _>>()?;
        let mounts = MountRegistry::load(barrier.view(MOUNT_VIEW), opener, builtin).await?;
        let ending = Arc::new(LeaseRevoker::new(table, clock.clone(), parts.entropy.clone()));
        let expiration = ExpirationManager::new(
            stores.leases.clone(),
            ending.clone(),
            clock.clone(),
            settings.expiration,
        );
        let trees = TokenRevoker::new(
            stores.tokens.clone(),
            stores.leases.clone(),
            stores.cubbyholes.clone(),
            expiration.clone(),
            clock,
        );
        // The cell is new, so setting it cannot fail.
        let _ = ending.token_revoker.set(trees.downgrade());
        trees.resume_pending();
        let open = Arc::new(Self {
            barrier,
            stores,
            expiration,
            token_revoker: trees,
            lease_revoker: ending,
            mounts,
            server_info: server,
            settings: settings.clone(),
            backends,
            exporter: parts.exporter.clone(),
            refusal_log: refusals,
            seal_state: watch::Sender::new(SealState::NotRequested),
            requests: TaskTracker::new(),
            awaited_by_seal: TaskTracker::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        open.start_tasks();
        Ok(open)
    }

    /// The source of time, shared with the barrier.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.barrier.clock()
    }

    /// The default and maximum lifetime of tokens created through `auth/token/`: those of that
    /// mount, or the server's.
    pub(crate) fn token_lifetimes(&self) -> MountLifetimes {
        let table = self.mounts.table();
        let mounted = table.get(MountClass::Auth, "token/");
        mounted.map_or(self.server_info.lifetimes, |m| {
            m.entry.effective_lifetimes(self.server_info.lifetimes)
        })
    }

    /// The catalog of registered plug-ins.
    pub(crate) fn plugin_catalog(&self) -> &PluginCatalogStore {
        &self.mounts.engine_loader.catalog
    }

    /// Requests a seal and waits until it has started. Calling this again while a request is
    /// pending notifies the sealing task again.
    pub(crate) async fn request_seal(&self) {
        self.seal_state.send_if_modified(|now| {
            let asks = *now != SealState::Started;
            if asks {
                *now = SealState::Requested;
            }
            asks
        });
        let _ = self.seal_state.subscribe().wait_for(|now| *now == SealState::Started).await;
    }

    /// Waits until a seal is requested or has started. Returns `true` if it was requested and must
    /// still be performed, `false` if it has started already.
    pub(crate) async fn wait_for_seal_request(&self) -> bool {
        let mut sealing = self.seal_state.subscribe();
        let state = sealing.wait_for(|now| *now != SealState::NotRequested).await;
        state.is_ok_and(|state| *state == SealState::Requested)
    }

    /// Records that the seal has started; called after new requests began to find the server
    /// sealed.
    pub(crate) fn mark_seal_started(&self) {
        self.seal_state.send_replace(SealState::Started);
    }

    /// Removes a tainted mount: waits for its requests, revokes its leases, lets the engine undo
    /// pending intents, then deletes its storage and entry. If a lease cannot be revoked the
    /// removal stops and is retried later; the operator repairs the engine or removes the leases by
    /// force.
    pub(crate) async fn remove_mount(&self, entry: MountEntry) -> Result<(), Error> {
        let removal = Unmount { core: self, entry: &entry };
        removal.block_and_drain_requests(Blocked::Removing).await?;
        let ended = self.revoke_prefix(&entry.route()).await;
        ended.map_err(|error| removal.unrevoked_leases_error(error))?;
        removal.undo_pending_intents().await?;
        self.mounts.remove(entry).await
    }

    pub(crate) async fn revoke_prefix(&self, prefix: &str) -> Result<(), Error> {
        loop {
            let ids = self.stores.leases.ids_by_prefix(prefix, None, LEASE_PAGE).await?;
            if ids.is_empty() {
                return Ok(());
            }
            self.expiration.mark_all_for_revocation(&ids).await?;
            let attempts = futures_util::stream::iter(ids).map(|id| async move {
                self.expiration.revoke(&id).await?.map_err(|error| {
                    Error::internal(format!("failed to revoke {:?}: {error}", id.as_str()))
                })
            });
            let mut ended = attempts.buffer_unordered(REVOCATION_CONCURRENCY);
            while let Some(outcome) = ended.next().await {
                outcome?;
            }
        }
    }

    /// Removes all leases under a prefix, even those whose engine fails to revoke them.
    pub(crate) async fn revoke_force_prefix(&self, prefix: &str) -> Result<(), Error> {
        loop {
            let ids = self.stores.leases.ids_by_prefix(prefix, None, LEASE_PAGE).await?;
            if ids.is_empty() {
                return Ok(());
            }
            for id in &ids {
                if let Err(error) = self.expiration.revoke_force(id).await? {
                    tracing::warn!(lease = %id, %error, "a lease was removed by force; its credential may still be valid");
                }
            }
        }
    }

    /// Runs work in the background after the response, until it ends or the server is sealed.
    pub(crate) fn spawn_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// Stops the tasks, closes the engines and then removes the keys from memory, after at most 20
    /// seconds. The keys are removed also if this is dropped or panics.
    pub(crate) async fn close(&self) {
        let _keys = self.clear_keys_on_drop();
        self.stop.cancel();
        self.tasks.close();
        let orderly = async {
            self.tasks.wait().await;
            self.mounts.close_all().await;
        };
        let clock = self.clock();
        tokio::select! {
            () = orderly => {}
            () = clock.sleep(CLOSE_TIMEOUT) => {
                tracing::warn!("engines did not close in time; the keys are removed anyway");
            }
        }
    }

    /// Returns a guard that removes keys, tokens and mounts from memory when dropped.
    pub(crate) fn clear_keys_on_drop(&self) -> ClearKeysOnDrop<'_> {
        ClearKeysOnDrop(self)
    }

    /// Removes keys, tokens and mounts from memory at once, even if other references to this exist.
    fn clear_keys(&self) {
        self.stop.cancel();
        self.barrier.close();
        self.stores.tokens.close();
        self.mounts.drop_engines();
        metrics::gauge!(names::UNSEALED).set(0.0);
    }

    fn start_tasks(self: &Arc<Self>) {
        metrics::gauge!(names::UNSEALED).set(1.0);
        let (expiration, stop) = (self.expiration.clone(), self.stop.clone());
        self.tasks.spawn(async move { expiration.run(stop).await });
        let (trees, stop) = (self.token_revoker.clone(), self.stop.clone());
        self.tasks.spawn(async move { trees.run(stop).await });
        let (barrier, stop) = (self.barrier.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(barrier.maintain_key_ring()).await;
        });
        let (open, stop) = (self.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(open.run_periodic_calls()).await;
        });
        let (mounts, stop) = (self.mounts.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(mounts.retry_failed_starts()).await;
        });
        let (open, stop) = (self.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(open.report_lease_counts()).await;
        });
        let (open, stop) = (self.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(open.resume_unmounts()).await;
        });
        let (open, stop) = (self.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(open.run_remounts()).await;
        });
    }

    /// Makes the engines' periodic calls, requests another start of engines that are not running,
    /// and updates gauges.
    async fn run_periodic_calls(&self) {
        loop {
            self.clock().sleep(self.settings.periodic_interval).await;
            let table = self.mounts.table();
            let all: Vec<_> = table.all_mounts().cloned().collect();
            let calls = futures_util::stream::iter(all).map(|mounted| async move {
                // Acquired like a request, so that a reload waits for the call; skipped if no
                // engine is running.
                let engine =
                    mounted.engine_handle().filter(|engine| engine.current_instance().is_some())?;
                let visit = engine.acquire_for_revocation().await.ok()?;
                // Without a timeout, an engine that hangs would delay the next calls of the others
                // and block the removal of its own mount.
                let error = tokio::select! {
                    outcome = visit.engine.periodic() => outcome.err()?,
                    () = self.clock().sleep(PERIODIC_TIMEOUT) => {
                        EngineError::internal("it did not end in time")
                    }
                };
                let mount = &mounted.info.path;
                tracing::warn!(mount, %error, "an engine's periodic work failed");
                Some(())
            });
            // Run concurrently, so that a slow engine does not delay the others.
            calls.buffer_unordered(PERIODIC_CONCURRENCY).for_each(|_| async {}).await;
            self.mounts.start_requested.notify_one();
            metrics::gauge!(names::TOKEN_REVOKING)
                .set(gauge_value(self.stores.tokens.marked_count()));
            let mounts = |class| gauge_value(table.mounts_of_class(class).len());
            metrics::gauge!(names::MOUNTS, "type" => "logical").set(mounts(MountClass::Secret));
            metrics::gauge!(names::MOUNTS, "type" => "auth").set(mounts(MountClass::Auth));
        }
    }

    /// Counts leases periodically for the metrics. The lease store keeps no running count, because
    /// every write would have to update it.
    async fn report_lease_counts(&self) {
        const PAGE: usize = 1000;
        loop {
            let mut total = 0;
            let mut after = None;
            while let Ok(ids) = self.stores.leases.ids_by_prefix("", after.as_ref(), PAGE).await {
                total += ids.len();
                after = ids.last().cloned();
                if ids.len() < PAGE {
                    metrics::gauge!(names::LEASE_COUNT).set(gauge_value(total));
                    break;
                }
                tokio::task::yield_now().await;
            }
            if let Ok(ids) = self.stores.leases.irrevocable_ids(None, PAGE).await {
                metrics::gauge!(names::LEASES_IRREVOCABLE).set(gauge_value(ids.len()));
            }
            self.clock().sleep(LEASE_COUNT_INTERVAL).await;
        }
    }

    /// Resumes mount removals that were begun and not finished, before or after the last restart.
    async fn resume_unmounts(&self) {
        loop {
            let table = self.mounts.table();
            for mounted in table.all_mounts().filter(|mounted| mounted.entry.tainted) {
                if let Err(error) = self.remove_mount(mounted.entry.clone()).await {
                    let mount = &mounted.info.path;
                    tracing::warn!(mount, %error, "the removal of a mount could not be completed; it will be retried");
                }
            }
            self.clock().sleep(self.settings.periodic_interval).await;
        }
    }
}

/// Removes the keys from memory when dropped.
#[must_use]
pub(crate) struct ClearKeysOnDrop<'a>(&'a UnsealedCore);

impl Drop for ClearKeysOnDrop<'_> {
    fn drop(&mut self) {
        self.0.clear_keys();
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts stay far below 2^52")]
fn gauge_value(n: usize) -> f64 {
    n as f64
}

/// A built-in mount for the mount table. It is not stored; its UUID and accessor are derived from
/// the cluster's id, so they stay the same across restarts.
fn builtin_mount(
    mount: &BuiltInMount,
    server: &ServerInfo,
    created: Timestamp,
) -> Result<Arc<ActiveMount>, Error> {
    let BuiltInMount { class, path, mount_type, .. } = *mount;
    let named = format!("{}/{path}", server.cluster.id);
    let hex = data_encoding::HEXLOWER.encode(&strongroom_crypto::digest::sha256(named.as_bytes()));
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let uuid = format!(
        "{}-{}-4{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    );
    let prefix = if class == MountClass::Auth { "auth_" } else { "" };
    let headers = mount.passthrough_request_headers.iter().map(|name| (*name).to_owned());
    let entry = MountEntry {
        v: 1,
        class,
        path: path.to_owned(),
        mount_type: mount_type.to_owned(),
        description: mount.description.to_owned(),
        uuid: MountUuid::parse(&uuid).map_err(|e| Error::internal(e.to_string()))?,
        accessor: format!("{prefix}{mount_type}_{}", part(32, 40)),
        local: mount.local,
        seal_wrap: mount.seal_wrap,
        options: None,
        config: MountConfig {
            passthrough_request_headers: headers.collect(),
            ..MountConfig::default()
        },
        plugin_version: String::new(),
        running: Some(RunningPlugin {
            version: format!("v{}+builtin", server.version),
            plugin: None,
        }),
        tainted: false,
        moved: None,
        created,
    };
    Ok(ActiveMount::new(entry, MountBackend::BuiltIn))
}
