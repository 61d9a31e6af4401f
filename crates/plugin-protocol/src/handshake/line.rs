//! [`HandshakeLine`]: the line that a plug-in writes to standard output when it is ready.

use std::fmt;

use data_encoding::BASE64_NOPAD;
use rustls::pki_types::CertificateDer;

use super::versions::OfferedVersions;
use crate::address::{InvalidPeerAddress, PeerAddress};

/// A parsed handshake line, or one to be written.
///
/// The host parses it with [`parse`](str::parse) and then checks it with
/// [`under_auto_mtls`](Self::under_auto_mtls) against what it offered; only the resulting
/// [`HandshakePeer`] gives access to the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeLine {
    version: u32,
    address: PeerAddress,
    certificate: Option<CertificateDer<'static>>,
    shares_broker: Option<bool>,
}

/// A plug-in whose handshake line satisfies the host's requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakePeer {
    /// The protocol version, one of those the host offered.
    pub version: u32,
    /// The address that it listens on.
    pub address: PeerAddress,
    /// The only certificate that it may present, in DER.
    pub certificate: CertificateDer<'static>,
}

/// Why a handshake line is refused. The host adds details of the process, such as its exit status
/// and the end of its standard error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The line has fewer than four fields: the program is no plug-in, or it failed.
    #[error("the first line of output is not a handshake")]
    NotAHandshake,
    /// The line is longer than [`MAX_LINE_BYTES`].
    #[error("the first line of output is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// The plug-in uses another core protocol than version 1.
    #[error("the plug-in uses core protocol version {0:?}, this host supports 1")]
    CoreVersion(String),
    /// The protocol version is not a number.
    #[error("the plug-in names no protocol version")]
    Version,
    /// The protocol version is not one that the host offered.
    #[error("the plug-in uses protocol version {version}, this host offered {offered}")]
    Incompatible {
        /// The version of the plug-in's line.
        version: u32,
        /// The versions that the host offered.
        offered: OfferedVersions,
    },
    /// The plug-in uses `net/rpc`, explicitly or by leaving the field out.
    #[error("the plug-in uses net/rpc; only gRPC is supported")]
    NetRpc,
    /// The protocol is neither gRPC nor `net/rpc`.
    #[error("the plug-in uses an unknown protocol")]
    Protocol,
    /// The plug-in must not listen on this address, or it is malformed.
    #[error("the plug-in names no usable address: {0}")]
    Address(#[from] InvalidPeerAddress),
    /// The certificate is not base64 in the standard alphabet without padding.
    #[error("the plug-in's certificate is not encoded as it must be")]
    Certificate,
    /// The plug-in ignored AutoMTLS. There is no fallback: without a known certificate, any process
    /// could be at the other end.
    #[error("the plug-in gave no certificate, though mutual TLS was asked for")]
    NoCertificate,
}

/// The maximum length of a handshake line in bytes; the longest known has about 1200.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

const CORE_VERSION: &str = "1";

/// A shorter certificate field counts as absent, as for every host.
const MIN_CERTIFICATE_CHARS: usize = 51;

impl HandshakeLine {
    /// The line of a plug-in that serves `version` at `address` under AutoMTLS.
    pub fn new(version: u32, address: PeerAddress, certificate: CertificateDer<'static>) -> Self {
        Self { version, address, certificate: Some(certificate), shares_broker: None }
    }

    /// The line of a plug-in that sends no certificate: both sides have the same one, or none is
    /// needed. A host that requires AutoMTLS refuses it.
    pub fn without_certificate(version: u32, address: PeerAddress) -> Self {
        Self { version, address, certificate: None, shares_broker: None }
    }

    /// States that broker traffic can't share the main connection. Only to be used if the host sets
    /// [`super::env::MULTIPLEX_GRPC`].
    #[must_use]
    pub fn without_broker_sharing(mut self) -> Self {
        self.shares_broker = Some(false);
        self
    }

    /// Checks the line against what the host requires: one of the versions of `offer`, and
    /// AutoMTLS.
    pub fn under_auto_mtls(self, offer: &OfferedVersions) -> Result<HandshakePeer, HandshakeError> {
        if !offer.contains(self.version) {
            let (version, offered) = (self.version, offer.clone());
            return Err(HandshakeError::Incompatible { version, offered });
        }
        let certificate = self.certificate.ok_or(HandshakeError::NoCertificate)?;
        Ok(HandshakePeer { version: self.version, address: self.address, certificate })
    }
}

