//! [`TestCore`]: a core in memory with fake engines, and helpers to send requests.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_barrier::SealConfig;
use strongroom_core::request::{CoreRequest, CoreResponse, ResponseEnvelope, Verb};
use strongroom_core::{
    AdmissionLimits, Core, CoreDependencies, Error, RequestHead, RequestPermit, Settings,
};
use strongroom_crypto::SystemEntropy;
use strongroom_engine::{ConnectionInfo, Engine, EngineFactory, MountContext, MountKind};
use strongroom_mounts::plugins::{
    NeededPlugins, PluginCopyGuard, PluginError, PluginKind, PluginLauncher, PluginSpec,
};
use strongroom_sdk::Blueprint;
use strongroom_storage::Physical;
use strongroom_storage::memory::MemoryStorage;
use strongroom_telemetry::MetricsExporter;
use strongroom_types::clock::ManualClock;
use strongroom_types::fields::JsonLimits;
use strongroom_types::{Fields, Secret};
use tokio::sync::Notify;

use super::fake_auth_method::FakeAuthMethod;
use super::fake_outside_system::FakeOutsideSystem;

/// A launcher of linked-in engines; its "plug-ins" are the same engines with another version.
#[derive(Debug, Default)]
pub(crate) struct FakePluginLauncher {
    factories: Mutex<BTreeMap<String, Blueprint>>,
    /// The version that a registered plug-in reports.
    pub(crate) plugin_version: Mutex<&'static str>,
    /// The version it reports once mounted, if different.
    pub(crate) reported_once_mounted: Mutex<Option<&'static str>>,
    pub(crate) broken: Mutex<bool>,
    /// The configuration passed to the engine opened last.
    pub(crate) last_mount_config: Mutex<BTreeMap<String, String>>,
    /// Name and version of each plug-in whose copy was kept when copies were last removed.
    pub(crate) copies: Mutex<Vec<String>>,
    /// Guards held while a plug-in is registered or mounted.
    kept_copies: Mutex<Vec<Weak<String>>>,
    /// Blocks the next start of a plug-in, if set.
    pub(crate) launch_gate: Mutex<Option<Arc<LaunchGate>>>,
    /// The auth method `door`, and the secrets engine `door-engine` that shares its behavior.
    pub(crate) auth_method: FakeAuthMethod,
}

#[async_trait]
impl PluginLauncher for FakePluginLauncher {
    fn builtin_version(&self, kind: PluginKind, name: &str) -> Option<String> {
        if matches!((kind, name), (PluginKind::Auth, "door") | (PluginKind::Secret, "door-engine"))
        {
            return Some("v1.0.0+builtin".to_owned());
        }
        let factories = self.factories.lock().unwrap();
        let factory = factories.get(name).filter(|_| kind == PluginKind::Secret)?;
        Some(format!("{}+builtin", factory.version()))
    }

    fn builtin_names(&self, kind: PluginKind) -> Vec<String> {
        let names = self.factories.lock().unwrap().keys().cloned().collect();
        if kind == PluginKind::Secret { names } else { Vec::new() }
    }

    async fn open_builtin(
        &self,
        _: PluginKind,
        name: &str,
        mount: MountContext,
    ) -> Result<Arc<dyn Engine>, PluginError> {
        *self.last_mount_config.lock().unwrap() = mount.config.clone();
        match name {
            "door" => return Ok(self.auth_method.engine(MountKind::Auth)),
            "door-engine" => return Ok(self.auth_method.engine(MountKind::Secret)),
            "kv" => return Ok(strongroom_engine_kv::engine().open(mount).await?),
            _ => {}
        }
        let factory = self.factories.lock().unwrap().get(name).cloned();
        Ok(factory.unwrap().open(mount).await?)
    }

    async fn probe(&self, _: &PluginSpec) -> Result<String, PluginError> {
        self.wait_at_gate().await;
        Ok(self.plugin_version.lock().unwrap().to_string())
    }

    fn start_fresh_process_next(&self, _: PluginKind, _: &str) {}

    fn keep_copy(&self, spec: &PluginSpec) -> PluginCopyGuard {
        let kept = Arc::new(copy_name(spec));
        self.kept_copies.lock().unwrap().push(Arc::downgrade(&kept));
        Box::new(kept)
    }

