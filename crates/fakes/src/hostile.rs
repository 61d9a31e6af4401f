//! A server that responds byte for byte as a test says and records its requests: for responses that
//! no well-behaved system would send.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// A server with arbitrary responses. It stops when it is dropped.
#[derive(Debug)]
pub struct HostileServer {
    url: String,
    request_heads: Arc<Mutex<Vec<String>>>,
    _stop: DropGuard,
}

/// The maximum size of a request head in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

impl HostileServer {
    /// Starts the server. `answer` gets the head of a request and returns the whole response; see
    /// [`raw_response`].
    pub async fn start(
        answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (heads, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let (asked, stopped, answer) = (heads.clone(), stop.clone(), Arc::new(answer));
        let tasks = TaskTracker::new();
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let talk = serve_connection(stream, answer.clone(), asked.clone());
                tasks.spawn(stopped.clone().run_until_cancelled_owned(talk));
            }
        };
        TaskTracker::new().spawn(stop.clone().run_until_cancelled_owned(accept));
        Ok(Self { url, request_heads: heads, _stop: stop.drop_guard() })
    }

    /// The base URL for clients.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The request lines received so far.
    pub fn request_lines(&self) -> Vec<String> {
        let heads = self.request_heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect()
    }
}

/// Builds a response with its length. `status` is like `200 OK`; each of `headers` ends with a line
/// break.
pub fn raw_response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

async fn serve_connection(
    mut stream: TcpStream,
    answer: Arc<impl Fn(&str) -> Vec<u8>>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let Ok(head) = read_head(&mut stream).await else { return };
    let response = answer(&head);
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(head);
    // The client may stop reading early.
    let sent = stream.write_all(&response).await.is_ok() && stream.shutdown().await.is_ok();
    // Closing a socket with unread input would reset the connection and could lose the response.
    let mut rest = [0; 4096];
    while sent && stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}

async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 || head.len() > MAX_HEAD_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
