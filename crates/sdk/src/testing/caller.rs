//! [`TestCaller`]: who sends the requests of a test.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use strongroom_engine::{CallerInfo, ClientCertificates, ConnectionInfo};

/// Who sends the requests of a [`TestHost`](super::TestHost), and from where. The default is a token
/// `token-test` without an entity, an address and headers.
///
/// ```
/// use strongroom_sdk::testing::TestCaller;
///
/// let caller = TestCaller::default()
///     .with_entity("7d2e3179-f69b-450c-7179-ac8ee8bd8ca9")
///     .with_address("192.0.2.7".parse().unwrap())
///     .with_header("X-Request-Source", "ci");
/// # drop(caller);
/// ```
#[derive(Clone)]
pub struct TestCaller {
    pub(super) info: CallerInfo,
    pub(super) connection: Option<ConnectionInfo>,
    pub(super) headers: BTreeMap<String, Vec<String>>,
}

/// The client's port of the connections of tests.
const TEST_PORT: u16 = 50_000;

impl Default for TestCaller {
    fn default() -> Self {
        let info = CallerInfo {
            accessor: "accessor-of-test".to_owned(),
            display_name: "token-test".to_owned(),
            ..CallerInfo::default()
        };
        Self { info, connection: None, headers: BTreeMap::new() }
    }
}

impl TestCaller {
    /// A caller without a token, as on unauthenticated paths.
    pub fn unauthenticated() -> Self {
        let info = CallerInfo { unauthenticated: true, ..CallerInfo::default() };
        Self { info, connection: None, headers: BTreeMap::new() }
    }

    /// Sets the id of the entity that the token belongs to.
    #[must_use]
    pub fn with_entity(mut self, id: impl Into<String>) -> Self {
        self.info.entity_id = id.into();
        self
    }

    /// Sets the accessor of the token.
    #[must_use]
    pub fn with_accessor(mut self, accessor: impl Into<String>) -> Self {
        self.info.accessor = accessor.into();
        self
    }

    /// Sets the display name of the token.
    #[must_use]
    pub fn with_display_name(mut self, name: impl Into<String>) -> Self {
        self.info.display_name = name.into();
        self
    }

    /// Sets the IP address that the requests come from.
    #[must_use]
    pub fn with_address(mut self, address: IpAddr) -> Self {
        let certificates = self.connection.take().and_then(|before| before.certificates);
        self.connection =
            Some(ConnectionInfo { certificates, ..ConnectionInfo::new(address, TEST_PORT) });
        self
    }

    /// Sets the certificates that the client showed in the TLS handshake: its own first, then those
    /// of authorities; in DER. Without [`with_address`](Self::with_address) the client is on this
    /// machine.
    #[must_use]
    pub fn with_certificates(mut self, chain: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let here = || ConnectionInfo::new(IpAddr::from([127, 0, 0, 1]), TEST_PORT);
        let connection = self.connection.take().unwrap_or_else(here);
        let chain = chain.into_iter().map(Bytes::from).collect();
        let certificates = Some(Arc::new(ClientCertificates { chain }));
        self.connection = Some(ConnectionInfo { certificates, ..connection });
        self
    }

    /// Adds a value of a request header that the mount passes through.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.entry(name.to_ascii_lowercase()).or_default().push(value.into());
        self
    }
}

impl fmt::Debug for TestCaller {
    /// Prints only the names of headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCaller")
            .field("info", &self.info)
            .field("connection", &self.connection)
            .field("headers", &self.headers.keys())
            .finish()
    }
}
