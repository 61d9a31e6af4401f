//! The upper limit: a server that returns the same bytes for every request, built on the same HTTP
//! library. It runs in a process of its own, like the measured servers.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::http_client::{PreparedRequest, ServerAccess};
use crate::target::{BenchTarget, PreparedTarget};
use crate::workload::{BenchMounts, DataSize, Workload, WorkloadRequests};

/// Its name in the tables.
pub(crate) const NAME: &str = "bare hyper";

/// The headers and body of a response that the bare server returns.
#[derive(Debug, Serialize, Deserialize)]
struct RecordedResponse {
    headers: Vec<(String, String)>,
    body: String,
}

/// A bare server that this program started; it is killed on drop.
#[derive(Debug)]
pub(crate) struct BareServer {
    child: Child,
    address: String,
}

impl BareServer {
    /// Starts one that returns the response of `like` to the first read of KV version 1.
    pub(crate) async fn start(
        like: &PreparedTarget,
        size: DataSize,
        folder: &Path,
    ) -> Result<Self, Error> {
        let WorkloadRequests::Fixed(reads) = Workload::KvRead.requests(&like.mounts, size)? else {
            return Err(Error::other("reads of the KV engine have no fixed names"));
        };
        let read = reads.first().ok_or_else(|| Error::other("there is nothing to ask"))?;
        let answer = record_response(&like.access, read).await?;
        let text = serde_json::to_string(&answer)
            .map_err(|error| Error::other(format!("the answer can't be kept: {error}")))?;
        let file = folder.join("bare-answer.json");
        std::fs::write(&file, text).map_err(Error::io(file.display().to_string()))?;
        let this = std::env::current_exe().map_err(Error::io("finding this program"))?;
        let mut child = Command::new(this)
            .arg("--serve-answer")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::io("starting the bare server"))?;
        let said = child.stdout.take().map(BufReader::new);
        let mut address = String::new();
        if let Some(mut said) = said {
            said.read_line(&mut address).map_err(Error::io("asking the bare server"))?;
        }
        let address = address.trim().to_owned();
        let started = Self { child, address };
        if started.address.is_empty() {
            return Err(Error::other("the bare server does not start"));
        }
        Ok(started)
    }

    /// The bare server as a target with the same access as `like`.
    pub(crate) fn ready_target(&self, like: &PreparedTarget) -> Result<PreparedTarget, Error> {
        let access = like.access.at_address(&self.address)?;
        let (name, pid) = (NAME.to_owned(), Some(self.child.id()));
        let target = BenchTarget { name, root: access.clone(), pid };
        let mounts = BenchMounts {
            kv: like.mounts.kv.clone(),
            kv2: None,
            rust: None,
            go: None,
            approle: None,
        };
        Ok(PreparedTarget { target, mounts, access })
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        // The process may have exited by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn record_response(
    access: &ServerAccess,
    read: &PreparedRequest,
) -> Result<RecordedResponse, Error> {
    let ask =
        |mut c: crate::http_client::BenchConnection| async move { c.send_with_headers(read).await };
    let (head, body) = access.with_connection(ask).await?.into_parts();
    if head.status != Workload::KvRead.expected_status() {
        return Err(crate::http_client::unexpected_response(
            Method::GET,
            read.uri.path(),
            head.status,
            &body,
        ));
    }
    // Hyper adds these headers to each response by itself.
    let own = [http::header::DATE, http::header::CONTENT_LENGTH, http::header::CONNECTION];
    let kept = head.headers.iter().filter(|(name, _)| !own.contains(name));
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = kept.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    Ok(RecordedResponse { headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Serves the response in a file on a free port, whose address it prints, until it is killed.
#[expect(clippy::print_stdout, reason = "the address is read by whoever started this")]
pub(crate) async fn serve_recorded(file: &Path) -> Result<(), Error> {
    let doing = || format!("serving {}", file.display());
    let text = std::fs::read(file).map_err(Error::io(doing()))?;
    let answer: RecordedResponse =
        serde_json::from_slice(&text).map_err(|error| Error::other(error.to_string()))?;
    let (headers, body) = (parse_headers(&answer.headers)?, Bytes::from(answer.body));
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::io(doing()))?;
    println!("{}", listener.local_addr().map_err(Error::io(doing()))?);
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.map_err(Error::io(doing()))?;
        stream.set_nodelay(true).map_err(Error::io(doing()))?;
        let (headers, body) = (headers.clone(), body.clone());
        connections.spawn(async move {
            let service = service_fn(|request| respond(request, headers.clone(), body.clone()));
            // Errors don't matter here: the client may close its connection at any time.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn respond(
    request: Request<Incoming>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // An unread body would delay the next request on the connection.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(body));
    *response.headers_mut() = headers;
    Ok(response)
}

fn parse_headers(headers: &[(String, String)]) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: Result<HeaderName, _> = name.parse();
        let both = name.ok().zip(HeaderValue::from_str(value).ok());
        let (name, value) = both.ok_or_else(|| Error::other("a kept header is none"))?;
        map.append(name, value);
    }
    Ok(map)
}
