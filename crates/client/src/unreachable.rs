//! Why a server could not be reached, in our own words: no library's error text is shown.

use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use strongroom_crypto::trust::is_unknown_issuer;

/// Why a server could not be reached, or the connection ended before the response was complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnreachableReason {
    /// Nothing listens at this `host:port`: the connection was refused.
    #[error("connection refused at {0}")]
    Refused(String),
    /// There is no Unix socket at this path.
    #[error("there is no socket {0}")]
    NoSocket(String),
    /// This host name could not be resolved.
    #[error("the host name {0} can't be resolved to an address")]
    UnknownHost(String),
    /// The whole response did not arrive within this time.
    #[error("the server did not answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The address is `https`, but the server does not support TLS.
    #[error("the server does not support TLS at this address; use http:// if that is intended")]
    NotTls,
    /// The server does not support HTTP/1.1.
    #[error("the server's answer is not HTTP; if it speaks TLS there, use https://")]
    NotHttp,
    /// The server's certificate was issued by an authority that is not trusted.
    #[error("the server's certificate is not signed by a trusted authority")]
    UnknownAuthority,
    /// The server's certificate is not acceptable; the text has the reason.
    #[error("the server's certificate {0}")]
    Certificate(&'static str),
    /// The TLS handshake failed; the text has the reason.
    #[error("the TLS handshake failed: {0}")]
    Handshake(&'static str),
    /// Connecting failed with an error of the operating system.
    #[error("{place}: {problem}")]
    Connect {
        /// `host:port`, or the path of the socket.
        place: String,
        /// The operating system's error text.
        problem: String,
    },
    /// The connection ended before the response was complete.
    #[error("the connection was closed before the answer was complete")]
    Interrupted,
}

impl UnreachableReason {
    /// Classifies a failed attempt by the innermost cause of its error. `socket` is the path of
    /// the Unix socket, if the request was sent over one.
    pub(crate) fn new(
        error: &reqwest::Error,
        url: &Url,
        timeout: Duration,
        socket: Option<&Path>,
    ) -> Self {
        if error.is_timeout() {
            return Self::Timeout(timeout);
        }
        let mut next: Option<&(dyn StdError + 'static)> = error.source();
        let mut found = None;
        while let Some(cause) = next {
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                let io = innermost_io_error(io);
                found = Some(Self::from_io_error(io, url, socket, error.is_connect()));
            } else if let Some(http) = cause.downcast_ref::<hyper::Error>()
                && http.is_parse()
            {
                found = Some(Self::NotHttp);
            }
            next = cause.source();
        }
        found.unwrap_or(Self::Interrupted)
    }

    /// Whether a connection was made and TLS failed on it.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::UnknownAuthority | Self::Certificate(_) | Self::Handshake(_))
    }

    fn from_io_error(
        error: &io::Error,
        url: &Url,
        socket: Option<&Path>,
        is_connecting: bool,
    ) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::from_tls_error(tls);
        }
        let socket = socket.map(|path| path.display().to_string());
        let host = url.host_str().unwrap_or_default();
        let place = socket.clone().unwrap_or_else(|| {
            format!("{host}:{}", url.port_or_known_default().unwrap_or_default())
        });
        match (error.kind(), socket) {
            (io::ErrorKind::ConnectionRefused, _) => Self::Refused(place),
            (io::ErrorKind::NotFound, Some(path)) => Self::NoSocket(path),
            _ if !is_connecting => Self::Interrupted,
            // Of all connection errors, only a failed name look-up has no error number.
            _ if error.raw_os_error().is_none() => Self::UnknownHost(host.to_owned()),
            _ => Self::Connect { place, problem: error.to_string() },
        }
    }

    fn from_tls_error(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            stranger if is_unknown_issuer(stranger) => Self::UnknownAuthority,
            rustls::Error::InvalidCertificate(reason) => {
                Self::Certificate(certificate_problem(reason))
            }
            rustls::Error::AlertReceived(alert) => Self::Handshake(alert_reason(*alert)),
            rustls::Error::PeerIncompatible(_) => Self::Handshake(NO_COMMON_TLS_PARAMETERS),
            _ => Self::Handshake("the server did not keep to the protocol"),
        }
    }
}

const NO_COMMON_TLS_PARAMETERS: &str =
    "client and server have no TLS version or cipher suite in common";

/// Describes what is wrong with a certificate.
fn certificate_problem(reason: &CertificateError) -> &'static str {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another name than that of the address"
        }
        CertificateError::Revoked => "has been revoked",
        CertificateError::BadSignature => "has a wrong signature",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for servers"
        }
        _ => "can't be accepted",
    }
}

/// Describes why the server ended the handshake, from its alert (RFC 8446, section 6.2).
fn alert_reason(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => "the server asks for a client certificate",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => "the server does not accept the client certificate",
        AlertDescription::ProtocolVersion
        | AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity => NO_COMMON_TLS_PARAMETERS,
        AlertDescription::UnrecognisedName => "the server does not know the name it was asked for",
        _ => "the server broke it off",
    }
}

/// The innermost I/O error. `io::Error`s wrap each other, and `source` skips one level.
fn innermost_io_error(error: &io::Error) -> &io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>());
    inner.map_or(error, innermost_io_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_errors_map_to_own_messages() {
        let certificate = rustls::Error::InvalidCertificate;
        for (error, expected) in [
            (certificate(CertificateError::Expired), "the server's certificate has expired"),
            (certificate(CertificateError::UnknownIssuer), "not signed by a trusted authority"),
            (certificate(CertificateError::NotValidForName), "is for another name"),
            (certificate(CertificateError::BadEncoding), "can't be accepted"),
            (rustls::Error::AlertReceived(AlertDescription::CertificateRequired), "asks for a"),
            (rustls::Error::AlertReceived(AlertDescription::InternalError), "broke it off"),
            (rustls::Error::DecryptError, "did not keep to the protocol"),
            (
                rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "does not support TLS at this address",
            ),
        ] {
            let told = UnreachableReason::from_tls_error(&error).to_string();
            assert!(told.contains(expected), "{error:?}: {told}");
        }
    }
}
