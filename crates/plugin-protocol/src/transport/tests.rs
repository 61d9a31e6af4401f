use std::future::{Future, pending};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use strongroom_types::clock::ManualClock;
use strongroom_types::entropy::SeededEntropy;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::task::TaskTracker;
use tonic::{Code, Request, Response, Status, Streaming};

use super::listener::{MAX_CONNECTIONS, MAX_SOCKET_PATH_BYTES, http2_handshake, run_connection};
use super::services::MAX_MESSAGE_BYTES;
use super::write_coalescer::WriteCoalescer;
use super::*;
use crate::address::PeerAddress;
use crate::generated::plugin::grpc_broker_client::GrpcBrokerClient;
use crate::generated::plugin::grpc_broker_server::{GrpcBroker, GrpcBrokerServer};
use crate::generated::plugin::grpc_controller_client::GrpcControllerClient;
use crate::generated::plugin::grpc_stdio_client::GrpcStdioClient;
use crate::generated::plugin::grpc_stdio_server::{GrpcStdio, GrpcStdioServer};
use crate::generated::plugin::{ConnInfo, Empty, StdioData};
use crate::generated::strongroom::mount_storage_client::MountStorageClient;
use crate::generated::strongroom::mount_storage_server::{MountStorage, MountStorageServer};
use crate::generated::strongroom::{
    CommitReply, CommitRequest, Committed, GetReply, GetRequest, Put, Versioned, commit_reply,
};
use crate::handshake::{HandshakeMode, Plaintext};
use crate::tasks::TaskGroup;
use crate::tls::{SERVER_NAME, TlsIdentity, client_config, server_config};

/// Reports when a handler started and when it was dropped.
#[derive(Clone)]
struct EchoService {
    events: mpsc::UnboundedSender<&'static str>,
}

