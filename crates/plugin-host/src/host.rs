//! [`PluginHost`]: opens engines in plug-in processes.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_sdk::engine::{Engine, MountContext, MountKind};
use strongroom_sdk::wire::{HostFacts, InstanceSetup, RemoteEngine, probe_services};
use strongroom_types::clock::with_timeout;
use strongroom_types::{Clock, Entropy};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::binary::{BinarySource, PluginBinaries, copy_name};
use crate::engine::PluginEngine;
use crate::environment::HostEnvironment;
use crate::error::Error;
use crate::kept_copies::{CopyGuard, KeptCopies};
use crate::process::{MAX_CONCURRENT_READS, PluginProcess, ProcessLauncher};
use crate::process_metrics::ProcessMetrics;
use crate::process_pool::{ProcessKey, ProcessPool};
use crate::spec::LaunchSpec;
use crate::trust::TrustFile;

/// What a host is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where operators put plug-ins.
    pub directory: PathBuf,
    /// Where private copies of them are kept. Made when it is needed; its parent must be there.
    pub copies: PathBuf,
    /// Where folders of sockets are made: an absolute path, and short.
    pub sockets: PathBuf,
    /// Whether plug-ins get the server's whole environment.
    pub inherit_env: bool,
    /// Whether scripts may be run beside ELF programs.
    pub allow_scripts: bool,
    /// Whether the group of the server's process may write to the folder of plug-ins, with a
    /// warning.
    pub group_may_write: bool,
    /// The operator's list of what may run; without it, whatever is registered and in the folder.
    pub trust_file: Option<PathBuf>,
    /// How long a process may take to become a plug-in.
    pub start_limit: Duration,
    /// The server's own environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The server's version, as the API reports it.
    pub version: String,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

/// How long a process may take to write its handshake, unless the configuration says otherwise.
/// With all else that a registration takes it is less than the 60 s that clients wait, so that they
/// are told why it failed.
pub const DEFAULT_START_LIMIT: Duration = Duration::from_secs(30);

/// Opens engines in plug-in processes, and owns those processes.
#[derive(Debug)]
pub struct PluginHost(Arc<PluginHostInner>);

