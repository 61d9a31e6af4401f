//! What host and plug-in agree on before anything is served: a version, and what protects their
//! connections.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ServerConfig};
use strongroom_plugin_protocol::address::Address;
use strongroom_plugin_protocol::handshake::versions::{BACKEND_V3, BACKEND_V4, BACKEND_V5};
use strongroom_plugin_protocol::handshake::{Choice, HandshakeLine, Mode, Offer, env};
use strongroom_plugin_protocol::tls::{Identity, client_config, identity, server_config};
use strongroom_plugin_protocol::transport::Security;
use strongroom_types::{Clock, Entropy};

use super::services::Terms;
use super::unwrap::{self, Settings};

/// The versions an engine can be served in.
const VERSIONS: [u32; 3] = [BACKEND_V5, BACKEND_V4, BACKEND_V3];

/// What the host asks for.
pub(super) struct Wishes {
    version: u32,
    mode: Mode,
    /// For the mode in which a server is to be called.
    settings: Settings,
    /// Whether the host asks if broker traffic can share the main connection.
    asks_about_sharing: bool,
}

impl Wishes {
    pub(super) fn read(
        arguments: &[String],
        lookup: impl Fn(&str) -> Option<String> + Copy,
    ) -> Result<Self, String> {
        let offer = Offer::parse(&lookup(env::PROTOCOL_VERSIONS).unwrap_or_default());
        let choice = Choice::make(&VERSIONS, &offer).ok_or("no protocol version to speak")?;
        let mode = Mode::choose(lookup).map_err(|error| error.to_string())?;
        let settings = match &mode {
            Mode::Unwrap(_) => Settings::read(arguments, lookup).map_err(|e| e.to_string())?,
            Mode::AutoMtls { .. } | Mode::Metadata(_) => Settings::default(),
        };
        let asks_about_sharing = lookup(env::MULTIPLEX_GRPC).is_some();
        Ok(Self { version: choice.version(), mode, settings, asks_about_sharing })
    }

    pub(super) fn terms(&self) -> Terms {
        Terms { one_instance: self.version != BACKEND_V5, only_metadata: self.mode.only_metadata() }
    }
}

/// How this process is reached, and reaches its host.
pub(super) struct Link {
    pub(super) server: Security<ServerConfig>,
    pub(super) client: Security<ClientConfig>,
    pub(super) terms: Terms,
    version: u32,
    /// What the host doesn't know yet.
    certificate: Option<CertificateDer<'static>>,
    asked_about_sharing: bool,
}

impl Link {
    /// Makes or gets the certificates the host wants. In the mode that needs it, this calls the
    /// server.
    pub(super) async fn make(
        wishes: Wishes,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, String> {
        let terms = wishes.terms();
        let (server, client, certificate) = match wishes.mode {
            Mode::AutoMtls { host, .. } => {
                let host = identity::read_pem(&host).map_err(text)?;
                let own = Identity::generate(&**clock, &**entropy).map_err(text)?;
                let (server, client) = mutual(&own, host)?;
                (server, client, Some(own.certificate()))
            }
            Mode::Unwrap(token) => {
                let both = unwrap::identity(&token, &wishes.settings, &**clock).await;
                let both = both.map_err(text)?;
                let (server, client) = mutual(&both, both.certificate())?;
                (server, client, None)
            }
            Mode::Metadata(plaintext) => (plaintext.into(), plaintext.into(), None),
        };
        let asked_about_sharing = wishes.asks_about_sharing;
        let version = wishes.version;
        Ok(Self { server, client, terms, version, certificate, asked_about_sharing })
    }

    /// What to tell the host.
    pub(super) fn line(&self, address: Address) -> HandshakeLine {
        let line = match &self.certificate {
            Some(certificate) => HandshakeLine::new(self.version, address, certificate.clone()),
            None => HandshakeLine::without_certificate(self.version, address),
        };
        if self.asked_about_sharing { line.without_broker_sharing() } else { line }
    }
}

type Mutual = (Security<ServerConfig>, Security<ClientConfig>);

fn mutual(own: &Identity, peer: CertificateDer<'static>) -> Result<Mutual, String> {
    let server = server_config(own, peer.clone()).map_err(text)?;
    let client = client_config(own, peer).map_err(text)?;
    Ok((server.into(), client.into()))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err wants")]
fn text(error: impl ToString) -> String {
    error.to_string()
}
