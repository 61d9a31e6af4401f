//! [`PluginHost`]: opens engines that run in plug-in processes.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_engine::{Engine, MountContext};
use strongroom_engine_wire::{HostFacts, InstanceSetup, RemoteEngine, probe_services};
use strongroom_types::clock::with_timeout;
use strongroom_types::{Clock, Entropy};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::binary::{BinarySource, PluginBinaries, copy_name};
use crate::engine::{HostProcesses, PluginEngine};
use crate::environment::HostEnvironment;
use crate::error::Error;
use crate::kept_copies::{CopyGuard, KeptCopies};
use crate::process::{MAX_CONCURRENT_READS, PluginProcess, ProcessLauncher};
use crate::process_metrics::ProcessMetrics;
use crate::process_pool::{ProcessKey, ProcessPool};
use crate::spec::LaunchSpec;
use crate::trust::TrustFile;

/// The settings and dependencies of a [`PluginHost`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The plug-in folder, where operators put the binaries.
    pub directory: PathBuf,
    /// Where private copies of the binaries are kept. Created when needed, if its parent exists.
    pub copies: PathBuf,
    /// Where the sockets' folders are created: an absolute path of at most 60 bytes.
    pub sockets: PathBuf,
    /// Whether plug-ins inherit the server's whole environment instead of a few variables.
    pub inherit_env: bool,
    /// Whether scripts may be run in addition to ELF programs.
    pub allow_scripts: bool,
    /// Whether the plug-in folder may be writable by the server process's own group. Each use logs
    /// a warning.
    pub group_may_write: bool,
    /// The operator's list of plug-ins that may run; without it, every registered plug-in may.
    pub trust_file: Option<PathBuf>,
    /// How long a process may take to write its handshake.
    pub start_limit: Duration,
    /// The server's own environment, of which plug-ins inherit a part.
    pub environment: Vec<(OsString, OsString)>,
    /// The server's version, as the API reports it.
    pub version: String,
    /// The clock for all timeouts. Tests replace it.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness for certificates and names. Tests replace it.
    pub entropy: Arc<dyn Entropy>,
}

/// The default limit for a process to write its handshake. Together with the rest of a registration
/// it stays below the 60 s that clients wait, so that they receive the reason of a failure.
pub const DEFAULT_START_LIMIT: Duration = Duration::from_secs(30);

/// Opens engines in plug-in processes, and owns those processes. [`close`](Self::close) ends them.
#[derive(Debug)]
pub struct PluginHost {
    processes: Arc<HostProcesses>,
    generations: Mutex<HashMap<(&'static str, String), u64>>,
}

/// How long all processes together may take to end when the host is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long each call of a probe may take, and all of them together.
const PROBE_CALL_TIMEOUT: Duration = Duration::from_secs(10);
const PROBE_TIMEOUT: Duration = Duration::from_secs(15);

impl PluginHost {
    /// Creates a host. It starts no process; it only removes copies that were left unfinished.
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
        let processes = HostProcesses { launcher, pool: ProcessPool::default(), facts };
        Self { processes: Arc::new(processes), generations: Mutex::default() }
    }

    /// Runs a plug-in once, in a process of its own, and returns the version it reports; empty if
    /// it reports none. The file in the plug-in folder must have the registered checksum; a copy is
    /// not used.
    ///
    /// Cancel safety: when dropped, the process is ended.
    pub async fn probe(&self, spec: &LaunchSpec) -> Result<String, Error> {
        let launcher = &self.processes.launcher;
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
        let HostProcesses { launcher, facts, .. } = &*self.processes;
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
        let kind = description.kind.as_str();
        if kind != spec.kind {
            let reason = format!("it is of type {kind:?}, not {:?}", spec.kind);
            return Err(Error::Failed { plugin: spec.display_name(), reason });
        }
        Ok(description.version)
    }

    /// Opens an instance, in an existing process of the same plug-in if it can be shared. `label`
    /// identifies the mount in the log.
    pub async fn open(
        &self,
        spec: &LaunchSpec,
        mount: MountContext,
        label: &str,
    ) -> Result<Arc<dyn Engine>, Error> {
        let generation = {
            let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
            generations.get(&(spec.kind, spec.name.clone())).copied().unwrap_or_default()
        };
        let key = ProcessKey { spec: spec.clone(), generation };
        Ok(Arc::new(PluginEngine::open(self.processes.clone(), key, mount, label).await?))
    }

    /// Reads the trust file, if one is configured, so that an error in it is reported before a
    /// plug-in is started. Blocks on file access.
    pub fn check_trust_file(&self) -> Result<(), Error> {
        let trust = &self.processes.launcher.trust;
        trust.as_ref().map_or(Ok(()), |file| file.read().map(|_| ()))
    }

    /// Protects the private copy of a plug-in from removal until the guard is dropped. Needed while
    /// a plug-in is registered or mounted and the catalog or mount table does not show it yet.
    pub fn keep_copy(&self, spec: &LaunchSpec) -> CopyGuard {
        self.processes.launcher.binaries.kept_copies.guard(copy_name(spec))
    }

    /// Removes the private copies that are not guarded and that no spec returned by `needed` uses.
    /// Copies that were guarded when `needed` was called, or later, are kept.
    pub async fn remove_copies_but(&self, needed: impl FnOnce() -> Vec<LaunchSpec>) {
        let binaries = self.processes.launcher.binaries.clone();
        let removal = binaries.kept_copies.begin_removal();
        let names: BTreeSet<String> = needed().iter().map(copy_name).collect();
        let removing =
            tokio::task::spawn_blocking(move || binaries.remove_all_but(&names, &removal));
        // This fails only when the runtime is shutting down.
        let _ = removing.await;
    }

    /// Makes later instances of this plug-in start in new processes, as a reload requires. Existing
    /// instances stay in their processes.
    pub fn start_fresh_process_next(&self, kind: &'static str, name: &str) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        *generations.entry((kind, name.to_owned())).or_default() += 1;
    }

    /// Ends all processes of this host, and waits up to 10 s for that.
    pub async fn close(&self) {
        let ProcessLauncher { closing, tracker, clock, .. } = &self.processes.launcher;
        closing.cancel();
        tracker.close();
        if with_timeout(&**clock, CLOSE_TIMEOUT, tracker.wait()).await.is_none() {
            tracing::warn!("plug-in processes did not end in time");
        }
    }
}
