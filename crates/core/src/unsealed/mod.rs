//! [`UnsealedCore`]: everything that exists only while the keys are in memory. Sealing drops it, so
//! nothing in it checks whether the server is sealed.

pub mod backend;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use strongroom_barrier::Barrier;
use strongroom_lease::{ExpirationManager, LeaseStore};
use strongroom_mounts::data_wrapping::DataWrapperCell;
use strongroom_mounts::entry::{MountConfig, MountEntry};
use strongroom_mounts::loader::EngineLoader;
use strongroom_mounts::plugins::{PluginCatalogStore, RunningPlugin};
use strongroom_mounts::system_view::ServerInfo;
use strongroom_mounts::{ActiveMount, MountBackend, MountRegistry};
use strongroom_policy::{PasswordPolicies, PolicyStore};
use strongroom_telemetry::{MetricsExporter, names};
use strongroom_token::{TokenRoleStore, TokenStore};
use strongroom_types::{Clock, MountKind, MountUuid, Timestamp};
use tokio_util::task::TaskTracker;

use self::backend::{Backends, BuiltInMount};
use crate::background::BackgroundTasks;
use crate::cluster::load_cluster;
use crate::cubbyhole_store::CubbyholeStore;
use crate::detached::DetachedTasks;
use crate::error::Error;
use crate::leases::LeaseService;
use crate::leases::revoker::LeaseRevoker;
use crate::leases::token_revoker::TokenRevoker;
use crate::logins::LoginService;
use crate::logins::lockout::UserLockout;
use crate::periodic_calls::PeriodicCalls;
use crate::refusal_log::RefusalLog;
use crate::remount_task::RemountService;
use crate::seal_request::SealRequest;
use crate::settings::{CoreDependencies, Settings};
use crate::storage_views as views;
use crate::tokens::TokenService;
use crate::unmount::UnmountService;
use crate::wrapping::WrappingService;

/// The services of an unsealed server, each of which owns what it touches. Created by an unseal,
/// dropped by a seal.
#[derive(Debug)]
pub struct UnsealedCore {
    /// The barrier, through which all storage is encrypted.
    pub barrier: Barrier,
    /// The ACL policies, which `sys/policies/acl` changes.
    pub policies: PolicyStore,
    /// The password policies, by which passwords are generated.
    pub password_policies: PasswordPolicies,
    /// The mount table and the operations that change it.
    pub mounts: MountRegistry,
    /// Issues, renews and revokes leases.
    pub leases: Arc<LeaseService>,
    /// Creates and revokes tokens.
    pub tokens: Arc<TokenService>,
    /// Issues and renews the tokens of logins.
    pub logins: LoginService,
    /// Locks users of auth methods after too many failed logins.
    pub lockout: Arc<UserLockout>,
    /// Wraps and unwraps responses.
    pub wrapping: Arc<WrappingService>,
    /// The entries stored for single tokens, and wrapped responses.
    pub cubbyholes: CubbyholeStore,
    /// Removes mounts.
    pub unmounts: Arc<UnmountService>,
    /// The cluster's name and id, the default lifetimes and the server's version.
    pub server_info: ServerInfo,
    pub(crate) settings: Settings,
    /// Finds the backend of a mount.
    pub backends: Backends,
    /// Renders the process's metrics for `sys/metrics`.
    pub exporter: MetricsExporter,
    /// The rate-limited log of refused requests.
    pub refusal_log: RefusalLog,
    /// Whether a seal was requested or has started.
    pub seal_request: SealRequest,
    /// Running requests. They continue if the client disconnects, so that operations begun in
    /// outside systems are completed or undone.
    pub requests: TaskTracker,
    /// What a seal waits for. Unauthenticated requests such as logins are not included, because
    /// anyone could keep them open and delay a seal.
    pub detached: DetachedTasks,
    /// Tasks that a seal stops.
    pub background: BackgroundTasks,
}

/// How long a seal waits for engines and tasks to close before it removes the keys anyway.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);

