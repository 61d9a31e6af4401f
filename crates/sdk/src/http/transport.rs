//! [`HttpTransport`]: the connections of a client.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::rt::Executor;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioTimer;
use tokio_util::task::TaskTracker;

use super::connector::HttpConnector;
use super::limits::HttpLimits;
use super::proxy::ProxySettings;
use super::tls::{TlsSettings, TlsSettingsError};

/// Makes connections with the same TLS settings and proxies, and keeps them for later calls; cheap
/// to clone.
#[derive(Clone)]
pub(super) struct HttpTransport {
    pub(super) client: Client<HttpConnector, Full<Bytes>>,
}

/// How many connections to one host are kept open for later calls, and how long.
const MAX_IDLE_CONNECTIONS: usize = 4;
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);
/// Below this hyper can't read a response.
const MIN_HEADER_BYTES: usize = 8 << 10;

impl HttpTransport {
    pub(super) fn new(
        tls: &TlsSettings<'_>,
        proxies: &ProxySettings,
        limits: &HttpLimits,
    ) -> Result<Self, TlsSettingsError> {
        let connector =
            HttpConnector::new(proxies.clone(), tls.client_config()?, tls.fixed_server_name()?);
        let client = Client::builder(ConnectionTasks(TaskTracker::new()))
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(MAX_IDLE_TIME)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .http1_max_buf_size(limits.header_bytes.max(MIN_HEADER_BYTES))
            .http1_max_headers(limits.header_count)
            .build(connector);
        Ok(Self { client })
    }
}

/// Runs hyper's tasks, one per connection. Each ends when the client is dropped or the peer closes.
#[derive(Clone)]
struct ConnectionTasks(TaskTracker);

impl<F> Executor<F> for ConnectionTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