impl std::str::FromStr for HandshakeLine {
    type Err = HandshakeError;

    fn from_str(line: &str) -> Result<Self, HandshakeError> {
        if line.len() > MAX_LINE_BYTES {
            return Err(HandshakeError::TooLong);
        }
        let mut fields = line.trim().split('|');
        let (Some(core), Some(version), Some(network), Some(address)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(HandshakeError::NotAHandshake);
        };
        if core != CORE_VERSION {
            return Err(HandshakeError::CoreVersion(printable_excerpt(core)));
        }
        let version = version.parse().map_err(|_| HandshakeError::Version)?;
        match fields.next() {
            Some("grpc") => {}
            Some("netrpc") | None => return Err(HandshakeError::NetRpc),
            Some(_) => return Err(HandshakeError::Protocol),
        }
        let address = PeerAddress::parse(network, address)?;
        let certificate = match fields.next() {
            Some(text) if text.len() >= MIN_CERTIFICATE_CHARS => {
                let der = BASE64_NOPAD
                    .decode(text.as_bytes())
                    .map_err(|_| HandshakeError::Certificate)?;
                Some(der.into())
            }
            _ => None,
        };
        let shares_broker = fields.next().filter(|text| !text.is_empty()).map(|it| it == "true");
        Ok(Self { version, address, certificate, shares_broker })
    }
}

impl fmt::Display for HandshakeLine {
    /// Writes the line without a line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, address, .. } = self;
        let network = address.network();
        write!(f, "{CORE_VERSION}|{version}|{network}|{address}|grpc|")?;
        if let Some(certificate) = &self.certificate {
            f.write_str(&BASE64_NOPAD.encode(certificate))?;
        }
        match self.shares_broker {
            Some(shares) => write!(f, "|{shares}"),
            None => Ok(()),
        }
    }
}

