//! Tests of the plug-in's side with all terms that a host can request, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use strongroom_crypto::SystemEntropy;
use strongroom_engine::{Engine, MountKind};
use strongroom_engine_wire::{
    BackendService, HostFacts, InstanceSetup, RemoteEngine, probe_services,
};
use strongroom_plugin_protocol::address::PeerAddress;
use strongroom_plugin_protocol::broker::{HostBroker, PluginBroker};
use strongroom_plugin_protocol::generated::logical::plugin_version_client::PluginVersionClient;
use strongroom_plugin_protocol::generated::multiplexing::MultiplexingSupportRequest;
use strongroom_plugin_protocol::generated::multiplexing::plugin_multiplexing_client::PluginMultiplexingClient;
use strongroom_plugin_protocol::generated::pb::backend_client::BackendClient;
use strongroom_plugin_protocol::generated::{logical, pb};
use strongroom_plugin_protocol::handshake::{HandshakeMode, OfferedVersions};
use strongroom_plugin_protocol::metadata::{ForInstance, MULTIPLEX_ID};
use strongroom_plugin_protocol::tasks::TaskGroup;
use strongroom_plugin_protocol::tls::{TlsIdentity, client_config, server_config};
use strongroom_plugin_protocol::transport::{
    Channel, PluginListener, SocketFolder, TransportSecurity,
};
use strongroom_types::clock::ManualClock;
use strongroom_types::{Clock, Entropy};
use tokio::sync::{Notify, mpsc};
use tokio_util::task::TaskTracker;
use tonic::{Code, Request as Call, Status};

use super::host_link::{HandshakeRequest, HostLink};
use super::services::{self, NegotiatedTerms};
use crate::Blueprint;
use crate::free_form::FreeForm;

const METADATA: (&str, &str) = ("VAULT_PLUGIN_METADATA_MODE", "true");
const TOKEN: (&str, &str) = ("VAULT_UNWRAP_TOKEN", "a token");
const REFUSAL: &str = "plugin server can not perform action while in metadata mode";

fn env_lookup<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + Copy + 'a {
    |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

fn read_handshake(pairs: &[(&str, &str)]) -> Result<HandshakeRequest, String> {
    HandshakeRequest::read(&[], env_lookup(pairs))
}

/// A host's certificate, to be passed in the environment.
fn host_identity() -> TlsIdentity {
    TlsIdentity::generate(&ManualClock::default(), &SystemEntropy).unwrap()
}

/// The handshake line for a host, without the address.
async fn handshake_line(pairs: &[(&str, &str)]) -> String {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let link = HostLink::negotiate(read_handshake(pairs).unwrap(), &clock, &entropy).await.unwrap();
    link.handshake_line(PeerAddress::unix("/tmp/x").unwrap()).to_string()
}

#[test]
fn terms_follow_version_and_mode() {
    let pem = ("PLUGIN_CLIENT_CERT", "a certificate");
    let terms = |one_instance, only_metadata| NegotiatedTerms { one_instance, only_metadata };
    for (versions, mode, expected) in [
        ("5", pem, terms(false, false)),
        ("3,4,5", pem, terms(false, false)),
        ("3,4", pem, terms(true, false)),
        ("3,4", TOKEN, terms(true, false)),
        ("3,4", METADATA, terms(true, true)),
        ("5", METADATA, terms(false, true)),
        // No common version: the lowest is served, and the host reports the mismatch.
        ("6", pem, terms(true, false)),
        ("", TOKEN, terms(true, false)),
    ] {
        let wishes = read_handshake(&[("PLUGIN_PROTOCOL_VERSIONS", versions), mode]).unwrap();
        assert_eq!(wishes.negotiated_terms(), expected, "{versions} {mode:?}");
    }
    let both = read_handshake(&[("PLUGIN_PROTOCOL_VERSIONS", "5"), pem, METADATA]).unwrap();
    assert_eq!(both.negotiated_terms(), terms(false, true));
}

#[test]
fn a_host_that_asks_for_no_protection_is_refused() {
    for versions in ["5", "3,4"] {
        let refused = read_handshake(&[("PLUGIN_PROTOCOL_VERSIONS", versions)]);
        assert!(refused.err().unwrap().contains("AutoMTLS"));
    }
}

