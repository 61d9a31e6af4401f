//! [`Unsealed`]: all that exists only while the keys are in memory. Sealing drops it, so nothing in
//! here asks whether the server is sealed.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Barrier, Batch};
use strongroom_lease::{Keeper, LeaseStore};
use strongroom_policy::{PasswordPolicies, PolicyStore};
use strongroom_sdk::engine::{ClusterInfo, EngineError, Lifetimes};
use strongroom_telemetry::{Exporter, names};
use strongroom_token::{RoleStore, TokenStore};
use strongroom_types::{Clock, MountUuid, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cubbyhole::Cubbyholes;
use crate::error::Error;
use crate::leases::ending::Ending;
use crate::leases::trees::Trees;
use crate::mounts::entry::{Class, MountConfig, MountEntry};
use crate::mounts::handle::ShutOut;
use crate::mounts::opening::Opener;
use crate::mounts::system_view::Server;
use crate::mounts::{Backend, Mounted, Mounts};
use crate::plugins::{Catalog, Running};
use crate::refusals::Refusals;
use crate::removal::Removal;
use crate::settings::{Parts, Settings};

/// An open server.
#[derive(Debug)]
pub struct Unsealed {
    /// What everything is encrypted with.
    pub(crate) barrier: Barrier,
    /// Policies, tokens, leases and cubbyholes.
    pub(crate) stores: Stores,
    /// Who ends leases.
    pub(crate) keeper: Keeper,
    /// Who revokes trees of tokens.
    pub(crate) trees: Trees,
    /// The keeper's hands, also used to renew.
    pub(crate) ending: Arc<Ending>,
    /// Which engine answers where.
    pub(crate) mounts: Mounts,
    /// Names, lifetimes and version.
    pub(crate) server: Server,
    pub(crate) settings: Settings,
    pub(crate) exporter: Exporter,
    /// What is logged of refusals.
    pub(crate) refusals: Refusals,
    /// Set when somebody asked for the seal, and when it has begun.
    sealing: watch::Sender<Sealing>,
    /// Requests being answered. They run to their end even when the client has gone: what was
    /// begun outside is finished or undone.
    pub(crate) requests: TaskTracker,
    /// What a seal waits for: requests with a valid token, and the work that outlives a request (see
    /// [`Unsealed::to_the_end`]). What anybody can send and let hang, as logins are, must not hold up
    /// a seal.
    pub(crate) awaited: TaskTracker,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// How far a seal is that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealing {
    /// Nobody asked.
    No,
    /// Somebody asked.
    Ordered,
    /// New requests find the server sealed.
    Begun,
}

/// One store for each idea.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    pub(crate) policies: PolicyStore,
    pub(crate) passwords: PasswordPolicies,
    pub(crate) tokens: TokenStore,
    pub(crate) roles: RoleStore,
    pub(crate) leases: LeaseStore,
    pub(crate) cubbyholes: Cubbyholes,
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
const LEASES_AT_ONCE: usize = 16;
const PERIODIC_AT_ONCE: usize = 16;
/// How long one engine's periodic call may take.
const PERIODIC_LIMIT: Duration = Duration::from_secs(60);
/// How long a seal waits for engines and tasks before it takes the keys away.
const CLOSING: Duration = Duration::from_secs(20);
/// How often leases are counted for the metrics.
const COUNTING: Duration = Duration::from_secs(600);

/// Adds the cluster's names to the batch that initialises a server.
pub(crate) fn prepare_cluster(barrier: &Barrier, batch: &mut Batch, name: Option<&str>) {
    let entropy = barrier.entropy();
    let generated = || format!("vault-cluster-{:08x}", entropy.next_u64() & 0xffff_ffff);
    let name = name.map_or_else(generated, str::to_owned);
    let record = ClusterRecord { v: 1, name, id: entropy.uuid() };
    barrier.view(CORE_VIEW).put_json(batch, CLUSTER_KEY, &record);
}

impl Unsealed {
    /// Loads everything that belongs in memory, starts the engines and the tasks.
    pub(crate) async fn open(
        barrier: Barrier,
        parts: &Parts,
        settings: &Settings,
        refusals: Refusals,
    ) -> Result<Arc<Self>, Error> {
        let cluster: Option<ClusterRecord> = barrier.view(CORE_VIEW).get_json(CLUSTER_KEY).await?;
        let cluster = cluster.ok_or_else(|| Error::internal("the cluster's names are missing"))?;
        let server = Server {
            lifetimes: settings.lifetimes,
            cluster: ClusterInfo { name: cluster.name, id: cluster.id },
            version: settings.version.clone(),
        };
        let stores = Stores {
            policies: PolicyStore::load(barrier.view(POLICY_VIEW)).await?,
            passwords: PasswordPolicies::new(barrier.view(PASSWORD_VIEW)),
            tokens: TokenStore::load(barrier.view(TOKEN_VIEW), settings.token_cache_bytes).await?,
            roles: RoleStore::new(barrier.view(ROLE_VIEW)),
            leases: LeaseStore::new(barrier.view(LEASE_VIEW)),
            cubbyholes: Cubbyholes::new(barrier.view(CUBBYHOLE_VIEW)),
        };
        let clock = barrier.clock().clone();
        let table = Arc::new(ArcSwap::default());
        let opener = Opener {
            barrier: barrier.clone(),
            catalog: Catalog::load(barrier.view(CATALOG_VIEW)).await?,
            plugins: parts.plugins.clone(),
            table: table.clone(),
            server: server.clone(),
            passwords: stores.passwords.clone(),
            document_cache_bytes: settings.document_cache_bytes,
        };
        let system = system_mounts(&server, clock.now())?;
        let mounts = Mounts::load(barrier.view(MOUNT_VIEW), opener, system).await?;
        let ending = Arc::new(Ending::new(table, clock.clone(), parts.entropy.clone()));
        let keeper =
            Keeper::new(stores.leases.clone(), ending.clone(), clock.clone(), settings.keeper);
        let trees = Trees::new(
            stores.tokens.clone(),
            stores.leases.clone(),
            stores.cubbyholes.clone(),
            keeper.clone(),
            clock,
        );
        // Fresh, so this can't fail.
        let _ = ending.trees.set(trees.downgrade());
        trees.take_up();
        let open = Arc::new(Self {
            barrier,
            stores,
            keeper,
            trees,
            ending,
            mounts,
            server,
            settings: settings.clone(),
            exporter: parts.exporter.clone(),
            refusals,
            sealing: watch::Sender::new(Sealing::No),
            requests: TaskTracker::new(),
            awaited: TaskTracker::new(),
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
    pub(crate) fn token_lifetimes(&self) -> Lifetimes {
        let table = self.mounts.table();
        let mounted = table.get(Class::Auth, "token/");
        mounted.map_or(self.server.lifetimes, |m| m.entry.lifetimes(self.server.lifetimes))
    }

    /// The registered plug-ins.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.mounts.opener.catalog
    }

    /// Asks for the seal, and waits until it has begun. Whoever asks again is heard again.
    pub(crate) async fn order_seal(&self) {
        self.sealing.send_if_modified(|now| {
            let asks = *now != Sealing::Begun;
            if asks {
                *now = Sealing::Ordered;
            }
            asks
        });
        let _ = self.sealing.subscribe().wait_for(|now| *now == Sealing::Begun).await;
    }

    /// Resolves once somebody asked for the seal, or it has begun without that. Whether it is yet
    /// to be made.
    pub(crate) async fn seal_ordered(&self) -> bool {
        let mut sealing = self.sealing.subscribe();
        let state = sealing.wait_for(|now| *now != Sealing::No).await;
        state.is_ok_and(|state| *state == Sealing::Ordered)
    }

    /// New requests find the server sealed from now on.
    pub(crate) fn seal_begun(&self) {
        self.sealing.send_replace(Sealing::Begun);
    }

    /// Ends all leases of a tainted mount, then removes it. A lease that can't be ended stops the
    /// removal: the operator mends the engine, or forces the leases away.
    pub(crate) async fn remove_mount(&self, entry: MountEntry) -> Result<(), Error> {
        let removal = Removal { open: self, entry: &entry };
        removal.shut_requests_out(ShutOut::Removed).await?;
        let ended = self.end_leases(&entry.route()).await;
        ended.map_err(|error| removal.leases_are_left(error))?;
        removal.undo_what_has_no_lease().await?;
        self.mounts.remove(entry).await
    }

    pub(crate) async fn end_leases(&self, prefix: &str) -> Result<(), Error> {
        loop {
            let ids = self.stores.leases.under(prefix, None, LEASE_PAGE).await?;
            if ids.is_empty() {
                return Ok(());
            }
            self.keeper.order_all(&ids).await?;
            let attempts = futures_util::stream::iter(ids).map(|id| async move {
                self.keeper.revoke(&id).await?.map_err(|error| {
                    Error::internal(format!("failed to revoke {:?}: {error}", id.as_str()))
                })
            });
            let mut ended = attempts.buffer_unordered(LEASES_AT_ONCE);
            while let Some(outcome) = ended.next().await {
                outcome?;
            }
        }
    }

    /// Ends all leases under a prefix, whatever their engines say.
    pub(crate) async fn force_leases(&self, prefix: &str) -> Result<(), Error> {
        loop {
            let ids = self.stores.leases.under(prefix, None, LEASE_PAGE).await?;
            if ids.is_empty() {
                return Ok(());
            }
            for id in &ids {
                if let Err(error) = self.keeper.force(id).await? {
                    tracing::warn!(lease = %id, %error, "a lease was forced away; what it stood for may live on");
                }
            }
        }
    }

    /// Does some work after the answer, until its end or the seal.
    pub(crate) fn in_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// Ends everything: tasks first, then engines, then the keys. The keys go however this ends:
    /// also when it is dropped, or something in it panics.
    pub(crate) async fn close(&self) {
        let _keys = self.taken_away_at_the_end();
        self.stop.cancel();
        self.tasks.close();
        let orderly = async {
            self.tasks.wait().await;
            self.mounts.close_all().await;
        };
        let clock = self.clock();
        tokio::select! {
            () = orderly => {}
            () = clock.sleep(CLOSING) => {
                tracing::warn!("engines did not end in time; the keys are taken away from them");
            }
        }
    }

    /// Takes keys, tokens and mounts out of memory when what this gives is dropped.
    pub(crate) fn taken_away_at_the_end(&self) -> TakenAway<'_> {
        TakenAway(self)
    }

    /// Takes keys, tokens and mounts out of memory at once, whoever still holds this.
    fn take_away(&self) {
        self.stop.cancel();
        self.barrier.close();
        self.stores.tokens.close();
        self.mounts.abandon();
        metrics::gauge!(names::UNSEALED).set(0.0);
    }

    fn start_tasks(self: &Arc<Self>) {
        metrics::gauge!(names::UNSEALED).set(1.0);
        let (keeper, stop) = (self.keeper.clone(), self.stop.clone());
        self.tasks.spawn(async move { keeper.run(stop).await });
        let (trees, stop) = (self.trees.clone(), self.stop.clone());
        self.tasks.spawn(async move { trees.run(stop).await });
        let (barrier, stop) = (self.barrier.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(barrier.keep_key_ring()).await;
        });
        let (open, stop) = (self.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(open.tick()).await;
        });
        let (mounts, stop) = (self.mounts.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(mounts.keep_trying()).await;
        });
        let (open, stop) = (self.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(open.count_leases()).await;
        });
        let (open, stop) = (self.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(open.finish_removals()).await;
        });
        let (open, stop) = (self.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(open.carry_mounts()).await;
        });
    }

    /// Gives engines their periodic call, and those that could not be started another chance.
    async fn tick(&self) {
        loop {
            self.clock().sleep(self.settings.periodic).await;
            let table = self.mounts.table();
            let all: Vec<_> = table.all().cloned().collect();
            let calls = futures_util::stream::iter(all).map(|mounted| async move {
                // A visit like any other, so that a reload waits for it; none where no engine is.
                let engine = mounted.engine().filter(|engine| engine.instance().is_some())?;
                let visit = engine.enter_to_end().await.ok()?;
                // Else one that hangs would keep the others from their next call, and its mount from
                // ever being removed.
                let error = tokio::select! {
                    outcome = visit.engine.periodic() => outcome.err()?,
                    () = self.clock().sleep(PERIODIC_LIMIT) => {
                        EngineError::internal("it did not end in time")
                    }
                };
                let mount = &mounted.info.path;
                tracing::warn!(mount, %error, "an engine's periodic work failed");
                Some(())
            });
            // A slow one doesn't hold up the others.
            calls.buffer_unordered(PERIODIC_AT_ONCE).for_each(|_| async {}).await;
            self.mounts.wanted.notify_one();
            metrics::gauge!(names::TOKEN_REVOKING).set(count(self.stores.tokens.marked_count()));
            let mounts = |class| count(table.of_class(class).len());
            metrics::gauge!(names::MOUNTS, "type" => "logical").set(mounts(Class::Secret));
            metrics::gauge!(names::MOUNTS, "type" => "auth").set(mounts(Class::Auth));
        }
    }

    /// Counts leases now and then: the table keeps no count that every write would have to touch.
    async fn count_leases(&self) {
        const PAGE: usize = 1000;
        loop {
            let mut total = 0;
            let mut after = None;
            while let Ok(ids) = self.stores.leases.under("", after.as_ref(), PAGE).await {
                total += ids.len();
                after = ids.last().cloned();
                if ids.len() < PAGE {
                    metrics::gauge!(names::LEASE_COUNT).set(count(total));
                    break;
                }
                tokio::task::yield_now().await;
            }
            if let Ok(ids) = self.stores.leases.irrevocable(None, PAGE).await {
                metrics::gauge!(names::LEASES_IRREVOCABLE).set(count(ids.len()));
            }
            self.clock().sleep(COUNTING).await;
        }
    }

    /// Takes up removals of mounts that were begun and not finished, in this life of the server or
    /// an earlier one.
    async fn finish_removals(&self) {
        loop {
            let table = self.mounts.table();
            for mounted in table.all().filter(|mounted| mounted.entry.tainted) {
                if let Err(error) = self.remove_mount(mounted.entry.clone()).await {
                    let mount = &mounted.info.path;
                    tracing::warn!(mount, %error, "a removal that was begun could not be finished");
                }
            }
            self.clock().sleep(self.settings.periodic).await;
        }
    }
}

