//! A server that sends what a test says, as slowly as it says, and records the requests.

use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// What the server does next on a connection. After the last step it closes it.
#[derive(Clone)]
pub(crate) enum ServerStep {
    Send(Vec<u8>),
    /// Sends this again and again until the client closes the connection.
    Flood(&'static str),
    /// Waits until the test says so.
    WaitFor(Arc<Notify>),
    /// Waits until the client closes the connection.
    Hang,
}

/// A whole response with its length.
pub(crate) fn respond(status: &str, headers: &str, body: &str) -> Vec<ServerStep> {
    let length = body.len();
    send(&format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    ))
}

/// A response as these bytes.
pub(crate) fn send(bytes: &str) -> Vec<ServerStep> {
    vec![ServerStep::Send(bytes.as_bytes().to_vec())]
}

/// These bytes, and nothing more.
pub(crate) fn send_and_hang(bytes: &str) -> Vec<ServerStep> {
    let mut steps = send(bytes);
    steps.push(ServerStep::Hang);
    steps
}

/// A server on 127.0.0.1, which stops when it is dropped.
pub(crate) struct MisbehavingServer {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    connections: watch::Receiver<usize>,
    _stop: DropGuard,
}

type ServerScript = Arc<dyn Fn(usize, &str) -> Vec<ServerStep> + Send + Sync>;

impl MisbehavingServer {
    /// `script` gets the number of the request, from 0, and the request with its body.
    pub(crate) async fn start(
        script: impl Fn(usize, &str) -> Vec<ServerStep> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(None, Arc::new(script)).await
    }

    pub(crate) async fn start_tls(
        config: ServerConfig,
        script: impl Fn(usize, &str) -> Vec<ServerStep> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(TlsAcceptor::from(Arc::new(config))), Arc::new(script)).await
    }

    async fn listen(tls: Option<TlsAcceptor>, script: ServerScript) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (count, connections) = watch::channel(0);
        let stop = CancellationToken::new();
        let (asked, stopped) = (requests.clone(), stop.clone());
        let tasks = TaskTracker::new();
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, script) = (tls.clone(), script.clone());
                let (asked, count) = (asked.clone(), count.clone());
                let talk = async move {
                    let Some(tls) = tls else {
                        return serve(stream, script, asked, count).await;
                    };
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, script, asked, count).await;
                    }
                };
                tasks.spawn(stopped.clone().run_until_cancelled_owned(talk));
            }
        };
        TaskTracker::new().spawn(stop.clone().run_until_cancelled_owned(accept));
        Self { url, requests, connections, _stop: stop.drop_guard() }
    }

    /// Requests with their bodies, in the order in which they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until the server has got something on this many connections.
    pub(crate) async fn wait_for_connections(&self, wanted: usize) {
        self.connections.clone().wait_for(|count| *count >= wanted).await.unwrap();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: ServerScript,
    requests: Arc<Mutex<Vec<String>>>,
    connections: watch::Sender<usize>,
) {
    let request = read_request(&mut stream, &connections).await;
    let number = {
        let mut requests = requests.lock().unwrap();
        requests.push(request.clone());
        requests.len() - 1
    };
    for step in script(number, &request) {
        // The client may close the connection at any time.
        let sent = match step {
            ServerStep::Send(bytes) => stream.write_all(&bytes).await,
            ServerStep::Flood(text) => loop {
                if let Err(error) = stream.write_all(text.as_bytes()).await {
                    break Err(error);
                }
            },
            ServerStep::WaitFor(notify) => {
                notify.notified().await;
                Ok(())
            }
            ServerStep::Hang => {
                while stream.read_u8().await.is_ok() {}
                return;
            }
        };
        if sent.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

/// Reads the head and as much of a body as it announces.
async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    connections: &watch::Sender<usize>,
) -> String {
    let mut read = Vec::new();
    let mut is_first = true;
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                if is_first {
                    connections.send_modify(|count| *count += 1);
                }
                return text;
            }
        } else if is_first && !read.is_empty() && !read[0].is_ascii_uppercase() {
            // The first bytes of TLS: they are no request, but somebody is there.
            connections.send_modify(|count| *count += 1);
            is_first = false;
        }
        if stream.read_buf(&mut read).await.unwrap_or_default() == 0 {
            return String::from_utf8_lossy(&read).into_owned();
        }
    }
}

/// A port on which nobody listens, as a URL.
pub(crate) async fn unused_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Copies bytes between two connections, as a proxy's tunnel does.
pub(crate) async fn start_tunnel_proxy(answer: &'static str) -> MisbehavingServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (count, connections) = watch::channel(0);
    let (asked, stop) = (requests.clone(), CancellationToken::new());
    let accept = async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let request = read_request(&mut client, &count).await;
            asked.lock().unwrap().push(request.clone());
            // The name is the test's own; every one leads to this machine.
            let target = request.split_whitespace().nth(1).unwrap_or_default().to_owned();
            let port = target.rsplit(':').next().unwrap().to_owned();
            let _ = client.write_all(answer.as_bytes()).await;
            if answer.starts_with("HTTP/1.1 200") {
                let mut server = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        }
    };
    TaskTracker::new().spawn(stop.clone().run_until_cancelled_owned(accept));
    MisbehavingServer { url, requests, connections, _stop: stop.drop_guard() }
}
