//! [`TransportSecurity`]: how a connection is protected.

use std::fmt;
use std::sync::Arc;

use crate::handshake::mode::Plaintext;

/// How a connection is protected: by TLS, or not at all, given the proof that it carries no
/// secrets. `C` is the configuration of one side, [`rustls::ClientConfig`] or
/// [`rustls::ServerConfig`].
pub enum TransportSecurity<C> {
    /// Mutual TLS with pinned certificates.
    Tls(Arc<C>),
    /// No protection, because the host only asks for the plug-in's description.
    Plaintext(Plaintext),
}

impl<C> Clone for TransportSecurity<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Tls(config) => Self::Tls(config.clone()),
            Self::Plaintext(proof) => Self::Plaintext(*proof),
        }
    }
}

impl<C> From<Arc<C>> for TransportSecurity<C> {
    fn from(config: Arc<C>) -> Self {
        Self::Tls(config)
    }
}

impl<C> From<Plaintext> for TransportSecurity<C> {
    fn from(proof: Plaintext) -> Self {
        Self::Plaintext(proof)
    }
}

impl<C> fmt::Debug for TransportSecurity<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls(_) => "Tls",
            Self::Plaintext(_) => "Plaintext",
        })
    }
}