    async fn remove_copies_except(&self, needed: &NeededPlugins<'_>) {
        let mut left: Vec<String> = needed().iter().map(copy_name).collect();
        left.extend(self.kept_copy_names());
        *self.copies.lock().unwrap() = left;
    }

    async fn open_plugin(
        &self,
        spec: &PluginSpec,
        mount: MountContext,
        _: &str,
    ) -> Result<Arc<dyn Engine>, PluginError> {
        if *self.broken.lock().unwrap() {
            return Err(PluginError::Start("it does not start".to_owned()));
        }
        self.wait_at_gate().await;
        let factory = self.factories.lock().unwrap().get(&spec.name).cloned().unwrap();
        let version: &'static str = match *self.reported_once_mounted.lock().unwrap() {
            Some(version) => version,
            None => spec.version.clone().leak(),
        };
        Ok(factory.with_version(version).open(mount).await?)
    }
}

/// Blocks a task until the test releases it.
#[derive(Debug, Default)]
pub(crate) struct LaunchGate {
    pub(crate) reached: Notify,
    pub(crate) open: Notify,
}

impl FakePluginLauncher {
    async fn wait_at_gate(&self) {
        let gate = self.launch_gate.lock().unwrap().take();
        if let Some(gate) = gate {
            gate.reached.notify_one();
            gate.open.notified().await;
        }
    }

    /// Adds an engine that is linked in.
    pub(crate) fn add_builtin(&self, engine: Blueprint) {
        self.factories.lock().unwrap().insert(engine.name().to_owned(), engine);
    }

    /// Name and version of each plug-in whose copy is held by a guard.
    pub(crate) fn kept_copy_names(&self) -> Vec<String> {
        let kept = self.kept_copies.lock().unwrap();
        kept.iter().filter_map(Weak::upgrade).map(|kept| String::clone(&kept)).collect()
    }
}

fn copy_name(spec: &PluginSpec) -> String {
    format!("{} {}", spec.name, spec.version)
}

pub(crate) struct TestCore {
    pub(crate) core: Core,
    pub(crate) clock: ManualClock,
    pub(crate) outside: FakeOutsideSystem,
    pub(crate) plugins: Arc<FakePluginLauncher>,
    pub(crate) physical: Arc<dyn Physical>,
    pub(crate) root: String,
    pub(crate) settings: Settings,
    key_share: Secret<Vec<u8>>,
}

/// The parts of a response that tests check.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) data: Fields,
    pub(crate) auth: Fields,
    pub(crate) lease_id: String,
    pub(crate) ttl: u64,
    pub(crate) warnings: Vec<String>,
}

impl TestResponse {
    pub(crate) fn text(&self, name: &str) -> String {
        self.data.text(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.data))
    }

    pub(crate) fn json(&self, name: &str) -> &str {
        self.data.get(name).map_or("", |raw| raw.get())
    }
}

impl TestCore {
    pub(crate) async fn new() -> Self {
        Self::with_storage(Arc::new(MemoryStorage::new())).await
    }

    pub(crate) async fn with_storage(physical: Arc<dyn Physical>) -> Self {
        Self::with_limits(physical, AdmissionLimits::default()).await
    }

    pub(crate) async fn with_limits(
        physical: Arc<dyn Physical>,
        admission: AdmissionLimits,
    ) -> Self {
        let (clock, outside, linked) = (
            ManualClock::default(),
            FakeOutsideSystem::default(),
            Arc::new(FakePluginLauncher::default()),
        );
        {
            let mut factories = linked.factories.lock().unwrap();
            factories.insert("kv".to_owned(), strongroom_engine_kv::blueprint());
            factories.insert("outside".to_owned(), outside.blueprint("1.0.0"));
        }
        let version = "2.0.0".to_owned();
        let settings = Settings { version, admission, ..Settings::default() };
        let core = make_core(&physical, &clock, &linked, &settings);
        let config = SealConfig::new(1, 1).unwrap();
        let mut made = core.initialise(config, None).await.unwrap();
        let share = made.shares.pop().unwrap();
        let root = made.root_token.expose_secret().clone();
        let bench = Self {
            core,
            clock,
            outside,
            plugins: linked,
            physical,
            root,
            settings,
            key_share: share,
        };
        bench.unseal().await;
        bench
    }