impl UnsealedCore {
    /// Loads the stores and mounts, then starts the engines and the background tasks.
    pub(crate) async fn open(
        barrier: Barrier,
        parts: &CoreDependencies,
        backends: Backends,
        settings: &Settings,
        refusal_log: RefusalLog,
    ) -> Result<Arc<Self>, Error> {
        let server_info = ServerInfo {
            lifetimes: settings.lifetimes,
            cluster: load_cluster(&barrier).await?,
            version: settings.version.clone(),
        };
        let policies = PolicyStore::load(barrier.view(views::POLICIES)).await?;
        let password_policies = PasswordPolicies::new(barrier.view(views::PASSWORD_POLICIES));
        // Loaded before the engines are started: if it fails, there is nothing to close.
        let token_store =
            TokenStore::load(barrier.view(views::TOKENS), settings.token_cache_bytes).await?;
        let data_wrapper = DataWrapperCell::default();
        let loader = EngineLoader {
            barrier: barrier.clone(),
            catalog: PluginCatalogStore::load(barrier.view(views::PLUGIN_CATALOG)).await?,
            plugin_launcher: parts.plugin_launcher.clone(),
            table: Arc::new(ArcSwap::default()),
            server_info: server_info.clone(),
            password_policies: password_policies.clone(),
            data_wrapper: data_wrapper.clone(),
            document_cache_bytes: settings.document_cache_bytes,
        };
        let created = barrier.clock().now();
        let builtin = backends.builtin_mounts().iter();
        let builtin = builtin.map(|mount| builtin_mount(mount, &server_info, created));
        let builtin = builtin.collect::<Result<_, _>>()?;
        let mounts = MountRegistry::load(barrier.view(views::MOUNTS), loader, builtin).await?;
        let detached = DetachedTasks::default();
        let cubbyholes = CubbyholeStore::new(barrier.view(views::CUBBYHOLES));
        let tokens = build_tokens(token_store, parts, settings, &mounts, &cubbyholes, &detached);
        let leases = tokens.leases.clone();
        let wrapping = Arc::new(WrappingService {
            tokens: tokens.clone(),
            cubbyholes: cubbyholes.clone(),
            max_ttl: settings.lifetimes.max,
            refusal_log: refusal_log.clone(),
        });
        data_wrapper.set(&wrapping);
        let unmounts = Arc::new(UnmountService {
            leases: leases.clone(),
            request_timeout: settings.request_timeout,
            retry_interval: settings.periodic_interval,
        });
        let lockout = UserLockout::new(settings.user_lockout.clone(), barrier.clock().clone());
        let lockout = Arc::new(lockout);
        let core = Arc::new(Self {
            barrier,
            policies,
            password_policies,
            mounts,
            leases,
            logins: LoginService { tokens: tokens.clone() },
            lockout,
            tokens,
            wrapping,
            cubbyholes,
            unmounts,
            server_info,
            settings: settings.clone(),
            backends,
            exporter: parts.exporter.clone(),
            refusal_log,
            seal_request: SealRequest::default(),
            requests: TaskTracker::new(),
            detached,
            background: BackgroundTasks::default(),
        });
        core.start_tasks();
        Ok(core)
    }

