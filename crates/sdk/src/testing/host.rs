//! [`TestHost`]: a minimal server with one mount, for tests.

mod leases;
mod storage;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_engine::intent::INTENT_FOLDER;
use strongroom_engine::mount_config::HOST_CONFIG_KEY;
use strongroom_engine::{
    Engine, EngineDescription, EngineError, EngineFactory, EngineRequest, EngineResponse,
    Existence, LeasedResponse, MountContext, MountInfo, MountLifetimes, Operation, RawRequestBody,
    StatusKind, StorageBatch, StoragePrecondition,
};
use strongroom_types::clock::ManualClock;
use strongroom_types::entropy::SeededEntropy;
use strongroom_types::fields::JsonLimits;
use strongroom_types::{Clock, Entropy, ErrorKind, Fields, Timestamp, Ttl};

use super::calls_in_progress::CallsInProgress;
use super::in_process_plugin::InProcessPlugin;
use super::instance::{InstancePhase, TestInstanceStorage, TestSystem};
use super::memory_entries::MemoryEntries;
use super::{TestCaller, TestError, TestLease, TestResponse, Transport};

/// A minimal server with the engine under test mounted at `custom/`. Cheap to clone.
#[derive(Clone)]
pub struct TestHost(pub(super) Arc<TestHostInner>);

pub(super) struct TestHostInner {
    transport: Transport,
    factory: Mutex<Arc<dyn EngineFactory>>,
    clock: ManualClock,
    pub(super) entropy: Arc<dyn Entropy>,
    memory: Arc<MemoryEntries>,
    pub(super) system: Arc<TestSystem>,
    pub(super) mount: Arc<MountInfo>,
    pub(super) caller: Mutex<TestCaller>,
    running: Mutex<Option<RunningInstance>>,
    leases: Mutex<BTreeMap<String, TestLease>>,
    crash_at_next_lease: Mutex<bool>,
    options: Mutex<BTreeMap<String, String>>,
    calls: CallsInProgress,
}

/// A running instance of the engine, and its process if it is a plug-in.
struct RunningInstance {
    engine: Arc<dyn Engine>,
    storage: Arc<TestInstanceStorage>,
    process: Option<InProcessPlugin>,
}

/// How long [`TestHost::wait_until`] waits, in real time.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the condition is checked while nothing is written to storage.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