struct DropNotifier(mpsc::UnboundedSender<&'static str>);

impl Drop for DropNotifier {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

#[tonic::async_trait]
impl MountStorage for EchoService {
    async fn commit(
        &self,
        request: Request<CommitRequest>,
    ) -> Result<Response<CommitReply>, Status> {
        let version = request.into_inner().puts.iter().map(|put| put.value.len() as u64).sum();
        let outcome = Some(commit_reply::Outcome::Committed(Committed { version }));
        Ok(Response::new(CommitReply { outcome }))
    }

    async fn get_versioned(
        &self,
        request: Request<GetRequest>,
    ) -> Result<Response<GetReply>, Status> {
        let key = request.into_inner().key;
        let value = match key.as_str() {
            "panic" => panic!("as asked"),
            "refuse" => return Err(Status::permission_denied("x".repeat(100_000))),
            "never" => {
                let _dropped = DropNotifier(self.events.clone());
                self.events.send("begun").unwrap();
                pending().await
            }
            key => match key.strip_prefix("size ") {
                Some(size) => vec![7; size.parse().unwrap()],
                None => key.as_bytes().to_vec(),
            },
        };
        let entry = Versioned { value: value.into(), ..Versioned::default() };
        Ok(Response::new(GetReply { entry: Some(entry), ..GetReply::default() }))
    }
}

#[tonic::async_trait]
impl GrpcStdio for EchoService {
    type StreamStdioStream = Pin<Box<dyn Stream<Item = Result<StdioData, Status>> + Send>>;

    /// Sends many times what the windows hold; each message contains its number.
    async fn stream_stdio(
        &self,
        _: Request<()>,
    ) -> Result<Response<Self::StreamStdioStream>, Status> {
        let messages = stream::iter(0_u32..2000).map(|number| {
            let mut data = vec![0; 100_000];
            data[..4].copy_from_slice(&number.to_le_bytes());
            Ok(StdioData { channel: 1, data: data.into() })
        });
        Ok(Response::new(messages.boxed()))
    }
}

#[tonic::async_trait]
impl GrpcBroker for EchoService {
    type StartStreamStream = Pin<Box<dyn Stream<Item = Result<ConnInfo, Status>> + Send>>;

    /// Returns the messages that it receives.
    async fn start_stream(
        &self,
        request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        Ok(Response::new(request.into_inner().boxed()))
    }
}

/// A server on a socket, and everything that a client needs.
struct TransportFixture {
    _parent: tempfile::TempDir,
    folder: Arc<SocketFolder>,
    host: TlsIdentity,
    plugin: TlsIdentity,
    clock: ManualClock,
    server: TaskGroup,
    server_tracker: TaskTracker,
    server_clock: ManualClock,
    client: TaskGroup,
    address: PeerAddress,
    events: mpsc::UnboundedReceiver<&'static str>,
    echo: EchoService,
}

fn test_identity(seed: u64) -> TlsIdentity {
    TlsIdentity::generate(&ManualClock::default(), &SeededEntropy::new(seed)).unwrap()
}

impl TransportFixture {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = SocketFolder::create(parent.path(), &SeededEntropy::new(1)).unwrap();
        let (clock, server_clock) = (ManualClock::default(), ManualClock::default());
        let server_tracker = TaskTracker::new();
        let server = TaskGroup::new(server_tracker.clone(), Arc::new(server_clock.clone()));
        let client = TaskGroup::new(TaskTracker::new(), Arc::new(clock.clone()));
        let (sender, events) = mpsc::unbounded_channel();
        let mut scene = Self {
            _parent: parent,
            folder: Arc::new(folder),
            host: test_identity(1),
            plugin: test_identity(2),
            clock,
            server,
            server_tracker,
            server_clock,
            client,
            address: PeerAddress::unix("/nowhere").unwrap(),
            events,
            echo: EchoService { events: sender },
        };
        scene.address = scene.listen("s");
        scene
    }

    fn listen(&self, name: &str) -> PeerAddress {
        let listener = PluginListener::bind(&self.folder, name).unwrap();
        let address = listener.address().clone();
        let (tls, services, tasks) = (self.server_tls(), self.echo_services(), self.server.clone());
        self.server.spawn_counted(async move { listener.serve(tls, services, &tasks).await });
        address
    }

    fn server_tls(&self) -> Arc<ServerConfig> {
        server_config(&self.plugin, self.host.certificate()).unwrap()
    }

    fn echo_services(&self) -> GrpcServices {
        GrpcServices::new()
            .with_service(MountStorageServer::new(self.echo.clone()))
            .with_service(GrpcStdioServer::new(self.echo.clone()))
            .with_service(GrpcBrokerServer::new(self.echo.clone()))
    }

    async fn connect_as(
        &self,
        host: &TlsIdentity,
        peer: &TlsIdentity,
    ) -> Result<Channel, ConnectError> {
        let tls = client_config(host, peer.certificate()).unwrap();
        Channel::connect(&self.address, tls, &self.client).await
    }

    async fn connect(&self) -> Channel {
        self.connect_as(&self.host, &self.plugin).await.unwrap()
    }

    fn socket_path(&self) -> PathBuf {
        self.folder.path().join("s")
    }
}

fn storage_client(channel: &Channel) -> MountStorageClient<Channel> {
    MountStorageClient::new(channel.clone()).any_size()
}

async fn get(channel: &Channel, key: &str) -> Result<Vec<u8>, Status> {
    let request = GetRequest { key: key.to_owned() };
    let reply = storage_client(channel).get_versioned(request).await?.into_inner();
    Ok(reply.entry.unwrap().value.to_vec())
}

/// A test that hangs fails.
fn run_with_timeout(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await }).unwrap();
}

#[test]
fn calls_are_answered_one_by_one_and_at_once() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let channel = scene.connect().await;
        assert_eq!(get(&channel, "hello").await.unwrap(), b"hello");
        let calls = (0..200).map(|number| {
            let channel = channel.clone();
            async move { get(&channel, &number.to_string()).await.unwrap() }
        });
        let answers = futures_util::future::join_all(calls).await;
        for (number, answer) in answers.iter().enumerate() {
            assert_eq!(answer, number.to_string().as_bytes());
        }
    });
}