    pub(crate) fn auth_method(&self) -> &FakeAuthMethod {
        &self.plugins.auth_method
    }

    pub(crate) async fn unseal(&self) {
        self.core.unseal(self.key_share()).await.unwrap();
    }

    /// The only key share.
    pub(crate) fn key_share(&self) -> Secret<Vec<u8>> {
        Secret::new(self.key_share.expose_secret().clone())
    }

    /// Simulates a restart: a new core on the same storage, unsealed.
    pub(crate) async fn restart(&mut self) {
        self.core = make_core(&self.physical, &self.clock, &self.plugins, &self.settings);
        self.unseal().await;
    }

    pub(crate) async fn send(
        &self,
        verb: Verb,
        path: &str,
        token: &str,
        body: &str,
    ) -> Result<CoreResponse, Error> {
        self.send_with(verb, path, token, body, &[]).await
    }

    /// Sends a request with headers.
    pub(crate) async fn send_with(
        &self,
        verb: Verb,
        path: &str,
        token: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<CoreResponse, Error> {
        let fields = Fields::parse(body.as_bytes(), &JsonLimits::default()).unwrap();
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), vec![(*value).to_owned()]);
        let headers = headers.iter().map(header).collect::<BTreeMap<_, _>>().into();
        let request = new_request(&self.core, verb, path, token);
        self.handle(CoreRequest { fields, headers, ..request }).await
    }

    pub(crate) async fn handle(&self, request: CoreRequest) -> Result<CoreResponse, Error> {
        admit_and_handle(&self.core, request).await
    }

    /// Requests admission, as the HTTP server does.
    pub(crate) async fn admit(&self, path: &str, token: &str) -> Result<RequestPermit, Error> {
        self.admit_from(None, path, token).await
    }

    pub(crate) async fn admit_from(
        &self,
        address: Option<IpAddr>,
        path: &str,
        token: &str,
    ) -> Result<RequestPermit, Error> {
        let token = (!token.is_empty()).then(|| Secret::from_text(token));
        self.core.admit(RequestHead { path, token: token.as_ref(), address }).await
    }

    /// Sends a request from a client address, as over TCP.
    pub(crate) async fn send_from(
        &self,
        address: &str,
        verb: Verb,
        path: &str,
        token: &str,
    ) -> Result<CoreResponse, Error> {
        let connection = Some(ConnectionInfo::new(address.parse().unwrap(), 4711));
        let request = new_request(&self.core, verb, path, token);
        self.handle(CoreRequest { connection, ..request }).await
    }

    /// Sends a request as root, which must succeed.
    pub(crate) async fn succeeds(&self, verb: Verb, path: &str, body: &str) -> TestResponse {
        self.succeeds_as(&self.root, verb, path, body).await
    }

    pub(crate) async fn succeeds_as(
        &self,
        token: &str,
        verb: Verb,
        path: &str,
        body: &str,
    ) -> TestResponse {
        match self.send(verb, path, token, body).await {
            Ok(answer) => into_test_response(answer),
            Err(error) => panic!("{verb:?} {path}: {error}"),
        }
    }

    pub(crate) async fn write(&self, path: &str, body: &str) -> TestResponse {
        self.succeeds(Verb::Write, path, body).await
    }

    pub(crate) async fn read(&self, path: &str) -> TestResponse {
        self.succeeds(Verb::Read, path, "").await
    }

    /// Reads with query parameters.
    pub(crate) async fn send_query(&self, path: &str, query: &[(&str, &str)]) -> TestResponse {
        let mut fields = Fields::new();
        for (name, value) in query {
            fields.set(*name, value);
        }
        let body = String::from_utf8(fields.to_object().into_bytes().to_vec()).unwrap();
        self.succeeds(Verb::Read, path, &body).await
    }

    /// Sends a request as root, which must fail.
    pub(crate) async fn fails(&self, verb: Verb, path: &str, body: &str) -> Error {
        self.fails_as(&self.root, verb, path, body).await
    }

    pub(crate) async fn fails_as(&self, token: &str, verb: Verb, path: &str, body: &str) -> Error {
        match self.send(verb, path, token, body).await {
            Err(error) => error,
            Ok(answer) => panic!("{verb:?} {path} must fail: {answer:?}"),
        }
    }

    /// Writes a new policy and creates a token with it. `more` is added to the JSON of the request.
    pub(crate) async fn token_with_policy(&self, policy: &str, more: &str) -> String {
        let mut fields = Fields::new();
        fields.set("policy", &policy);
        let name = format!("p{}", self.text_hash(policy));
        let body = String::from_utf8(fields.to_object().into_bytes().to_vec()).unwrap();
        self.write(&format!("sys/policies/acl/{name}"), &body).await;
        let body = format!("{{\"policies\":[\"{name}\"]{more}}}");
        self.write("auth/token/create", &body).await.auth.text("client_token").unwrap()
    }

    fn text_hash(&self, text: &str) -> usize {
        text.bytes()
            .fold(7, |hash: usize, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)))
    }

    /// Mounts the engine of the fake external system at `out/`, configures it and writes a role.
    pub(crate) async fn with_credential_engine(self) -> Self {
        self.write("sys/mounts/out", r#"{"type":"outside"}"#).await;
        self.write("out/config", r#"{"password":"p"}"#).await;
        self.write("out/roles/dev", r#"{"ttl":60,"max_ttl":600}"#).await;
        self
    }

    /// Advances the clock and runs all tasks until they are idle.
    pub(crate) async fn advance_secs(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
        self.run_until_idle().await;
    }

    pub(crate) async fn run_until_idle(&self) {
        for _ in 0..300 {
            tokio::task::yield_now().await;
        }
    }
}

/// Admits a request by its head, then handles it, as the HTTP server does.
/// A request without fields and headers, as over a Unix socket. An empty `token` is none.
pub(crate) fn new_request(core: &Core, verb: Verb, path: &str, token: &str) -> CoreRequest {
    CoreRequest {
        span: core.begin_request(),
        verb,
        path: path.to_owned(),
        fields: Fields::new(),
        raw_body: None,
        token: (!token.is_empty()).then(|| Secret::from_text(token)),
        headers: strongroom_core::RequestHeaders::default(),
        connection: None,
    }
}

pub(crate) async fn admit_and_handle(
    core: &Core,
    request: CoreRequest,
) -> Result<CoreResponse, Error> {
    let span = request.span.span().clone();
    let work = async {
        let path = request.path.as_str();
        let address = request.connection.as_ref().map(|connection| connection.address);
        let head = RequestHead { path, token: request.token.as_ref(), address };
        let permit = core.admit(head).await?;
        core.handle(permit, request).await
    };
    tracing::Instrument::instrument(work, span).await
}

pub(crate) fn make_core(
    physical: &Arc<dyn Physical>,
    clock: &ManualClock,
    linked: &Arc<FakePluginLauncher>,
    settings: &Settings,
) -> Core {
    let parts = CoreDependencies {
        physical: physical.clone(),
        plugin_launcher: linked.clone(),
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SystemEntropy),
        exporter: MetricsExporter::detached(),
    };
    Core::new(parts, crate::BUILT_INS, settings.clone())
}

pub(crate) fn into_test_response(answer: CoreResponse) -> TestResponse {
    let envelope = match answer {
        CoreResponse::Envelope(envelope) => *envelope,
        CoreResponse::WithoutEnvelope { body, .. } => {
            let object = strongroom_types::RawObject::from_json(body).unwrap();
            ResponseEnvelope { data: Some(object), ..ResponseEnvelope::default() }
        }
        _ => ResponseEnvelope::default(),
    };
    let fields = |object: Option<strongroom_types::RawObject>| {
        object.map(|object| object.fields()).unwrap_or_default()
    };
    TestResponse {
        data: fields(envelope.data),
        auth: fields(envelope.auth),
        lease_id: envelope.lease_id,
        ttl: envelope.lease_duration.as_secs(),
        warnings: envelope.warnings,
    }
}

/// What `http` makes the messages of a response from, in a form that is short to compare.
pub(crate) trait ReportedMessages {
    /// The message for the client, with ` (collected)` appended if `http` puts it into a list;
    /// empty if there is none.
    fn messages(&self) -> Vec<String>;
}

impl ReportedMessages for Error {
    fn messages(&self) -> Vec<String> {
        let list = if self.is_collected() { " (collected)" } else { "" };
        self.client_message().map(|text| format!("{text}{list}")).into_iter().collect()
    }
}