#[tokio::test]
async fn the_handshake_line_has_version_and_certificate() {
    let host = host_identity();
    let pem = ("PLUGIN_CLIENT_CERT", host.certificate_pem());
    let line = handshake_line(&[("PLUGIN_PROTOCOL_VERSIONS", "5,4,3"), pem]).await;
    let certificate = line.strip_prefix("1|5|unix|/tmp/x|grpc|").unwrap();
    assert!(certificate.len() > 200, "{line}");
    let line = handshake_line(&[("PLUGIN_PROTOCOL_VERSIONS", "3,4"), METADATA]).await;
    assert_eq!(line, "1|4|unix|/tmp/x|grpc|");
    assert!(
        line.parse::<strongroom_plugin_protocol::handshake::HandshakeLine>().is_ok_and(|line| line
            .under_auto_mtls(&OfferedVersions::from_versions([3, 4]))
            .is_err())
    );
    let line = handshake_line(&[
        ("PLUGIN_PROTOCOL_VERSIONS", "3"),
        ("BAO_PLUGIN_METADATA_MODE", "true"),
        ("PLUGIN_MULTIPLEX_GRPC", "true"),
    ])
    .await;
    assert_eq!(line, "1|3|unix|/tmp/x|grpc||false");
}

/// A host and a plug-in, connected as the host requested.
struct PluginFixture {
    _parent: tempfile::TempDir,
    main: Channel,
    broker: HostBroker,
    clock: Arc<dyn Clock>,
    tasks: TaskGroup,
}

impl PluginFixture {
    /// `environment` contains everything but a certificate, which `mutual` adds.
    async fn new(environment: &[(&str, &str)], mutual: bool) -> Self {
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
            (Arc::new(ManualClock::default()), Arc::new(SystemEntropy));
        let host = host_identity();
        let mut environment = environment.to_vec();
        if mutual {
            environment.push(("PLUGIN_CLIENT_CERT", host.certificate_pem()));
        }
        let link = HostLink::negotiate(read_handshake(&environment).unwrap(), &clock, &entropy)
            .await
            .unwrap();
        let line = link.handshake_line(PeerAddress::unix("/tmp/x").unwrap());
        let (to_plugin, of_broker) =
            match HandshakeMode::from_environment(env_lookup(&environment)).unwrap() {
                HandshakeMode::Metadata(plaintext) => {
                    (TransportSecurity::from(plaintext), TransportSecurity::from(plaintext))
                }
                _ => {
                    let plugin = line
                        .under_auto_mtls(&OfferedVersions::from_versions([3, 4, 5]))
                        .unwrap()
                        .certificate;
                    let client = client_config(&host, plugin.clone()).unwrap();
                    (client.into(), server_config(&host, plugin).unwrap().into())
                }
            };

        let parent = tempfile::tempdir().unwrap();
        let folder = Arc::new(SocketFolder::create(parent.path(), &SystemEntropy).unwrap());
        let tracker = TaskTracker::new();
        let tasks = TaskGroup::new(tracker.clone(), clock.clone());
        let listener = PluginListener::bind(&folder, "plugin").unwrap();
        let address = listener.address().clone();
        let engine =
            Blueprint::new("notes", "1.2.3").free_form("{path..}", "A note.", FreeForm::new());
        let broker = PluginBroker::new(&tasks);
        let backend =
            BackendService::new(Arc::new(engine), broker, link.client, clock.clone(), entropy);
        let (shutdown, (_, printed)) = (Arc::new(Notify::new()), mpsc::channel(1));
        let services = services::services_for(link.terms, &backend, shutdown, printed, &tasks);
        let (server, serving) = (link.server, tasks.clone());
        tracker.spawn(async move { listener.serve(server, services, &serving).await });

        let main = Channel::connect(&address, to_plugin, &tasks).await.unwrap();
        let broker = HostBroker::open(&main, folder, of_broker, &tasks);
        Self { _parent: parent, main, broker, clock, tasks }
    }

    async fn set_up(&self) -> RemoteEngine {
        let setting = InstanceSetup {
            channel: &self.main,
            broker: &self.broker,
            services: probe_services(HostFacts { version: "1.0.0".to_owned() }),
            instance: "one".to_owned(),
            mount: None,
            clock: self.clock.clone(),
            limit: Duration::from_secs(10),
        };
        RemoteEngine::set_up(setting).await.unwrap()
    }

    fn backend_client(&self, instance: &str) -> BackendClient<ForInstance<Channel>> {
        BackendClient::new(ForInstance::new(self.main.clone(), instance).unwrap())
    }