#[test]
fn large_messages_pass_in_both_directions() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let channel = scene.connect().await;
        for size in [0, 1, 16_379, 16_384, 65_536, 5 << 20, 20 << 20] {
            assert_eq!(get(&channel, &format!("size {size}")).await.unwrap().len(), size);
            let put = Put { value: vec![1; size].into(), ..Put::default() };
            let request = CommitRequest { puts: vec![put], ..CommitRequest::default() };
            let reply = storage_client(&channel).commit(request).await.unwrap().into_inner();
            let expected = Committed { version: size as u64 };
            assert_eq!(reply.outcome, Some(commit_reply::Outcome::Committed(expected)));
        }
    });
}

#[test]
fn an_oversized_message_is_refused() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let channel = scene.connect().await;
        let refused = get(&channel, &format!("size {}", MAX_MESSAGE_BYTES + 1)).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
        assert_eq!(get(&channel, "size 1").await.unwrap().len(), 1, "the connection goes on");
    });
}

#[test]
fn large_messages_at_once_do_not_hold_each_other_up() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let channel = scene.connect().await;
        let calls = (0..12).map(|_| get(&channel, "size 6000000"));
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(answer.unwrap().len(), 6_000_000);
        }
    });
}

#[test]
fn a_long_stream_arrives_whole_and_in_order() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let mut client = GrpcStdioClient::new(scene.connect().await).any_size();
        let mut messages = client.stream_stdio(()).await.unwrap().into_inner();
        for expected in 0_u32..2000 {
            let data = messages.message().await.unwrap().unwrap().data;
            assert_eq!(data[..4], expected.to_le_bytes());
        }
        assert!(messages.message().await.unwrap().is_none());
    });
}

#[test]
fn a_stream_goes_both_ways_at_the_same_time() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let mut client = GrpcBrokerClient::new(scene.connect().await).any_size();
        let (sender, mut receiver) = mpsc::channel(4);
        let outgoing = stream::poll_fn(move |cx| receiver.poll_recv(cx));
        let mut incoming = client.start_stream(outgoing).await.unwrap().into_inner();
        for service_id in 1..50 {
            sender.send(ConnInfo { service_id, ..ConnInfo::default() }).await.unwrap();
            assert_eq!(incoming.message().await.unwrap().unwrap().service_id, service_id);
        }
        drop(sender);
        assert!(incoming.message().await.unwrap().is_none());
    });
}

#[test]
fn answers_of_the_peer_arrive_as_they_are() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let channel = scene.connect().await;
        let status = get(&channel, "refuse").await.unwrap_err();
        assert_eq!((status.code(), status.message().len()), (Code::PermissionDenied, 100_000));
        assert!(TransportError::from_status(&status).is_none());

        let mut client = GrpcControllerClient::new(channel.clone()).any_size();
        let status = client.shutdown(Empty {}).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(TransportError::from_status(&status).is_none());
        assert!(get(&channel, "still there").await.is_ok());
    });
}

#[test]
fn a_panic_is_an_error_of_its_call_alone() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let channel = scene.connect().await;
        let status = get(&channel, "panic").await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("as asked"));
        assert!(get(&channel, "still there").await.is_ok());
    });
}

#[test]
fn the_wrong_server_is_refused_when_connecting() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let error = scene.connect_as(&scene.host, &test_identity(9)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Tls(_)), "{error}");
    });
}

#[test]
fn the_wrong_client_learns_it_from_its_first_call() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let channel = scene.connect_as(&test_identity(9), &scene.plugin).await.unwrap();
        assert_eq!(get(&channel, "hello").await.unwrap_err().code(), Code::Unavailable);
        channel.wait_until_lost().await;
    });
}