/// Takes the keys out of memory when dropped.
#[must_use]
pub(crate) struct TakenAway<'a>(&'a Unsealed);

impl Drop for TakenAway<'_> {
    fn drop(&mut self) {
        self.0.take_away();
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts stay far below 2^52")]
fn count(n: usize) -> f64 {
    n as f64
}

/// The mounts every server has. They are not stored; their UUIDs and accessors follow from the
/// cluster's id, so they stay the same.
fn system_mounts(server: &Server, created: Timestamp) -> Result<Vec<Arc<Mounted>>, Error> {
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
        let prefix = if class == Class::Auth { "auth_" } else { "" };
        let entry = MountEntry {
            v: 1,
            class,
            path: path.to_owned(),
            mount_type: mount_type.to_owned(),
            description: description.to_owned(),
            uuid: MountUuid::parse(&uuid).map_err(|e| Error::internal(e.to_string()))?,
            accessor: format!("{prefix}{mount_type}_{}", part(32, 40)),
            local: matches!(backend, Backend::Cubbyhole),
            // As clients know it of `sys/`, both of this and of the header.
            seal_wrap: matches!(backend, Backend::System),
            options: None,
            config: MountConfig {
                passthrough_request_headers: match &backend {
                    Backend::System => vec!["Accept".to_owned()],
                    _ => Vec::new(),
                },
                ..MountConfig::default()
            },
            plugin_version: String::new(),
            running: Some(Running {
                version: format!("v{}+builtin", server.version),
                plugin: None,
            }),
            tainted: false,
            moved: None,
            created,
        };
        Ok::<_, Error>(Mounted::new(entry, backend))
    };
    Ok(vec![
        mount(Class::Secret, "sys/", "system", "the server's own paths", Backend::System)?,
        mount(Class::Auth, "token/", "token", "tokens", Backend::Token)?,
        mount(
            Class::Secret,
            "cubbyhole/",
            "cubbyhole",
            "what a token keeps for itself",
            Backend::Cubbyhole,
        )?,
    ])
}