/// What all instances of a host share.
#[derive(Debug)]
pub(crate) struct PluginHostInner {
    pub(crate) launcher: ProcessLauncher,
    pub(crate) pool: ProcessPool,
    pub(crate) facts: HostFacts,
    generations: Mutex<HashMap<(&'static str, String), u64>>,
}

/// How long all processes together are given to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long each question of a probe may take, and all of them.
const PROBE_CALL_TIMEOUT: Duration = Duration::from_secs(10);
const PROBE_TIMEOUT: Duration = Duration::from_secs(15);

impl PluginHost {
    /// Nothing is started or touched by it, except that copies left unfinished are removed.
    pub fn new(options: Options) -> Self {
        let environment =
            HostEnvironment::new(options.environment, options.inherit_env, &options.version);
        let binaries = PluginBinaries {
            directory: options.directory,
            copies: options.copies,
            allow_scripts: options.allow_scripts,
            group_may_write: options.group_may_write,
            entropy: options.entropy.clone(),
            kept_copies: KeptCopies::default(),
        };
        binaries.remove_unfinished();
        let launcher = ProcessLauncher {
            binaries: Arc::new(binaries),
            trust: options.trust_file.map(TrustFile::new),
            environment,
            sockets: options.sockets,
            start_limit: options.start_limit,
            clock: options.clock,
            entropy: options.entropy,
            tracker: TaskTracker::new(),
            closing: CancellationToken::new(),
            meter: ProcessMetrics::default(),
            read_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_READS)),
        };
        let facts = HostFacts { version: options.version };
        let generations = Mutex::default();
        Self(Arc::new(PluginHostInner {
            launcher,
            pool: ProcessPool::default(),
            facts,
            generations,
        }))
    }

    /// Runs a plug-in once, in a process of its own, and gives the version it reports; empty if it
    /// reports none. The file in the plug-in folder must be the one that is named.
    ///
    /// Cancel safety: when dropped, the process is ended.
    pub async fn probe(&self, spec: &LaunchSpec) -> Result<String, Error> {
        let PluginHostInner { launcher, .. } = &*self.0;
        let process = launcher.start(spec, BinarySource::Original).await?;
        let asked =
            with_timeout(&*launcher.clock, PROBE_TIMEOUT, self.probe_process(spec, &process)).await;
        let outcome = asked.unwrap_or_else(|| {
            let reason = "it did not say in time what it is".to_owned();
            Err(Error::Failed { plugin: spec.display_name(), reason })
        });
        if let Err(error) = &outcome {
            let (plugin, reason) = (spec.display_name(), error.details());
            tracing::error!(plugin, reason, "a plug-in could not be registered");
        }
        process.stop();
        process.wait_until_ended().await;
        outcome
    }

    async fn probe_process(
        &self,
        spec: &LaunchSpec,
        process: &PluginProcess,
    ) -> Result<String, Error> {
        let PluginHostInner { launcher, facts, .. } = &*self.0;
        let engine = RemoteEngine::set_up(InstanceSetup {
            channel: &process.channel,
            broker: &process.broker,
            services: probe_services(facts.clone()),
            instance: launcher.entropy.base62(10),
            mount: None,
            clock: launcher.clock.clone(),
            limit: PROBE_CALL_TIMEOUT,
        })
        .await?;
        let description = engine.description().clone();
        engine.close().await;
        let kind = match description.kind {
            MountKind::Secret => "secret",
            MountKind::Auth => "auth",
        };
        if kind != spec.kind {
            let reason = format!("it is of type {kind:?}, not {:?}", spec.kind);
            return Err(Error::Failed { plugin: spec.display_name(), reason });
        }
        Ok(description.version)
    }

    /// Opens an instance, in a process that runs the plug-in already if there is one. `label` names
    /// the mount in the log.
    pub async fn open(
        &self,
        spec: &LaunchSpec,
        mount: MountContext,
        label: &str,
    ) -> Result<Arc<dyn Engine>, Error> {
        let generation = {
            let generations = self.0.generations.lock().unwrap_or_else(PoisonError::into_inner);
            generations.get(&(spec.kind, spec.name.clone())).copied().unwrap_or_default()
        };
        let key = ProcessKey { spec: spec.clone(), generation };
        Ok(Arc::new(PluginEngine::open(self.0.clone(), key, mount, label).await?))
    }

    /// Reads the operator's list of what may run, if there is one, so that a mistake in it shows
    /// before something is to be started. This blocks.
    pub fn check_trust_file(&self) -> Result<(), Error> {
        let trust = &self.0.launcher.trust;
        trust.as_ref().map_or(Ok(()), |file| file.read().map(|_| ()))
    }

    /// Keeps the private copy of a plug-in until the answer is dropped: for whoever registers or
    /// mounts it, until that can be seen.
    pub fn keep_copy(&self, spec: &LaunchSpec) -> CopyGuard {
        self.0.launcher.binaries.kept_copies.guard(copy_name(spec))
    }

    /// Removes private copies that nobody keeps and none of those needs that `needed` says. What was
    /// kept when that was asked, or later, stays.
    pub async fn remove_copies_but(&self, needed: impl FnOnce() -> Vec<LaunchSpec>) {
        let binaries = self.0.launcher.binaries.clone();
        let removal = binaries.kept_copies.begin_removal();
        let names: BTreeSet<String> = needed().iter().map(copy_name).collect();
        let removing =
            tokio::task::spawn_blocking(move || binaries.remove_all_but(&names, &removal));
        // It fails only when the runtime ends.
        let _ = removing.await;
    }

    /// From now on instances of this plug-in are opened in fresh processes. Those that are open
    /// stay where they are.
    pub fn start_fresh_process_next(&self, kind: &'static str, name: &str) {
        let mut generations = self.0.generations.lock().unwrap_or_else(PoisonError::into_inner);
        *generations.entry((kind, name.to_owned())).or_default() += 1;
    }

    /// Ends all processes.
    pub async fn close(&self) {
        let ProcessLauncher { closing, tracker, clock, .. } = &self.0.launcher;
        closing.cancel();
        tracker.close();
        if with_timeout(&**clock, CLOSE_TIMEOUT, tracker.wait()).await.is_none() {
            tracing::warn!("plug-in processes did not end in time");
        }
    }
}