impl TestHost {
    pub(super) async fn start(factory: Arc<dyn EngineFactory>, way: Transport) -> Self {
        let days = |days: u64| Ttl::from_secs(days * 24 * 3600);
        let lifetimes = MountLifetimes { default: days(32), max: days(32) };
        let mount = MountInfo {
            path: "custom/".to_owned(),
            mount_type: factory.name().to_owned(),
            accessor: format!("{}_1", factory.name()),
        };
        let clock = ManualClock::default();
        let host = Self(Arc::new(TestHostInner {
            transport: way,
            factory: Mutex::new(factory),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(1)),
            memory: Arc::default(),
            system: Arc::new(TestSystem::new(lifetimes, clock)),
            mount: Arc::new(mount),
            caller: Mutex::default(),
            running: Mutex::default(),
            leases: Mutex::default(),
            crash_at_next_lease: Mutex::default(),
            options: Mutex::default(),
            calls: CallsInProgress::default(),
        }));
        host.reopen().await;
        host
    }

    /// Whether the engine is linked in or runs behind the plug-in protocol.
    pub fn transport(&self) -> Transport {
        self.0.transport
    }

    /// The engine's version, special paths and other declared properties.
    ///
    /// # Panics
    ///
    /// If the instance was stopped, as after [`TestHost::crash`].
    pub fn description(&self) -> EngineDescription {
        self.running_engine().description().clone()
    }

    // ── requests ──

    /// Writes JSON to a path, as a create or an update depending on the engine's existence check.
    ///
    /// # Errors
    ///
    /// The engine's error, as a client would receive it.
    ///
    /// # Panics
    ///
    /// If the body isn't a JSON object.
    pub async fn write(
        &self,
        path: &str,
        body: impl fmt::Display,
    ) -> Result<TestResponse, TestError> {
        let request = self.new_request(Operation::Update, path, parse_fields(body));
        let operation = match self.running_engine().exists(&request).await {
            Ok(Existence::Absent) => Operation::Create,
            Ok(Existence::Exists | Existence::NoCheck)
            | Err(EngineError::Status(StatusKind::UnsupportedPath)) => Operation::Update,
            Err(error) => return Err(error.into()),
        };
        self.handle_request(EngineRequest { operation, ..request }).await
    }

    /// Writes a body that isn't parsed, to a path of [`Blueprint::raw_body`](crate::Blueprint::raw_body).
    /// `query` are the parameters of the query as a JSON object.
    ///
    /// # Errors
    ///
    /// The engine's error, as a client would receive it.
    ///
    /// # Panics
    ///
    /// If the query isn't a JSON object.
    pub async fn write_raw(
        &self,
        path: &str,
        query: impl fmt::Display,
        body: RawRequestBody,
    ) -> Result<TestResponse, TestError> {
        let request = self.new_request(Operation::Update, path, parse_fields(query));
        let raw_body = Some(Box::new(body));
        self.handle_request(EngineRequest { raw_body, ..request }).await
    }

    /// Reads a path. If there is nothing, the error is [`ErrorKind::NotFound`].
    ///
    /// # Errors
    ///
    /// The engine's error, as a client would receive it.
    pub async fn read(&self, path: &str) -> Result<TestResponse, TestError> {
        self.handle_request(self.new_request(Operation::Read, path, Fields::new())).await
    }

    /// Sends a JSON merge patch to a path.
    ///
    /// # Errors
    ///
    /// The engine's error, as a client would receive it.
    ///
    /// # Panics
    ///
    /// If the body isn't a JSON object.
    pub async fn patch(
        &self,
        path: &str,
        body: impl fmt::Display,
    ) -> Result<TestResponse, TestError> {
        self.handle_request(self.new_request(Operation::Patch, path, parse_fields(body))).await
    }

    /// Lists a folder. If it contains no names, the error is [`ErrorKind::NotFound`].
    ///
    /// # Errors
    ///
    /// The engine's error, as a client would receive it.
    ///
    /// # Panics
    ///
    /// If the response isn't a list of names.
    pub async fn list(&self, path: &str) -> Result<Vec<String>, TestError> {
        self.list_page(path, "{}").await
    }

    /// Like [`TestHost::list`], with query fields such as `after` and `limit`.
    ///
    /// # Errors
    ///
    /// The engine's error, as a client would receive it.
    ///
    /// # Panics
    ///
    /// If the response isn't a list of names.
    pub async fn list_page(
        &self,
        path: &str,
        page: impl fmt::Display,
    ) -> Result<Vec<String>, TestError> {
        let got = self
            .handle_request(self.new_request(Operation::List, path, parse_fields(page)))
            .await?;
        match serde_json::from_str(got.field_json("keys")) {
            Ok(names) => Ok(names),
            Err(_) => panic!("the answer to a list has no list of keys: {:?}", got.data),
        }
    }

    /// Deletes the object at a path.
    ///
    /// # Errors
    ///
    /// The engine's error, as a client would receive it.
    pub async fn delete(&self, path: &str) -> Result<TestResponse, TestError> {
        self.handle_request(self.new_request(Operation::Delete, path, Fields::new())).await
    }

    /// The help text of a path, or of the whole engine if the path is empty.
    ///
    /// # Errors
    ///
    /// The engine's error, as a client would receive it.
    pub async fn help(&self, path: &str) -> Result<String, TestError> {
        let got =
            self.handle_request(self.new_request(Operation::Help, path, Fields::new())).await?;
        Ok(got.text("help"))
    }

    /// Sends any operation with any body, without calling the existence check first.
    ///
    /// # Errors
    ///
    /// The engine's error, as a client would receive it.
    ///
    /// # Panics
    ///
    /// If the body isn't a JSON object.
    pub async fn send(
        &self,
        operation: Operation,
        path: &str,
        body: impl fmt::Display,
    ) -> Result<TestResponse, TestError> {
        self.handle_request(self.new_request(operation, path, parse_fields(body))).await
    }

    /// Calls only the existence check of a path.
    ///
    /// # Errors
    ///
    /// The engine's error.
    pub async fn exists(&self, path: &str) -> Result<Existence, TestError> {
        let request = self.new_request(Operation::Update, path, Fields::new());
        Ok(self.running_engine().exists(&request).await?)
    }

    // ── time ──

    /// The clock that the engine uses, for stand-ins of the outside system.
    pub fn clock(&self) -> ManualClock {
        self.0.clock.clone()
    }

    /// The current time of the test's clock.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The calls that the engine has not finished, each as its operation and path, such as
    /// `read creds/app`, in the order in which they began.
    pub fn calls_in_progress(&self) -> Vec<String> {
        self.0.calls.list()
    }

    /// Advances the clock and revokes the leases that have expired. A lease whose revocation fails
    /// remains and is tried again at the next call.
    ///
    /// # Panics
    ///
    /// If a call is in progress: its time limit would pass, and the test would fail far from the
    /// cause. A test of time limits calls [`TestHost::advance_during_calls`].
    pub async fn advance(&self, by: Duration) {
        let calls = self.calls_in_progress();
        if !calls.is_empty() {
            panic!(
                "the clock was advanced while these calls were in progress: {}; await them first, \
                 or use advance_during_calls to let their time limits pass",
                calls.join(", "),
            );
        }
        self.0.clock.advance(by);
        let due = |lease: &TestLease| lease.expires <= self.now();
        for lease in self.leases().into_iter().filter(due) {
            // The lease is still there, which the test can observe.
            let _ = self.revoke(&lease.id).await;
        }
    }

    /// Advances the clock while calls are in progress, so that their time limits pass. Leases that
    /// expire meanwhile are revoked by the next [`TestHost::advance`].
    pub fn advance_during_calls(&self, by: Duration) {
        self.0.clock.advance(by);
    }

    /// The periodic call, which servers make about once a minute. Background work that it starts
    /// may go on afterwards: see [`TestHost::wait_until`].
    ///
    /// # Errors
    ///
    /// The engine's error.
    pub async fn run_periodic(&self) -> Result<(), TestError> {
        let _call = self.0.calls.begin("the periodic call");
        Ok(self.running_engine().periodic().await?)
    }

    /// Waits up to 20 seconds of real time until a condition becomes true, for work in the
    /// background.
    ///
    /// # Panics
    ///
    /// If the condition doesn't become true in time.
    pub async fn wait_until<F, Fut>(&self, what: &str, condition: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = bool>,
    {
        let wait = async {
            while !condition().await {
                // Checked again after each commit, and at intervals.
                let _ = tokio::time::timeout(POLL_INTERVAL, self.0.memory.changed.notified()).await;
            }
        };
        if tokio::time::timeout(WAIT_TIMEOUT, wait).await.is_err() {
            let calls = self.calls_in_progress();
            panic!("it did not happen that {what}; calls in progress: {calls:?}");
        }
    }

    // ── life and death ──

    /// Kills the instance: calls in progress get no response, and nothing more reaches storage.
    pub async fn crash(&self) {
        let running = self.lock_running().take();
        if let Some(RunningInstance { engine, storage, process }) = running {
            storage.set_phase(InstancePhase::Closed);
            drop(engine);
            if let Some(process) = process {
                process.kill().await;
            }
        }
    }

    /// Makes the server crash before it writes the lease of the next credential. Call
    /// [`TestHost::reopen`] afterwards.
    pub fn crash_at_next_lease(&self) {
        *lock_mutex(&self.0.crash_at_next_lease) = true;
    }

    /// Sets an option of the mount, with which the next instance is opened.
    pub fn set_option(&self, name: &str, value: &str) {
        lock_mutex(&self.0.options).insert(name.to_owned(), value.to_owned());
    }

    /// Opens a new instance over the same storage; an instance that is still running is killed
    /// first.
    ///
    /// # Errors
    ///
    /// The engine's message if it refuses to open.
    pub async fn try_reopen(&self) -> Result<(), String> {
        self.crash().await;
        let running = self.open_instance().await.map_err(|error| error.to_string())?;
        *self.lock_running() = Some(running);
        Ok(())
    }

    /// Opens a new instance over the same storage; an instance that is still running is killed
    /// first.
    ///
    /// # Panics
    ///
    /// If the engine refuses to open.
    pub async fn reopen(&self) {
        if let Err(error) = self.try_reopen().await {
            panic!("the engine can't be opened: {error}");
        }
    }

    /// Opens an instance of another engine over the same storage, such as the next version of the
    /// engine, for tests that leases, documents and intents of the old one are understood. An
    /// instance that is still running is killed first.
    ///
    /// # Panics
    ///
    /// If the engine refuses to open.
    pub async fn reopen_with(&self, engine: impl EngineFactory) {
        *lock_mutex(&self.0.factory) = Arc::new(engine);
        self.reopen().await;
    }

    /// Like [`reopen_with`](Self::reopen_with), for an engine that may refuse to open. Then there is no
    /// running instance.
    ///
    /// # Errors
    ///
    /// The engine's message if it refuses to open.
    pub async fn try_reopen_with(&self, engine: impl EngineFactory) -> Result<(), String> {
        *lock_mutex(&self.0.factory) = Arc::new(engine);
        self.try_reopen().await
    }

    pub(super) async fn stop(&self) {
        let engine = self.lock_running().as_ref().map(|running| running.engine.clone());
        if let Some(engine) = engine {
            engine.close().await;
        }
        self.crash().await;
    }

    async fn open_instance(&self) -> Result<RunningInstance, Box<dyn std::error::Error>> {
        let shared = &self.0;
        let (memory, clock) = (shared.memory.clone(), shared.clock.clone());
        let factory = lock_mutex(&shared.factory).clone();
        let foreign = shared.transport == Transport::Foreign;
        let storage = Arc::new(TestInstanceStorage::new(memory, clock, foreign));
        let mut config = lock_mutex(&shared.options).clone();
        if shared.transport != Transport::Foreign {
            config.insert(HOST_CONFIG_KEY.to_owned(), "1".to_owned());
        }
        let mount = MountContext {
            uuid: "7f5c0d0e-0000-4000-8000-000000000001".to_owned(),
            config,
            storage: storage.clone(),
            system: shared.system.clone(),
            clock: Arc::new(shared.clock.clone()),
            entropy: shared.entropy.clone(),
        };
        let (engine, process): (Arc<dyn Engine>, _) = match shared.transport {
            Transport::Linked => (factory.open(mount).await?, None),
            Transport::Wire | Transport::Foreign => {
                let (clock, entropy) = (mount.clock.clone(), mount.entropy.clone());
                let process = InProcessPlugin::start(factory, clock, entropy).await?;
                (Arc::new(process.set_up_instance(mount).await?), Some(process))
            }
        };
        storage.set_phase(InstancePhase::Live);
        engine.initialize().await?;
        Ok(RunningInstance { engine, storage, process })
    }

    // ── below ──

    fn running_engine(&self) -> Arc<dyn Engine> {
        match self.lock_running().as_ref() {
            Some(running) => running.engine.clone(),
            None => panic!("there is no instance: it crashed, and was not opened again"),
        }
    }

    /// Passes a request to the engine, and records it as a call in progress.
    async fn call_engine(&self, request: EngineRequest) -> Result<EngineResponse, EngineError> {
        let _call = self.0.calls.begin(format_args!("{} {}", request.operation, request.path));
        self.running_engine().handle(request).await
    }

    pub(super) async fn handle_request(
        &self,
        request: EngineRequest,
    ) -> Result<TestResponse, TestError> {
        let (operation, path) = (request.operation, request.path.clone());
        match self.call_engine(request).await? {
            EngineResponse::Nothing if operation.is_read() => {
                Err(TestError::new(ErrorKind::NotFound, ""))
            }
            EngineResponse::Nothing => Ok(TestResponse::default()),
            EngineResponse::Data(data) => Ok(TestResponse {
                data: data.object.fields(),
                warnings: data.warnings,
                headers: data.headers,
                refresh: data.refresh,
                wrap_ttl: data.wrap_ttl,
                ..TestResponse::default()
            }),
            EngineResponse::Leased(leased) => self.register_lease(&path, leased).await,
            EngineResponse::NotFound(data) => Err(TestError::not_found(&data)),
            EngineResponse::Raw(raw) => {
                Ok(TestResponse { raw: Some(raw), ..TestResponse::default() })
            }
            EngineResponse::Auth(auth) => Ok(TestResponse::from_login(*auth)),
            EngineResponse::Redirect(target) => {
                Ok(TestResponse { redirect: Some(target), ..TestResponse::default() })
            }
        }
    }

    /// Writes the lease and removes the intent in one batch, before the response is returned.
    async fn register_lease(
        &self,
        path: &str,
        mut leased: LeasedResponse,
    ) -> Result<TestResponse, TestError> {
        // Vault and OpenBao don't know receipts, and store the client's data with every lease.
        leased.keep_data |= self.transport() == Transport::Foreign;
        if std::mem::take(&mut *lock_mutex(&self.0.crash_at_next_lease)) {
            self.crash().await;
            return Err(TestError::new(ErrorKind::Unavailable, "the server died"));
        }
        let id = format!("{}{path}/{}", self.0.mount.path, self.0.entropy.base62(24));
        let lease = TestLease::new(
            id.clone(),
            path,
            &leased,
            self.0.system.current_lifetimes(),
            self.now(),
        );
        if let Some(intent) = &leased.intent {
            let key = format!("{INTENT_FOLDER}{intent}");
            let preconditions = vec![StoragePrecondition::Exists(key.clone())];
            let batch = StorageBatch { preconditions, ..StorageBatch::delete(key) };
            if self.0.memory.commit(batch).is_err() {
                // If this fails, the intent remains and the credential is undone later.
                let _ = self.revoke_credential(&lease).await;
                let text = "issuing took too long and the credential was revoked; try again";
                return Err(TestError::new(ErrorKind::Internal, text));
            }
        }
        self.lock_leases().insert(id, lease.clone());
        Ok(TestResponse {
            data: leased.data.object.fields(),
            warnings: leased.data.warnings,
            wrap_ttl: leased.data.wrap_ttl,
            headers: leased.data.headers,
            lease: Some(lease),
            ..TestResponse::default()
        })
    }

    fn lock_running(&self) -> MutexGuard<'_, Option<RunningInstance>> {
        lock_mutex(&self.0.running)
    }

    fn lock_leases(&self) -> MutexGuard<'_, BTreeMap<String, TestLease>> {
        lock_mutex(&self.0.leases)
    }
}

pub(super) fn lock_mutex<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parses a body as clients send it.
#[track_caller]
pub(super) fn parse_fields(body: impl fmt::Display) -> Fields {
    match Fields::parse(body.to_string().as_bytes(), &JsonLimits::default()) {
        Ok(fields) => fields,
        Err(error) => panic!("the test sends a body that no server lets through: {error}"),
    }
}

impl fmt::Debug for TestHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestHost").field("way", &self.0.transport).finish_non_exhaustive()
    }
}
