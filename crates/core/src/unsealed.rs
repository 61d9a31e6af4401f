//! [`UnsealedCore`]: all that exists only while the keys are in memory. Sealing drops it, so nothing in
//! here asks whether the server is sealed.

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

/// An open server.
#[derive(Debug)]
pub struct UnsealedCore {
    /// What everything is encrypted with.
    pub(crate) barrier: Barrier,
    /// Policies, tokens, leases and cubbyholes.
    pub(crate) stores: CoreStores,
    /// Who ends leases.
    pub(crate) expiration: ExpirationManager,
    /// Who revokes trees of tokens.
    pub(crate) token_revoker: TokenRevoker,
    /// The keeper's hands, also used to renew.
    pub(crate) lease_revoker: Arc<LeaseRevoker>,
    /// Which engine answers where.
    pub(crate) mounts: MountRegistry,
    /// Names, lifetimes and version.
    pub(crate) server_info: ServerInfo,
    pub(crate) settings: Settings,
    pub(crate) exporter: MetricsExporter,
    /// What is logged of refusals.
    pub(crate) refusal_log: RefusalLog,
    /// Set when somebody asked for the seal, and when it has begun.
    seal_state: watch::Sender<SealState>,
    /// Requests being answered. They run to their end even when the client has gone: what was
    /// begun outside is finished or undone.
    pub(crate) requests: TaskTracker,
    /// What a seal waits for: requests with a valid token, and the work that outlives a request (see
    /// [`UnsealedCore::run_detached`]). What anybody can send and let hang, as logins are, must not hold up
    /// a seal.
    pub(crate) awaited_by_seal: TaskTracker,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// How far a seal is that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealState {
    /// Nobody asked.
    NotRequested,
    /// Somebody asked.
    Requested,
    /// New requests find the server sealed.
    Started,
}

/// One store for each idea.
#[derive(Clone, Debug)]
pub(crate) struct CoreStores {
    pub(crate) policies: PolicyStore,
    pub(crate) password_policies: PasswordPolicies,
    pub(crate) tokens: TokenStore,
    pub(crate) roles: TokenRoleStore,
    pub(crate) leases: LeaseStore,
    pub(crate) cubbyholes: CubbyholeStore,
}

/// What is stored of the cluster's names.
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
/// How long one engine's periodic call may take.
const PERIODIC_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a seal waits for engines and tasks before it takes the keys away.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often leases are counted for the metrics.
const LEASE_COUNT_INTERVAL: Duration = Duration::from_secs(600);

/// Adds the cluster's names to the batch that initialises a server.
pub(crate) fn prepare_cluster(barrier: &Barrier, batch: &mut Batch, name: Option<&str>) {
    let entropy = barrier.entropy();
    let generated = || format!("vault-cluster-{:08x}", entropy.next_u64() & 0xffff_ffff);
    let name = name.map_or_else(generated, str::to_owned);
    let record = ClusterRecord { v: 1, name, id: entropy.uuid() };
    barrier.view(CORE_VIEW).put_json(batch, CLUSTER_KEY, &record);
}

