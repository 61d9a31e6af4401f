//! A minimal-cost HTTP/1.1 client: one kept-alive connection, driven by the task that uses it.

use std::future::Future;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::error::Error;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// A server's address, with the token to use.
#[derive(Clone, Debug)]
pub(crate) struct ServerAccess {
    /// The address as `host:port`.
    pub(crate) address: String,
    host: HeaderValue,
    token: Option<HeaderValue>,
}

/// A request that is prepared once and sent many times.
#[derive(Clone, Debug)]
pub(crate) struct PreparedRequest {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
}

impl PreparedRequest {
    /// Prepares a request. `path` is relative to `/v1/`.
    pub(crate) fn new(method: Method, path: &str, body: Bytes) -> Result<Self, Error> {
        let uri = format!("/v1/{path}")
            .parse()
            .map_err(|error| Error::other(format!("{path} is not a path: {error}")))?;
        Ok(Self { method, uri, body })
    }
}

impl ServerAccess {
    /// Access to `host:port` or `http://host:port`.
    pub(crate) fn new(url: &str, token: Option<&str>) -> Result<Self, Error> {
        let address = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/').to_owned();
        if address.contains('/') {
            return Err(Error::other(format!("{url} is not an address like http://host:port")));
        }
        let header = |text: &str, what: &str| {
            HeaderValue::from_str(text).map_err(|_| Error::other(format!("the {what} is no text")))
        };
        let host = header(&address, "address")?;
        let mut token = token.map(|token| header(token, "token")).transpose()?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        Ok(Self { address, host, token })
    }

    /// The same server with another token.
    pub(crate) fn with_token(&self, token: &str) -> Result<Self, Error> {
        Self::new(&self.address, Some(token))
    }

    /// Another server with the same token.
    pub(crate) fn at_address(&self, address: &str) -> Result<Self, Error> {
        Ok(Self { token: self.token.clone(), ..Self::new(address, None)? })
    }

    /// Runs `work` on a new connection, and closes it afterwards.
    pub(crate) async fn with_connection<T, F>(
        &self,
        work: impl FnOnce(BenchConnection) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let doing = || format!("connecting to {}", self.address);
        let stream = TcpStream::connect(&self.address).await.map_err(Error::io(doing()))?;
        stream.set_nodelay(true).map_err(Error::io(doing()))?;
        let (sender, wire) = http1::handshake(TokioIo::new(stream)).await?;
        let work = work(BenchConnection { sender, access: self.clone() });
        // Both run in this task, so that a response wakes one task and not two.
        let (mut wire, mut work) = (std::pin::pin!(wire), std::pin::pin!(work));
        tokio::select! {
            done = &mut work => done,
            // The server may close the connection after its last response; `work` fails if it
            // needed more.
            ended = &mut wire => match ended {
                Ok(()) => work.await,
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Makes one call on a new connection. `path` is relative to `/v1/`.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Bytes), Error> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = PreparedRequest::new(method, path, body)?;
        self.with_connection(|mut connection| async move { connection.send(&request).await }).await
    }

    /// Makes a call that must succeed; returns the body as JSON, or null if it is empty.
    pub(crate) async fn call_successfully(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Error> {
        let (status, answer) = self.call(method.clone(), path, body).await?;
        if !status.is_success() {
            return Err(unexpected_response(method, path, status, &answer));
        }
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer)
            .map_err(|error| Error::other(format!("{path} answered no JSON: {error}")))
    }
}

/// A connection that is used by a single task.
#[derive(Debug)]
pub(crate) struct BenchConnection {
    sender: SendRequest<Full<Bytes>>,
    access: ServerAccess,
}

impl BenchConnection {
    /// Sends a request and reads the complete response.
    pub(crate) async fn send(
        &mut self,
        prepared: &PreparedRequest,
    ) -> Result<(StatusCode, Bytes), Error> {
        let answer = self.send_with_headers(prepared).await?;
        Ok((answer.status(), answer.into_body()))
    }

    /// Sends a request and reads the complete response with its headers.
    pub(crate) async fn send_with_headers(
        &mut self,
        prepared: &PreparedRequest,
    ) -> Result<Response<Bytes>, Error> {
        let mut request = Request::new(Full::new(prepared.body.clone()));
        *request.method_mut() = prepared.method.clone();
        *request.uri_mut() = prepared.uri.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.access.host.clone());
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        if let Some(token) = &self.access.token {
            headers.insert(TOKEN, token.clone());
        }
        if !prepared.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

/// The error for a response other than the expected one.
pub(crate) fn unexpected_response(
    method: Method,
    path: &str,
    status: StatusCode,
    answer: &[u8],
) -> Error {
    let body = String::from_utf8_lossy(answer).chars().take(200).collect();
    Error::Answer { method, path: path.to_owned(), status, body }
}