#[test]
fn a_silent_client_stops_nobody_and_is_dropped() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        // One client sends nothing, the other stops after the TLS handshake.
        let mut mute = UnixStream::connect(scene.socket_path()).await.unwrap();
        let tls = client_config(&scene.host, scene.plugin.certificate()).unwrap();
        let socket = UnixStream::connect(scene.socket_path()).await.unwrap();
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        let mut half = TlsConnector::from(tls).connect(name, socket).await.unwrap();

        let channel = scene.connect().await;
        assert!(get(&channel, "hello").await.is_ok());
        scene.server_clock.advance(HANDSHAKE_LIMIT);
        assert_eq!(mute.read(&mut [0; 8]).await.unwrap(), 0);
        // TLS reports an error when a connection ends without a close_notify alert.
        assert!(half.read(&mut [0; 8]).await.is_err());
        assert!(get(&channel, "still there").await.is_ok());
    });
}

#[test]
fn connections_are_bounded_and_slots_come_back() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            silent.push(UnixStream::connect(scene.socket_path()).await.unwrap());
        }
        let refused = scene.connect_as(&scene.host, &scene.plugin).await;
        assert!(matches!(refused, Err(ConnectError::Tls(_))), "{refused:?}");
        scene.server_clock.advance(HANDSHAKE_LIMIT);
        for stream in &mut silent {
            assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
        }
        assert!(get(&scene.connect().await, "hello").await.is_ok());
    });
}

#[test]
fn a_server_that_does_not_answer_the_handshake_is_given_up() {
    run_with_timeout(async {
        let mut scene = TransportFixture::new();
        let socket = scene.folder.path().join("mute");
        let _mute = tokio::net::UnixListener::bind(&socket).unwrap();
        scene.address = PeerAddress::unix(socket).unwrap();
        let (connected, ()) = tokio::join!(scene.connect_as(&scene.host, &scene.plugin), async {
            scene.clock.advance(HANDSHAKE_LIMIT);
        });
        assert!(matches!(connected, Err(ConnectError::TimedOut)), "{connected:?}");
    });
}

#[test]
fn a_lost_connection_is_lost_for_ever() {
    run_with_timeout(async {
        let mut scene = TransportFixture::new();
        let channel = scene.connect().await;
        let underway = get(&channel, "never");
        let (underway, ()) = tokio::join!(underway, async {
            assert_eq!(scene.events.recv().await, Some("begun"));
            scene.server.stop();
        });
        let underway = underway.unwrap_err();
        assert_eq!(underway.code(), Code::Unavailable);
        assert_eq!(TransportError::from_status(&underway).unwrap().delivery(), Delivery::Unknown);
        channel.wait_until_lost().await;
        assert_eq!(scene.events.recv().await, Some("dropped"));

        // Another process listens at the same address now: it is not the one that was connected to.
        scene.server_tracker.close();
        scene.server_tracker.wait().await;
        scene.server = TaskGroup::new(TaskTracker::new(), Arc::new(scene.server_clock.clone()));
        assert_eq!(scene.listen("s"), scene.address);
        let after = get(&channel, "hello").await.unwrap_err();
        assert_eq!(after.code(), Code::Unavailable);
        assert_eq!(TransportError::from_status(&after).unwrap().delivery(), Delivery::NotDelivered);
        assert!(get(&scene.connect().await, "hello").await.is_ok());
    });
}

#[test]
fn what_runs_may_end_and_nothing_new_begins() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let channel = scene.connect().await;
        let (sender, mut receiver) = mpsc::channel(4);
        let outgoing = stream::poll_fn(move |cx| receiver.poll_recv(cx));
        let mut client = GrpcBrokerClient::new(channel.clone()).any_size();
        let mut incoming = client.start_stream(outgoing).await.unwrap().into_inner();

        scene.server.drain();
        sender.send(ConnInfo { service_id: 7, ..ConnInfo::default() }).await.unwrap();
        assert_eq!(incoming.message().await.unwrap().unwrap().service_id, 7);
        drop(sender);
        assert!(incoming.message().await.unwrap().is_none());

        scene.server_tracker.close();
        scene.server_tracker.wait().await;
        channel.wait_until_lost().await;
        assert!(!scene.socket_path().exists());
        let error = scene.connect_as(&scene.host, &scene.plugin).await.unwrap_err();
        assert!(matches!(error, ConnectError::Connect { .. }), "{error}");
    });
}