impl UnsealedCore {
    /// Loads everything that belongs in memory, starts the engines and the tasks.
    pub(crate) async fn open(
        barrier: Barrier,
        parts: &CoreDependencies,
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
        let system = system_mounts(&server, clock.now())?;
        let mounts = MountRegistry::load(barrier.view(MOUNT_VIEW), opener, system).await?;
        let ending = Arc::new(LeaseRevoker::new(table, clock.clone(), parts.entropy.clone()));
        let keeper = ExpirationManager::new(
            stores.leases.clone(),
            ending.clone(),
            clock.clone(),
            settings.expiration,
        );
        let trees = TokenRevoker::new(
            stores.tokens.clone(),
            stores.leases.clone(),
            stores.cubbyholes.clone(),
            keeper.clone(),
            clock,
        );
        // Fresh, so this can't fail.
        let _ = ending.token_revoker.set(trees.downgrade());
        trees.resume_pending();
        let open = Arc::new(Self {
            barrier,
            stores,
            expiration: keeper,
            token_revoker: trees,
            lease_revoker: ending,
            mounts,
            server_info: server,
            settings: settings.clone(),
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

    /// The time.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.barrier.clock()
    }

    /// Lifetimes of tokens that no auth method but the server's own stands behind.
    pub(crate) fn token_lifetimes(&self) -> MountLifetimes {
        let table = self.mounts.table();
        let mounted = table.get(MountClass::Auth, "token/");
        mounted.map_or(self.server_info.lifetimes, |m| {
            m.entry.effective_lifetimes(self.server_info.lifetimes)
        })
    }

    /// The registered plug-ins.
    pub(crate) fn plugin_catalog(&self) -> &PluginCatalogStore {
        &self.mounts.engine_loader.catalog
    }

    /// Asks for the seal, and waits until it has begun. Whoever asks again is heard again.
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

    /// Resolves once somebody asked for the seal, or it has begun without that. Whether it is yet
    /// to be made.
    pub(crate) async fn wait_for_seal_request(&self) -> bool {
        let mut sealing = self.seal_state.subscribe();
        let state = sealing.wait_for(|now| *now != SealState::NotRequested).await;
        state.is_ok_and(|state| *state == SealState::Requested)
    }

    /// New requests find the server sealed from now on.
    pub(crate) fn mark_seal_started(&self) {
        self.seal_state.send_replace(SealState::Started);
    }

    /// Ends all leases of a tainted mount, then removes it. A lease that can't be ended stops the
    /// removal: the operator mends the engine, or forces the leases away.
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

    /// Ends all leases under a prefix, whatever their engines say.
    pub(crate) async fn revoke_force_prefix(&self, prefix: &str) -> Result<(), Error> {
        loop {
            let ids = self.stores.leases.ids_by_prefix(prefix, None, LEASE_PAGE).await?;
            if ids.is_empty() {
                return Ok(());
            }
            for id in &ids {
                if let Err(error) = self.expiration.revoke_force(id).await? {
                    tracing::warn!(lease = %id, %error, "a lease was forced away; what it stood for may live on");
                }
            }
        }
    }

    /// Does some work after the answer, until its end or the seal.
    pub(crate) fn spawn_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// Ends everything: tasks first, then engines, then the keys. The keys go however this ends:
    /// also when it is dropped, or something in it panics.
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
                tracing::warn!("engines did not end in time; the keys are taken away from them");
            }
        }
    }

    /// Takes keys, tokens and mounts out of memory when what this gives is dropped.
    pub(crate) fn clear_keys_on_drop(&self) -> ClearKeysOnDrop<'_> {
        ClearKeysOnDrop(self)
    }

    /// Takes keys, tokens and mounts out of memory at once, whoever still holds this.
    fn clear_keys(&self) {
        self.stop.cancel();
        self.barrier.close();
        self.stores.tokens.close();
        self.mounts.drop_engines();
        metrics::gauge!(names::UNSEALED).set(0.0);
    }

    fn start_tasks(self: &Arc<Self>) {
        metrics::gauge!(names::UNSEALED).set(1.0);
        let (keeper, stop) = (self.expiration.clone(), self.stop.clone());
        self.tasks.spawn(async move { keeper.run(stop).await });
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

    /// Gives engines their periodic call, and those that could not be started another chance.
    async fn run_periodic_calls(&self) {
        loop {
            self.clock().sleep(self.settings.periodic_interval).await;
            let table = self.mounts.table();
            let all: Vec<_> = table.all_mounts().cloned().collect();
            let calls = futures_util::stream::iter(all).map(|mounted| async move {
                // A visit like any other, so that a reload waits for it; none where no engine is.
                let engine =
                    mounted.engine_handle().filter(|engine| engine.current_instance().is_some())?;
                let visit = engine.acquire_for_revocation().await.ok()?;
                // Else one that hangs would keep the others from their next call, and its mount from
                // ever being removed.
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
            // A slow one doesn't hold up the others.
            calls.buffer_unordered(PERIODIC_CONCURRENCY).for_each(|_| async {}).await;
            self.mounts.start_requested.notify_one();
            metrics::gauge!(names::TOKEN_REVOKING)
                .set(gauge_value(self.stores.tokens.marked_count()));
            let mounts = |class| gauge_value(table.mounts_of_class(class).len());
            metrics::gauge!(names::MOUNTS, "type" => "logical").set(mounts(MountClass::Secret));
            metrics::gauge!(names::MOUNTS, "type" => "auth").set(mounts(MountClass::Auth));
        }
    }

    /// Counts leases now and then: the table keeps no count that every write would have to touch.
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

    /// Takes up removals of mounts that were begun and not finished, in this life of the server or
    /// an earlier one.
    async fn resume_unmounts(&self) {
        loop {
            let table = self.mounts.table();
            for mounted in table.all_mounts().filter(|mounted| mounted.entry.tainted) {
                if let Err(error) = self.remove_mount(mounted.entry.clone()).await {
                    let mount = &mounted.info.path;
                    tracing::warn!(mount, %error, "a removal that was begun could not be finished");
                }
            }
            self.clock().sleep(self.settings.periodic_interval).await;
        }
    }
}

/// Takes the keys out of memory when dropped.
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

/// The mounts every server has. They are not stored; their UUIDs and accessors follow from the
/// cluster's id, so they stay the same.
fn system_mounts(server: &ServerInfo, created: Timestamp) -> Result<Vec<Arc<ActiveMount>>, Error> {
    let cluster = &server.cluster.id;
    let mount = |class, path: &str, mount_type: &str, description: &str, backend| {
        let digest = strongroom_crypto::digest::sha256(format!("{cluster}/{path}").as_bytes());
        let hex = data_encoding::HEXLOWER.encode(&digest);
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
        let entry = MountEntry {
            v: 1,
            class,
            path: path.to_owned(),
            mount_type: mount_type.to_owned(),
            description: description.to_owned(),
            uuid: MountUuid::parse(&uuid).map_err(|e| Error::internal(e.to_string()))?,
            accessor: format!("{prefix}{mount_type}_{}", part(32, 40)),
            local: matches!(backend, MountBackend::Cubbyhole),
            // As clients know it of `sys/`, both of this and of the header.
            seal_wrap: matches!(backend, MountBackend::System),
            options: None,
            config: MountConfig {
                passthrough_request_headers: match &backend {
                    MountBackend::System => vec!["Accept".to_owned()],
                    _ => Vec::new(),
                },
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
        Ok::<_, Error>(ActiveMount::new(entry, backend))
    };
    Ok(vec![
        mount(
            MountClass::Secret,
            "sys/",
            "system",
            "the server's own paths",
            MountBackend::System,
        )?,
        mount(MountClass::Auth, "token/", "token", "tokens", MountBackend::Token)?,
        mount(
            MountClass::Secret,
            "cubbyhole/",
            "cubbyhole",
            "what a token keeps for itself",
            MountBackend::Cubbyhole,
        )?,
    ])
}
