//! [`HandshakeMode`]: how a host secures its connections to a plug-in.

use strongroom_types::Secret;

use super::env::{self, ServerVariable};

/// The mode that a host requests in a plug-in's environment.
pub enum HandshakeMode {
    /// AutoMTLS: each side generates a certificate and sends it to the other.
    AutoMtls {
        /// The host's certificate, as PEM.
        host: String,
        /// Whether the plug-in is only asked for its description.
        only_metadata: bool,
    },
    /// The plug-in is only asked for its description, without TLS. Used by versions 3 and 4.
    Metadata(Plaintext),
    /// Mutual TLS with one certificate for both sides, which the plug-in gets from the server with
    /// this token. Used by versions 3 and 4.
    Unwrap(Secret<String>),
}

/// Proof that a connection may go without TLS: the host stated that the plug-in is only asked for
/// its description, and gave no certificate. No secrets cross such a connection.
///
/// It can only be obtained by [reading](HandshakeMode::from_environment) that from the environment.
///
/// ```compile_fail,E0423
/// use strongroom_plugin_protocol::handshake::Plaintext;
/// let made_up = Plaintext(());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Plaintext(());

/// The host requests none of the known modes. There is no fallback to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the host gives no certificate (AutoMTLS) and no unwrap token, and does not ask in metadata \
     mode; without one of them this plug-in can't be reached safely"
)]
pub struct NoMode;

/// The error of a plug-in in metadata mode for all calls but those for its description; hosts look
/// for this text.
pub const METADATA_REFUSAL: &str = "plugin server can not perform action while in metadata mode";

impl HandshakeMode {
    /// Determines the mode from the environment. A certificate takes precedence, so that a stray
    /// variable can't disable TLS.
    pub fn from_environment(
        lookup: impl Fn(&str) -> Option<String> + Copy,
    ) -> Result<Self, NoMode> {
        let only_metadata = ServerVariable::METADATA_MODE.is_true(lookup);
        if let Some(host) = lookup(env::CLIENT_CERT).filter(|pem| !pem.is_empty()) {
            return Ok(Self::AutoMtls { host, only_metadata });
        }
        if only_metadata {
            return Ok(Self::Metadata(Plaintext(())));
        }
        let token = ServerVariable::UNWRAP_TOKEN.read(lookup).ok_or(NoMode)?;
        Ok(Self::Unwrap(Secret::new(token)))
    }

    /// Whether the plug-in is only asked for its description, without storage and requests.
    pub fn only_metadata(&self) -> bool {
        match self {
            Self::AutoMtls { only_metadata, .. } => *only_metadata,
            Self::Metadata(_) => true,
            Self::Unwrap(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = &'static [(&'static str, &'static str)];

    /// A name for the resulting mode.
    fn mode_name(pairs: &[(&str, &str)]) -> Result<&'static str, NoMode> {
        let lookup = |name: &str| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        HandshakeMode::from_environment(lookup).map(|mode| match (&mode, mode.only_metadata()) {
            (HandshakeMode::AutoMtls { host, .. }, _) if host != "PEM" => "another certificate",
            (HandshakeMode::AutoMtls { .. }, false) => "mutual",
            (HandshakeMode::AutoMtls { .. }, true) => "mutual, metadata",
            (HandshakeMode::Metadata(_), true) => "plaintext",
            (HandshakeMode::Unwrap(token), false) if token.ct_eq(b"jwt") => "unwrap",
            _ => "another mode",
        })
    }

    #[test]
    fn the_environment_names_one_mode() {
        const PEM: (&str, &str) = ("PLUGIN_CLIENT_CERT", "PEM");
        const METADATA: (&str, &str) = ("VAULT_PLUGIN_METADATA_MODE", "true");
        const TOKEN: (&str, &str) = ("VAULT_UNWRAP_TOKEN", "jwt");
        let cases: &[(Pairs, Result<&str, NoMode>)] = &[
            (&[PEM], Ok("mutual")),
            (&[PEM, TOKEN], Ok("mutual")),
            (&[PEM, METADATA], Ok("mutual, metadata")),
            (&[PEM, METADATA, TOKEN], Ok("mutual, metadata")),
            (&[METADATA], Ok("plaintext")),
            (&[METADATA, TOKEN], Ok("plaintext")),
            (&[TOKEN], Ok("unwrap")),
            (&[("BAO_UNWRAP_TOKEN", "jwt"), ("VAULT_UNWRAP_TOKEN", "other")], Ok("unwrap")),
            (&[("BAO_UNWRAP_TOKEN", ""), TOKEN], Ok("unwrap")),
            (&[("BAO_PLUGIN_METADATA_MODE", "true")], Ok("plaintext")),
            (&[("BAO_PLUGIN_METADATA_MODE", "false"), METADATA, TOKEN], Ok("unwrap")),
            (&[("PLUGIN_CLIENT_CERT", ""), TOKEN], Ok("unwrap")),
        ];
        for (pairs, expected) in cases {
            assert_eq!(mode_name(pairs), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn nothing_but_metadata_mode_takes_tls_away() {
        for pairs in [
            &[][..],
            &[("VAULT_PLUGIN_METADATA_MODE", "false")],
            &[("VAULT_PLUGIN_METADATA_MODE", "1")],
            &[("VAULT_PLUGIN_METADATA_MODE", "TRUE")],
            &[("PLUGIN_METADATA_MODE", "true")],
            &[("VAULT_PLUGIN_AUTOMTLS_ENABLED", "false")],
            &[("VAULT_UNWRAP_TOKEN", ""), ("BAO_UNWRAP_TOKEN", "")],
            &[("PLUGIN_CLIENT_CERT", "")],
        ] {
            assert_eq!(mode_name(pairs), Err(NoMode), "{pairs:?}");
        }
    }
}