#[test]
fn dropping_a_call_drops_its_handler() {
    run_with_timeout(async {
        let mut scene = TransportFixture::new();
        let channel = scene.connect().await;
        tokio::select! {
            _ = get(&channel, "never") => unreachable!(),
            begun = scene.events.recv() => assert_eq!(begun, Some("begun")),
        }
        assert_eq!(scene.events.recv().await, Some("dropped"));
        assert!(get(&channel, "still there").await.is_ok());
    });
}

#[test]
fn both_ends_keep_the_deadline() {
    run_with_timeout(async {
        let mut scene = TransportFixture::new();
        let channel = scene.connect().await;
        for at_the_server in [false, true] {
            let mut request = Request::new(GetRequest { key: "never".to_owned() });
            request.set_timeout(Duration::from_secs(5));
            let mut client = storage_client(&channel);
            let (answer, ()) = tokio::join!(client.get_versioned(request), async {
                assert_eq!(scene.events.recv().await, Some("begun"));
                let clock = if at_the_server { &scene.server_clock } else { &scene.clock };
                clock.advance(Duration::from_secs(5));
            });
            assert_eq!(answer.unwrap_err().code(), Code::DeadlineExceeded);
            assert_eq!(scene.events.recv().await, Some("dropped"));
        }
    });
}

#[test]
fn the_deadline_holds_for_the_rest_of_the_answer_too() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let channel = scene.connect().await;
        let mut request = Request::new(stream::pending::<ConnInfo>());
        request.set_timeout(Duration::from_secs(5));
        let mut client = GrpcBrokerClient::new(channel.clone()).any_size();
        let mut incoming = client.start_stream(request).await.unwrap().into_inner();
        scene.clock.advance(Duration::from_secs(5));
        let status = incoming.message().await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
    });
}

#[test]
fn the_connection_ends_with_the_last_of_its_channels() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let channel = scene.connect().await;
        let other = channel.clone();
        assert!(get(&channel, "hello").await.is_ok());
        drop(channel);
        assert!(get(&other, "still there").await.is_ok());
        drop(other);
        scene.server.drain();
        scene.server_tracker.close();
        scene.server_tracker.wait().await;
    });
}

#[test]
fn tcp_works_as_well() {
    run_with_timeout(async {
        let mut scene = TransportFixture::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        scene.address = PeerAddress::tcp(listener.local_addr().unwrap()).unwrap();
        let (acceptor, services) = (TlsAcceptor::from(scene.server_tls()), scene.echo_services());
        let tasks = scene.server.clone();
        scene.server.spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let stream = acceptor.accept(socket).await.unwrap();
            let (connection, coalescer) =
                http2_handshake(WriteCoalescer::new(stream)).await.unwrap();
            run_connection(connection, coalescer, Arc::new(services), &tasks).await;
        });
        assert_eq!(get(&scene.connect().await, "hello").await.unwrap(), b"hello");
    });
}

/// The proof from a host in metadata mode without AutoMTLS, the only way to obtain it.
fn plaintext_proof() -> Plaintext {
    let asked = |name: &str| (name == "BAO_PLUGIN_METADATA_MODE").then(|| "true".to_owned());
    match HandshakeMode::from_environment(asked) {
        Ok(HandshakeMode::Metadata(plaintext)) => plaintext,
        _ => panic!("not metadata mode"),
    }
}

#[test]
fn plaintext_and_tls_do_not_meet() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let listener = PluginListener::bind(&scene.folder, "plain").unwrap();
        let plain = listener.address().clone();
        let (services, tasks) = (scene.echo_services(), scene.server.clone());
        let serving = async move { listener.serve(plaintext_proof(), services, &tasks).await };
        scene.server.spawn_counted(serving);
        let channel = Channel::connect(&plain, plaintext_proof(), &scene.client).await.unwrap();
        assert_eq!(get(&channel, "hello").await.unwrap(), b"hello");
        assert_eq!(get(&channel, "size 6000000").await.unwrap().len(), 6_000_000);

        let tls = client_config(&scene.host, scene.plugin.certificate()).unwrap();
        let met = Channel::connect(&plain, tls, &scene.client).await;
        assert!(matches!(met, Err(ConnectError::Tls(_))), "{met:?}");
        // The client speaks first in HTTP/2, so it learns of the refusal only at its first call.
        let met = Channel::connect(&scene.address, plaintext_proof(), &scene.client).await;
        if let Ok(channel) = met {
            get(&channel, "hello").await.unwrap_err();
        }
    });
}

