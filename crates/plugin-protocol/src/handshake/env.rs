//! The environment variables of a plug-in. This module doesn't read or write the environment: the
//! host passes the variables to the child it starts, and a plug-in looks them up.

/// A fixed value by which a plug-in recognises that a host started it, and not a user's shell. Not
/// a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MagicCookie {
    /// The name of the environment variable.
    pub variable: &'static str,
    /// The value that it must have.
    pub value: &'static str,
}

impl MagicCookie {
    /// The cookie of secrets engines and auth methods.
    pub const BACKEND: Self =
        Self { variable: "VAULT_BACKEND_PLUGIN", value: "6669da05-b1c8-4f49-97d9-c8e5bed98e20" };

    /// The cookie of database plug-ins.
    pub const DATABASE: Self =
        Self { variable: "VAULT_DATABASE_PLUGIN", value: "926a0820-aea2-be28-51d6-83cdf00e8edb" };

    /// Whether the environment has this cookie, so that a host started this process for this kind
    /// of plug-in.
    pub fn is_present(self, lookup: impl Fn(&str) -> Option<String>) -> bool {
        lookup(self.variable).is_some_and(|value| value == self.value)
    }
}

/// Lists the protocol versions that the host supports; see [`super::versions`]. They are separated
/// by commas.
pub const PROTOCOL_VERSIONS: &str = "PLUGIN_PROTOCOL_VERSIONS";
/// Holds the host's certificate as PEM; set only under AutoMTLS.
pub const CLIENT_CERT: &str = "PLUGIN_CLIENT_CERT";
/// `true` if broker traffic must share one connection; set only with container runtimes.
pub const MULTIPLEX_GRPC: &str = "PLUGIN_MULTIPLEX_GRPC";
/// The folder for the plug-in's sockets. Older hosts don't set it, and plug-ins use `TMPDIR`.
pub const UNIX_SOCKET_DIR: &str = "PLUGIN_UNIX_SOCKET_DIR";
/// A group that must have access to the socket; set only with container runtimes.
pub const UNIX_SOCKET_GROUP: &str = "PLUGIN_UNIX_SOCKET_GROUP";
/// The lowest TCP port for a plug-in, for platforms without Unix sockets.
pub const MIN_PORT: &str = "PLUGIN_MIN_PORT";
/// The highest TCP port for a plug-in, for platforms without Unix sockets.
pub const MAX_PORT: &str = "PLUGIN_MAX_PORT";

/// The ports that every host passes, though none is used on Unix. They are the values of
/// [`MIN_PORT`] and [`MAX_PORT`].
pub const PORT_RANGE: (u16, u16) = (10_000, 25_000);

/// A variable that the server sets in two spellings, for plug-ins built with either SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerVariable {
    /// The name with OpenBao's prefix, `BAO_`.
    pub bao: &'static str,
    /// The name with Vault's prefix, `VAULT_`.
    pub vault: &'static str,
}

macro_rules! server_variables {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
        impl ServerVariable {
            $($(#[$doc])*
            pub const $constant: Self =
                Self { bao: concat!("BAO_", $name), vault: concat!("VAULT_", $name) };)*

            /// All variables that the server sets in both spellings.
            pub const ALL: &'static [Self] = &[$(Self::$constant),*];
        }
    };
}

server_variables! {
    /// `true` if certificates are exchanged in [`CLIENT_CERT`] and the handshake line.
    AUTOMTLS_ENABLED = "PLUGIN_AUTOMTLS_ENABLED";
    /// `true` if the plug-in is only asked for its description: no storage, no requests.
    METADATA_MODE = "PLUGIN_METADATA_MODE";
    /// The version of the server. Very old plug-ins use gRPC only if it is set.
    VERSION = "VERSION";
    /// The token for the certificate of versions 3 and 4; set only without AutoMTLS.
    UNWRAP_TOKEN = "UNWRAP_TOKEN";
    /// `true` if the plug-in should keep its memory from being swapped.
    MLOCK_ENABLED = "PLUGIN_MLOCK_ENABLED";
}

impl ServerVariable {
    /// Both spellings, as a host must set them. The first is the name in OpenBao, the second the
    /// one in Vault.
    pub const fn names(self) -> [&'static str; 2] {
        [self.bao, self.vault]
    }

    /// The value in the environment. OpenBao's spelling takes precedence; an empty value counts as
    /// unset.
    pub fn read(self, lookup: impl Fn(&str) -> Option<String>) -> Option<String> {
        self.names().into_iter().filter_map(lookup).find(|value| !value.is_empty())
    }

    /// Whether the value is exactly `true`.
    pub fn is_true(self, lookup: impl Fn(&str) -> Option<String>) -> bool {
        self.read(lookup).is_some_and(|value| value == "true")
    }
}

/// Whether the protocol uses this name, so that a catalog entry must not set it.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with("PLUGIN_")
        || [MagicCookie::BACKEND, MagicCookie::DATABASE].iter().any(|it| it.variable == name)
        || ServerVariable::ALL.iter().any(|variable| variable.names().contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_environment<'a>(
        pairs: &'a [(&str, &str)],
    ) -> impl Fn(&str) -> Option<String> + Copy + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn bao_counts_before_vault_and_empty_is_absent() {
        let both = [("VAULT_VERSION", "1.20.0"), ("BAO_VERSION", "2.4.0")];
        assert_eq!(ServerVariable::VERSION.read(test_environment(&both)).unwrap(), "2.4.0");
        let vault = [("VAULT_VERSION", "1.20.0"), ("BAO_VERSION", "")];
        assert_eq!(ServerVariable::VERSION.read(test_environment(&vault)).unwrap(), "1.20.0");
        assert_eq!(ServerVariable::VERSION.read(test_environment(&[])), None);
    }

    #[test]
    fn only_true_is_true() {
        for (value, expected) in [("true", true), ("1", false), ("false", false), ("True", false)] {
            let pairs = [("VAULT_PLUGIN_METADATA_MODE", value)];
            assert_eq!(ServerVariable::METADATA_MODE.is_true(test_environment(&pairs)), expected);
        }
        assert!(!ServerVariable::METADATA_MODE.is_true(test_environment(&[])));
    }

    #[test]
    fn a_wrong_cookie_is_none() {
        let cookie = MagicCookie::BACKEND;
        assert!(cookie.is_present(test_environment(&[(cookie.variable, cookie.value)])));
        assert!(!cookie.is_present(test_environment(&[(cookie.variable, "x")])));
        assert!(
            !cookie.is_present(test_environment(&[(cookie.variable, MagicCookie::DATABASE.value)]))
        );
        assert!(!cookie.is_present(test_environment(&[])));
    }

    #[test]
    fn names_of_the_protocol_are_reserved() {
        for name in [
            "PLUGIN_CLIENT_CERT",
            "PLUGIN_ANYTHING",
            "VAULT_BACKEND_PLUGIN",
            "VAULT_UNWRAP_TOKEN",
            "BAO_VERSION",
            "VAULT_PLUGIN_METADATA_MODE",
            "BAO_PLUGIN_AUTOMTLS_ENABLED",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["PATH", "AWS_REGION", "VAULT_ADDR", "MY_PLUGIN_X"] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