    async fn plugin_version(&self) -> String {
        let mut client = PluginVersionClient::new(self.main.clone());
        let reply = client.version(Call::new(logical::Empty {})).await;
        reply.unwrap().into_inner().plugin_version
    }

    async fn supports_multiplexing(&self) -> Result<bool, Status> {
        let mut client = PluginMultiplexingClient::new(self.main.clone());
        let reply = client.multiplexing_support(Call::new(MultiplexingSupportRequest {})).await;
        reply.map(|reply| reply.into_inner().supported)
    }

    /// Calls everything that needs a mount, and returns the errors.
    async fn errors_of_requests(&self) -> Vec<Option<Status>> {
        let mut backend = self.backend_client("one");
        let request = pb::Request {
            operation: "read".to_owned(),
            path: "a".to_owned(),
            ..pb::Request::default()
        };
        let request = Some(Box::new(request));
        let check = pb::HandleExistenceCheckArgs { storage_id: 0, request: request.clone() };
        vec![
            backend.initialize(Call::new(pb::InitializeArgs {})).await.err(),
            backend.handle_request(pb::HandleRequestArgs { storage_id: 0, request }).await.err(),
            backend.handle_existence_check(check).await.err(),
            backend.invalidate_key(pb::InvalidateKeyArgs { key: "a".to_owned() }).await.err(),
        ]
    }
}

impl Drop for PluginFixture {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// Tested without TLS and, since a host may request that too, with TLS.
#[tokio::test]
async fn metadata_mode_answers_what_the_engine_is_and_nothing_else() {
    let old: &[(&str, &str)] = &[("PLUGIN_PROTOCOL_VERSIONS", "3,4"), METADATA];
    let new: &[(&str, &str)] = &[("PLUGIN_PROTOCOL_VERSIONS", "5"), METADATA];
    for (environment, mutual) in [(old, false), (old, true), (new, true)] {
        let scene = PluginFixture::new(environment, mutual).await;
        let engine = scene.set_up().await;
        assert_eq!(engine.description().kind, MountKind::Secret);
        assert_eq!(scene.plugin_version().await, "v1.2.3");
        for error in scene.errors_of_requests().await {
            let status = error.unwrap();
            assert_eq!((status.code(), status.message()), (Code::Unknown, REFUSAL));
        }
        scene.backend_client("one").cleanup(pb::Empty {}).await.unwrap();
    }
}

#[tokio::test]
async fn outside_metadata_mode_requests_are_handled() {
    for versions in ["5", "3,4"] {
        let scene = PluginFixture::new(&[("PLUGIN_PROTOCOL_VERSIONS", versions)], true).await;
        let _engine = scene.set_up().await;
        for error in scene.errors_of_requests().await {
            assert!(error.is_none(), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_single_instance_needs_no_name() {
    let scene = PluginFixture::new(&[("PLUGIN_PROTOCOL_VERSIONS", "3,4")], true).await;
    let unimplemented = scene.supports_multiplexing().await.unwrap_err();
    assert_eq!(unimplemented.code(), Code::Unimplemented);
    let _engine = scene.set_up().await;
    let mut nameless = BackendClient::new(scene.main.clone());
    assert_eq!(nameless.r#type(pb::Empty {}).await.unwrap().into_inner().r#type, 1);
    scene.backend_client("another").special_paths(pb::Empty {}).await.unwrap();
    let mut twice = Call::new(pb::Empty {});
    twice.metadata_mut().append(MULTIPLEX_ID, "a".parse().unwrap());
    twice.metadata_mut().append(MULTIPLEX_ID, "b".parse().unwrap());
    nameless.r#type(twice).await.unwrap();
    // There is a single instance, so it can be closed only once.
    nameless.cleanup(pb::Empty {}).await.unwrap();
    scene.backend_client("one").r#type(pb::Empty {}).await.unwrap_err();
}

#[tokio::test]
async fn instances_that_share_a_process_must_be_named() {
    let scene = PluginFixture::new(&[("PLUGIN_PROTOCOL_VERSIONS", "5")], true).await;
    assert!(scene.supports_multiplexing().await.unwrap());
    let _engine = scene.set_up().await;
    let mut nameless = BackendClient::new(scene.main.clone());
    nameless.r#type(pb::Empty {}).await.unwrap_err();
    scene.backend_client("another").r#type(pb::Empty {}).await.unwrap_err();
    scene.backend_client("one").r#type(pb::Empty {}).await.unwrap();
}