/// A call that a peer refuses without processing it may be repeated.
#[test]
fn refused_calls_were_not_delivered() {
    run_with_timeout(async {
        let tasks = TaskGroup::new(TaskTracker::new(), Arc::new(ManualClock::default()));
        let (ours, theirs) = duplex(1 << 16);
        tasks.spawn(async move {
            let mut connection = h2::server::handshake(theirs).await.unwrap();
            let mut reasons = [h2::Reason::REFUSED_STREAM, h2::Reason::CANCEL].into_iter();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_reset(reasons.next().unwrap());
            }
        });
        let channel = Channel::connect_over(ours, &tasks).await.unwrap();
        for (code, delivery) in
            [(Code::Unavailable, Delivery::NotDelivered), (Code::Cancelled, Delivery::Unknown)]
        {
            let status = get(&channel, "x").await.unwrap_err();
            assert_eq!(status.code(), code);
            assert_eq!(TransportError::from_status(&status).unwrap().delivery(), delivery);
        }
    });
}

/// Once a response has begun, the peer has received the call, whatever follows.
#[test]
fn a_call_refused_in_the_middle_of_its_answer_was_delivered() {
    run_with_timeout(async {
        let tasks = TaskGroup::new(TaskTracker::new(), Arc::new(ManualClock::default()));
        let (ours, theirs) = duplex(1 << 16);
        tasks.spawn(async move {
            let mut connection = h2::server::handshake(theirs).await.unwrap();
            let mut begun = None;
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                // The second call resets the response to the first.
                if let Some(stream) = &mut begun {
                    h2::SendStream::send_reset(stream, h2::Reason::REFUSED_STREAM);
                    respond.send_reset(h2::Reason::CANCEL);
                    continue;
                }
                let head = http::Response::builder().header("content-type", "application/grpc");
                begun = respond.send_response(head.body(()).unwrap(), false).ok();
                begun.as_mut().unwrap().send_data(vec![0, 0, 0].into(), false).unwrap();
            }
        });
        let channel = Channel::connect_over(ours, &tasks).await.unwrap();
        let second = async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            get(&channel, "second").await
        };
        let (first, second) = tokio::join!(get(&channel, "first"), second);
        assert_eq!(second.unwrap_err().code(), Code::Cancelled);
        let status = first.unwrap_err();
        assert_eq!(TransportError::from_status(&status).unwrap().delivery(), Delivery::Unknown);
    });
}