    /// The source of time, shared with the barrier.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.barrier.clock()
    }

    /// Stops the tasks, closes the engines and then removes the keys from memory, after at most 20
    /// seconds. The keys are removed also if this is dropped or panics.
    pub(crate) async fn close(&self) {
        let _keys = self.clear_keys_on_drop();
        let orderly = async {
            self.background.stop_and_wait().await;
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
    pub fn clear_keys_on_drop(&self) -> ClearKeysOnDrop<'_> {
        ClearKeysOnDrop(self)
    }

    /// Removes keys, tokens and mounts from memory at once, even if other references to this exist.
    fn clear_keys(&self) {
        self.background.stop();
        self.barrier.close();
        self.tokens.store.close();
        self.mounts.drop_engines();
        metrics::gauge!(names::UNSEALED).set(0.0);
    }

    fn start_tasks(&self) {
        metrics::gauge!(names::UNSEALED).set(1.0);
        let (expiration, revoker) = (self.leases.expiration.clone(), self.tokens.revoker.clone());
        self.background.spawn_until_stopped(|stop| async move { expiration.run(stop).await });
        self.background.spawn_until_stopped(|stop| async move { revoker.run(stop).await });
        let barrier = self.barrier.clone();
        self.background.spawn(async move { barrier.maintain_key_ring().await });
        let calls = PeriodicCalls {
            mounts: self.mounts.clone(),
            tokens: self.tokens.store.clone(),
            clock: self.clock().clone(),
            interval: self.settings.periodic_interval,
        };
        self.background.spawn(async move { calls.run().await });
        let mounts = self.mounts.clone();
        self.background.spawn(async move { mounts.retry_failed_starts().await });
        let leases = self.leases.clone();
        self.background.spawn(async move { leases.report_lease_counts().await });
        let unmounts = self.unmounts.clone();
        self.background.spawn(async move { unmounts.resume_unmounts().await });
        let (unmounts, requests) = (self.unmounts.clone(), self.requests.clone());
        let remounts = Arc::new(RemountService { unmounts, requests });
        self.background.spawn(async move { remounts.run_remounts().await });
    }
}

/// Builds the services of tokens and leases. Revocations of tokens that a restart interrupted are
/// queued again.
fn build_tokens(
    tokens: TokenStore,
    parts: &CoreDependencies,
    settings: &Settings,
    mounts: &MountRegistry,
    cubbyholes: &CubbyholeStore,
    detached: &DetachedTasks,
) -> Arc<TokenService> {
    let barrier = &mounts.engine_loader.barrier;
    let clock = barrier.clock();
    let leases = LeaseStore::new(barrier.view(views::LEASES));
    let (table, entropy) = (mounts.table.clone(), parts.entropy.clone());
    let revoker = Arc::new(LeaseRevoker::new(table, clock.clone(), entropy));
    let expiration =
        ExpirationManager::new(leases.clone(), revoker.clone(), clock.clone(), settings.expiration);
    let token_revoker = TokenRevoker::new(
        tokens.clone(),
        leases.clone(),
        cubbyholes.clone(),
        expiration.clone(),
        clock.clone(),
    );
    // The cell is new, so setting it cannot fail.
    let _ = revoker.token_revoker.set(token_revoker.downgrade());
    token_revoker.resume_pending();
    let leases = Arc::new(LeaseService {
        barrier: barrier.clone(),
        store: leases,
        tokens: tokens.clone(),
        expiration,
        revoker,
        mounts: mounts.clone(),
        lifetimes: settings.lifetimes,
        detached: detached.clone(),
    });
    Arc::new(TokenService {
        store: tokens,
        roles: TokenRoleStore::new(barrier.view(views::TOKEN_ROLES)),
        revoker: token_revoker,
        leases,
    })
}

/// Removes the keys from memory when dropped.
#[must_use]
pub struct ClearKeysOnDrop<'a>(&'a UnsealedCore);

impl Drop for ClearKeysOnDrop<'_> {
    fn drop(&mut self) {
        self.0.clear_keys();
    }
}

/// A built-in mount for the mount table. It is not stored; its UUID and accessor are derived from
/// the cluster's id, so they stay the same across restarts.
fn builtin_mount(
    mount: &BuiltInMount,
    server: &ServerInfo,
    created: Timestamp,
) -> Result<Arc<ActiveMount>, Error> {
    let BuiltInMount { kind, path, mount_type, .. } = *mount;
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
    let prefix = if kind == MountKind::Auth { "auth_" } else { "" };
    let headers = mount.passthrough_request_headers.iter().map(|name| (*name).to_owned());
    let entry = MountEntry {
        v: 1,
        kind,
        path: path.to_owned(),
        mount_type: mount_type.to_owned(),
        description: mount.description.to_owned(),
        uuid: MountUuid::parse(&uuid)
            .map_err(|error| Error::internal("a UUID could not be made").caused_by(error))?,
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
