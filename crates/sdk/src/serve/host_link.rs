//! The handshake between host and plug-in: the protocol version, and the certificates that protect
//! their connections.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ServerConfig};
use strongroom_plugin_protocol::address::PeerAddress;
use strongroom_plugin_protocol::handshake::versions::{BACKEND_V3, BACKEND_V4, BACKEND_V5};
use strongroom_plugin_protocol::handshake::{
    HandshakeLine, HandshakeMode, OfferedVersions, VersionChoice, env,
};
use strongroom_plugin_protocol::tls::{TlsIdentity, client_config, identity, server_config};
use strongroom_plugin_protocol::transport::TransportSecurity;
use strongroom_types::{Clock, Entropy};

use super::services::NegotiatedTerms;
use super::unwrap::{self, UnwrapTlsSettings};

/// The protocol versions in which an engine can be served.
const VERSIONS: [u32; 3] = [BACKEND_V5, BACKEND_V4, BACKEND_V3];

/// What the host requests in the environment.
pub(super) struct HandshakeRequest {
    version: u32,
    mode: HandshakeMode,
    /// TLS settings for the mode in which the certificate is fetched from a server.
    settings: UnwrapTlsSettings,
    /// Whether the host requests that broker traffic share the main connection.
    asks_for_broker_sharing: bool,
}

impl HandshakeRequest {
    pub(super) fn read(
        arguments: &[String],
        lookup: impl Fn(&str) -> Option<String> + Copy,
    ) -> Result<Self, String> {
        let offer = OfferedVersions::parse(&lookup(env::PROTOCOL_VERSIONS).unwrap_or_default());
        let choice =
            VersionChoice::choose(&VERSIONS, &offer).ok_or("no protocol version to speak")?;
        let mode = HandshakeMode::from_environment(lookup).map_err(|error| error.to_string())?;
        let settings = match &mode {
            HandshakeMode::Unwrap(_) => {
                UnwrapTlsSettings::read(arguments, lookup).map_err(|e| e.to_string())?
            }
            HandshakeMode::AutoMtls { .. } | HandshakeMode::Metadata(_) => {
                UnwrapTlsSettings::default()
            }
        };
        let asks_about_sharing = lookup(env::MULTIPLEX_GRPC).is_some();
        Ok(Self {
            version: choice.version(),
            mode,
            settings,
            asks_for_broker_sharing: asks_about_sharing,
        })
    }

    pub(super) fn negotiated_terms(&self) -> NegotiatedTerms {
        NegotiatedTerms {
            one_instance: self.version != BACKEND_V5,
            only_metadata: self.mode.only_metadata(),
        }
    }
}

/// How the host reaches this process, and how this process reaches the host.
pub(super) struct HostLink {
    pub(super) server: TransportSecurity<ServerConfig>,
    pub(super) client: TransportSecurity<ClientConfig>,
    pub(super) terms: NegotiatedTerms,
    version: u32,
    /// The certificate to announce to the host, if it doesn't know it yet.
    certificate: Option<CertificateDer<'static>>,
    asked_for_broker_sharing: bool,
}

impl HostLink {
    /// Creates or fetches the certificates that the host's mode requires. In the unwrap-token mode
    /// this calls the server.
    pub(super) async fn negotiate(
        wishes: HandshakeRequest,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, String> {
        let terms = wishes.negotiated_terms();
        let (server, client, certificate) = match wishes.mode {
            HandshakeMode::AutoMtls { host, .. } => {
                let host = identity::read_pem(&host).map_err(error_text)?;
                let own = TlsIdentity::generate(&**clock, &**entropy).map_err(error_text)?;
                let (server, client) = mutual_tls_configs(&own, host)?;
                (server, client, Some(own.certificate()))
            }
            HandshakeMode::Unwrap(token) => {
                let both = unwrap::fetch_identity(&token, &wishes.settings, &**clock).await;
                let both = both.map_err(error_text)?;
                let (server, client) = mutual_tls_configs(&both, both.certificate())?;
                (server, client, None)
            }
            HandshakeMode::Metadata(plaintext) => (plaintext.into(), plaintext.into(), None),
        };
        let asked_about_sharing = wishes.asks_for_broker_sharing;
        let version = wishes.version;
        Ok(Self {
            server,
            client,
            terms,
            version,
            certificate,
            asked_for_broker_sharing: asked_about_sharing,
        })
    }

    /// The handshake line for the host, with the address to connect to.
    pub(super) fn handshake_line(&self, address: PeerAddress) -> HandshakeLine {
        let line = match &self.certificate {
            Some(certificate) => HandshakeLine::new(self.version, address, certificate.clone()),
            None => HandshakeLine::without_certificate(self.version, address),
        };
        if self.asked_for_broker_sharing { line.without_broker_sharing() } else { line }
    }
}

type MutualTlsConfigs = (TransportSecurity<ServerConfig>, TransportSecurity<ClientConfig>);

fn mutual_tls_configs(
    own: &TlsIdentity,
    peer: CertificateDer<'static>,
) -> Result<MutualTlsConfigs, String> {
    let server = server_config(own, peer.clone()).map_err(error_text)?;
    let client = client_config(own, peer).map_err(error_text)?;
    Ok((server.into(), client.into()))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err wants")]
fn error_text(error: impl ToString) -> String {
    error.to_string()
}