/// A text that the library makes up could be mistaken for the peer's.
#[test]
fn answers_that_do_not_say_how_the_call_went_are_told_from_the_peers_own() {
    type Heads = &'static [(&'static str, &'static str)];
    // HTTP status, headers, trailers, and the expected result.
    let cases: [(u16, Heads, Option<Heads>, Code, &str); 8] = [
        (500, &[], None, Code::Internal, "the answer has HTTP status 500, and no gRPC status"),
        (403, &[], None, Code::Internal, "the answer has HTTP status 403, and no gRPC status"),
        (404, &[], Some(&[]), Code::Internal, "the answer has HTTP status 404, and no gRPC status"),
        (200, &[], None, Code::Internal, "the answer ended without a gRPC status"),
        (200, &[], Some(&[("x", "y")]), Code::Internal, "the answer ended without a gRPC status"),
        (200, &[], Some(&[("grpc-status", "2"), ("grpc-message", "%ff")]), Code::Unknown, ""),
        (200, &[("grpc-status", "2"), ("grpc-message", "%ff")], None, Code::Unknown, ""),
        (
            200,
            &[],
            Some(&[
                ("grpc-status", "7"),
                ("grpc-message", "not%20you %C3%BC"),
                ("grpc-status-details-bin", "!"),
            ]),
            Code::PermissionDenied,
            "not you \u{fc}",
        ),
    ];
    run_with_timeout(async {
        let tasks = TaskGroup::new(TaskTracker::new(), Arc::new(ManualClock::default()));
        let (ours, theirs) = duplex(1 << 16);
        tasks.spawn(async move {
            let mut connection = h2::server::handshake(theirs).await.unwrap();
            let mut cases = cases.into_iter();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let (status, head, trailers, ..) = cases.next().unwrap();
                let mut response = http::Response::builder().status(status);
                for (name, value) in head {
                    response = response.header(*name, *value);
                }
                let ends = trailers.is_none();
                let mut body = respond.send_response(response.body(()).unwrap(), ends).unwrap();
                let Some(trailers) = trailers else { continue };
                let pairs = trailers.iter().map(|(name, value)| {
                    (name.parse().unwrap(), value.parse::<http::HeaderValue>().unwrap())
                });
                body.send_trailers(pairs.collect()).unwrap();
            }
        });
        let channel = Channel::connect_over(ours, &tasks).await.unwrap();
        for (http, head, trailers, code, message) in cases {
            let status = get(&channel, "x").await.unwrap_err();
            let seen = (status.code(), status.message());
            assert_eq!(seen, (code, message), "{http} {head:?} {trailers:?}");
        }
    });
}

/// GOAWAY names the last call that the peer processed; later calls may be repeated.
#[test]
fn calls_after_goaway_were_not_delivered() {
    run_with_timeout(async {
        let tasks = TaskGroup::new(TaskTracker::new(), Arc::new(ManualClock::default()));
        let (ours, mut theirs) = duplex(1 << 16);
        let channel = Channel::connect_over(ours, &tasks).await.unwrap();
        let goodbye = async {
            // Raw frames (RFC 9113, sections 6.5 and 6.8): empty SETTINGS, and a GOAWAY without
            // error that names the client's first stream as the last one processed.
            theirs.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            theirs.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]).await.unwrap();
            drop(theirs);
        };
        let (first, second, ()) = tokio::join!(get(&channel, "a"), get(&channel, "b"), goodbye);
        for (status, delivery) in [(first, Delivery::Unknown), (second, Delivery::NotDelivered)] {
            let status = status.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable);
            assert_eq!(TransportError::from_status(&status).unwrap().delivery(), delivery);
        }
    });
}

/// If this side closes the connection, it is unknown what the peer has done.
#[test]
fn calls_cut_off_by_this_side_may_have_been_delivered() {
    run_with_timeout(async {
        let tasks = TaskGroup::new(TaskTracker::new(), Arc::new(ManualClock::default()));
        let (ours, mut theirs) = duplex(1 << 16);
        let channel = Channel::connect_over(ours, &tasks).await.unwrap();
        let nonsense = async {
            // Empty SETTINGS, and DATA for stream 0, which is a protocol error.
            theirs.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            theirs.write_all(&[0, 0, 1, 0, 0, 0, 0, 0, 0, 7]).await.unwrap();
        };
        let (status, ()) = tokio::join!(get(&channel, "a"), nonsense);
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(TransportError::from_status(&status).unwrap().delivery(), Delivery::Unknown);
    });
}

#[test]
fn long_paths_are_refused_before_anybody_has_to_cut_them() {
    run_with_timeout(async {
        let scene = TransportFixture::new();
        let room = MAX_SOCKET_PATH_BYTES - scene.folder.path().as_os_str().len() - 1;
        assert!(PluginListener::bind(&scene.folder, &"x".repeat(room)).is_ok());
        let error = PluginListener::bind(&scene.folder, &"x".repeat(room + 1)).unwrap_err();
        assert!(matches!(error, BindError::TooLong(_)), "{error}");
        // A socket file that exists belongs to another listener.
        let error = PluginListener::bind(&scene.folder, "s").unwrap_err();
        assert!(matches!(error, BindError::Io { .. }), "{error}");
    });
}