/// The first 16 printable characters of an untrusted text, for an error message.
fn printable_excerpt(text: &str) -> String {
    text.chars().filter(|c| strongroom_types::path::is_printable(*c)).take(16).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As long as a small certificate.
    fn dummy_certificate() -> CertificateDer<'static> {
        vec![0x30; 400].into()
    }

    fn encoded_certificate() -> String {
        BASE64_NOPAD.encode(&dummy_certificate())
    }

    fn parse_and_accept(line: &str) -> Result<HandshakePeer, HandshakeError> {
        line.parse::<HandshakeLine>()?.under_auto_mtls(&OfferedVersions::from_versions([4, 5]))
    }

    #[test]
    fn a_good_line_names_the_peer() {
        let expected = HandshakePeer {
            version: 5,
            address: PeerAddress::unix("/tmp/plugin123").unwrap(),
            certificate: dummy_certificate(),
        };
        let line = format!("1|5|unix|/tmp/plugin123|grpc|{}", encoded_certificate());
        for line in [
            line.clone(),
            format!("  {line}\r\n"),
            format!("{line}|"),
            format!("{line}|true"),
            format!("{line}|false|what comes later"),
        ] {
            assert_eq!(parse_and_accept(&line).as_ref(), Ok(&expected), "{line}");
        }
        let tcp =
            parse_and_accept(&format!("1|4|tcp|127.0.0.1:10000|grpc|{}", encoded_certificate()))
                .unwrap();
        assert_eq!((tcp.version, &*tcp.address.to_string()), (4, "127.0.0.1:10000"));
    }

    #[test]
    fn every_rule_has_its_error() {
        let good = encoded_certificate();
        let fifty = "A".repeat(50);
        let cases: &[(&str, HandshakeError)] = &[
            ("", HandshakeError::NotAHandshake),
            ("hello", HandshakeError::NotAHandshake),
            ("1|5|unix", HandshakeError::NotAHandshake),
            ("2|5|unix|/tmp/x|grpc|", HandshakeError::CoreVersion("2".into())),
            ("\u{1b}[31m|5|unix|/tmp/x|grpc|", HandshakeError::CoreVersion("[31m".into())),
            ("1|v5|unix|/tmp/x|grpc|", HandshakeError::Version),
            ("1||unix|/tmp/x|grpc|", HandshakeError::Version),
            ("1|-5|unix|/tmp/x|grpc|", HandshakeError::Version),
            ("1|5|unix|/tmp/x", HandshakeError::NetRpc),
            ("1|5|unix|/tmp/x|netrpc|", HandshakeError::NetRpc),
            ("1|5|unix|/tmp/x|", HandshakeError::Protocol),
            ("1|5|unix|/tmp/x|http|", HandshakeError::Protocol),
            ("1|5|unix|x|grpc|", HandshakeError::Address(InvalidPeerAddress::Path)),
            ("1|5|udp|/tmp/x|grpc|", HandshakeError::Address(InvalidPeerAddress::Network)),
            ("1|5|tcp|10.0.0.1:1|grpc|", HandshakeError::Address(InvalidPeerAddress::Tcp)),
            ("1|5|unix|/tmp/x|grpc", HandshakeError::NoCertificate),
            ("1|5|unix|/tmp/x|grpc|", HandshakeError::NoCertificate),
            ("1|5|unix|/tmp/x|grpc||true", HandshakeError::NoCertificate),
            (&format!("1|5|unix|/tmp/x|grpc|{fifty}"), HandshakeError::NoCertificate),
            (&format!("1|5|unix|/tmp/x|grpc|{good}=="), HandshakeError::Certificate),
            (&format!("1|5|unix|/tmp/x|grpc|{good}-_"), HandshakeError::Certificate),
            (&format!("1|5|unix|/tmp/x|grpc|{good} AA"), HandshakeError::Certificate),
            (
                &format!("1|3|unix|/tmp/x|grpc|{good}"),
                HandshakeError::Incompatible {
                    version: 3,
                    offered: OfferedVersions::from_versions([4, 5]),
                },
            ),
            (&"x".repeat(MAX_LINE_BYTES + 1), HandshakeError::TooLong),
        ];
        for (line, error) in cases {
            assert_eq!(parse_and_accept(line).as_ref(), Err(error), "{line:.80}");
        }
    }

    #[test]
    fn broker_sharing_is_written_only_when_asked() {
        let line = HandshakeLine::new(5, PeerAddress::unix("/tmp/x").unwrap(), dummy_certificate());
        assert_eq!(line.to_string().split('|').count(), 6);
        let asked = line.without_broker_sharing().to_string();
        assert_eq!(asked.rsplit('|').next(), Some("false"));
    }

    #[test]
    fn a_line_without_certificate_is_none_under_auto_mtls() {
        let line = HandshakeLine::without_certificate(4, PeerAddress::unix("/tmp/x").unwrap());
        assert_eq!(line.to_string(), "1|4|unix|/tmp/x|grpc|");
        assert_eq!(parse_and_accept(&line.to_string()), Err(HandshakeError::NoCertificate));
        assert_eq!(line.to_string().parse(), Ok(line.clone()));
        let asked = line.without_broker_sharing().to_string();
        assert_eq!(asked, "1|4|unix|/tmp/x|grpc||false");
        assert_eq!(parse_and_accept(&asked), Err(HandshakeError::NoCertificate));
    }

    proptest! {
        #[test]
        fn never_panics(line in "\\PC{0,200}") {
            let _ = parse_and_accept(&line);
        }

        /// Fields that are valid as often as not reach deeper than random text.
        #[test]
        fn never_panics_on_near_misses(
            fields in prop::collection::vec(
                prop_oneof![
                    Just("1".to_owned()), Just("5".to_owned()), Just("unix".to_owned()),
                    Just("tcp".to_owned()), Just("/tmp/x".to_owned()), Just("grpc".to_owned()),
                    Just("127.0.0.1:1".to_owned()), Just(String::new()), "[A-Za-z0-9+/=]{0,80}",
                ],
                0..9,
            )
        ) {
            if let Ok(peer) = parse_and_accept(&fields.join("|")) {
                prop_assert!(peer.certificate.len() >= 38);
            }
        }

        #[test]
        fn a_written_line_reads_back(
            version in 4_u32..6,
            name in "[a-zA-Z0-9 ._-]{1,40}",
            der in prop::collection::vec(any::<u8>(), 39..900),
            asked: bool,
        ) {
            let address = PeerAddress::unix(format!("/tmp/{name}x")).unwrap();
            let mut line = HandshakeLine::new(version, address.clone(), der.clone().into());
            if asked {
                line = line.without_broker_sharing();
            }
            let text = line.to_string();
            prop_assert!(!text.contains(['=', '\n']));
            prop_assert_eq!(text.parse::<HandshakeLine>(), Ok(line));
            let peer = parse_and_accept(&text).unwrap();
            prop_assert_eq!(peer, HandshakePeer { version, address, certificate: der.into() });
        }
    }
}
