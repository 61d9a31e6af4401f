//! The environment variables of a plug-in process.
//!
//! Later groups override earlier ones: a few variables of the server's own environment (or all of
//! them, if so configured), the registration's variables, the variables that Vault sets for its
//! plug-ins, and those of the process protocol.

use std::collections::BTreeMap;
use std::ffi::OsString;

use strongroom_plugin_protocol::handshake::env as names;
use strongroom_plugin_protocol::handshake::versions::{BACKEND_V5, OfferedVersions};
use strongroom_plugin_protocol::handshake::{MagicCookie, ServerVariable};

use crate::error::Error;
use crate::variable_rules::refused_class;

/// Variables of the server that plug-ins inherit. All others may contain secrets of the server.
const INHERITED_VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

const MOST_VARIABLES: usize = 256;
const LONGEST_BYTES: usize = 64 * 1024;

/// The part of the environment that all plug-ins of a host have in common.
#[derive(Clone, Debug, Default)]
pub struct HostEnvironment {
    variables: BTreeMap<OsString, OsString>,
    version: String,
}

/// The variables that differ from process to process.
#[derive(Debug)]
pub struct ProcessVariables<'a> {
    /// The host's client certificate, PEM-encoded.
    pub certificate: &'a str,
    /// The folder where the plug-in creates its sockets.
    pub socket_folder: &'a std::path::Path,
}

/// The plug-in protocol versions that the host offers in the handshake: version 5 only.
pub fn offered_versions() -> OfferedVersions {
    OfferedVersions::from_versions([BACKEND_V5])
}

impl HostEnvironment {
    /// Selects from the server's own environment. With `inherit` everything is passed on except
    /// variables that the protocol reserves. `version` is the server's version as the API reports
    /// it.
    pub fn new(
        server: impl IntoIterator<Item = (OsString, OsString)>,
        inherit: bool,
        version: &str,
    ) -> Self {
        let passes = |name: &OsString| {
            name.to_str().map_or(inherit, |name| {
                if inherit {
                    !names::is_reserved(name)
                } else {
                    INHERITED_VARIABLES.contains(&name)
                }
            })
        };
        let variables = server.into_iter().filter(|(name, _)| passes(name)).collect();
        Self { variables, version: version.to_owned() }
    }

    /// The complete environment of a process. `added` are the registration's variables, which must
    /// have passed [`check_variables`].
    pub fn for_process(
        &self,
        added: &[String],
        told: &ProcessVariables<'_>,
    ) -> BTreeMap<OsString, OsString> {
        let mut all = self.variables.clone();
        for (name, value) in added.iter().filter_map(|entry| entry.split_once('=')) {
            all.insert(name.into(), value.into());
        }
        let mut set = |name: &str, value: OsString| {
            all.insert(name.into(), value);
        };
        let server = [
            (ServerVariable::AUTOMTLS_ENABLED, "true"),
            (ServerVariable::METADATA_MODE, "false"),
            (ServerVariable::VERSION, self.version.as_str()),
        ];
        for (variable, value) in server {
            for name in variable.names() {
                set(name, value.into());
            }
        }
        let (least, most) = names::PORT_RANGE;
        set(MagicCookie::BACKEND.variable, MagicCookie::BACKEND.value.into());
        set(names::PROTOCOL_VERSIONS, offered_versions().to_string().into());
        set(names::MIN_PORT, least.to_string().into());
        set(names::MAX_PORT, most.to_string().into());
        set(names::CLIENT_CERT, told.certificate.into());
        set(names::UNIX_SOCKET_DIR, told.socket_folder.into());
        all
    }
}

/// Checks a registration's variables. Each must have the form `NAME=value`, and its name must not
/// be one that the server sets or that [is refused](crate::variable_rules), except where a trust
/// file may allow it and `is_trusted` returns true for it. Errors name the variable but never
/// contain its value.
pub fn check_variables(added: &[String], is_trusted: impl Fn(&str) -> bool) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::Environment(reason));
    if added.len() > MOST_VARIABLES || added.iter().map(String::len).sum::<usize>() > LONGEST_BYTES
    {
        return refuse(format!(
            "it has more than {MOST_VARIABLES} variables or {LONGEST_BYTES} bytes"
        ));
    }
    for (index, entry) in added.iter().enumerate() {
        let Some((name, value)) = entry.split_once('=').filter(|(name, _)| is_variable_name(name))
        else {
            return refuse(format!("entry {} is not of the form NAME=value", index + 1));
        };
        if value.contains('\0') {
            return refuse(format!("the value of {name} contains a NUL character"));
        }
        if names::is_reserved(name) {
            return refuse(format!("{name} is set by the server itself"));
        }
        if let Some(class) = refused_class(name)
            && !(class.trust_file_may_allow && is_trusted(name))
        {
            let advice = if class.trust_file_may_allow {
                "; set it for the server, or allow it in the plugin_trust file"
            } else {
                ""
            };
            return refuse(format!(
                "{name} configures {} and may not be set by a registration{advice}",
                class.configures
            ));
        }
    }
    Ok(())
}

fn is_variable_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    !name.is_empty() && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn server_environment() -> Vec<(OsString, OsString)> {
        let pairs = [
            ("PATH", "/bin"),
            ("HTTPS_PROXY", "http://p"),
            ("VAULT_TOKEN", "s.root"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("PLUGIN_CLIENT_CERT", "theirs"),
        ];
        pairs.map(|(name, value)| (name.into(), value.into())).to_vec()
    }

    fn process_environment(inherit: bool, added: &[&str]) -> BTreeMap<OsString, OsString> {
        let added: Vec<_> = added.iter().map(|it| (*it).to_owned()).collect();
        check_variables(&added, |_| true).unwrap();
        let told = ProcessVariables { certificate: "PEM", socket_folder: Path::new("/s") };
        HostEnvironment::new(server_environment(), inherit, "2.4.0").for_process(&added, &told)
    }

    fn value_of<'a>(all: &'a BTreeMap<OsString, OsString>, name: &str) -> Option<&'a str> {
        all.get(&OsString::from(name)).and_then(|value| value.to_str())
    }

    #[test]
    fn the_servers_secrets_stay_with_it() {
        let all = process_environment(false, &["REGION=eu=1"]);
        assert_eq!(value_of(&all, "PATH"), Some("/bin"));
        assert_eq!(value_of(&all, "HTTPS_PROXY"), Some("http://p"));
        assert_eq!(value_of(&all, "VAULT_TOKEN"), None);
        assert_eq!(value_of(&all, "AWS_SECRET_ACCESS_KEY"), None);
        assert_eq!(value_of(&all, "REGION"), Some("eu=1"));
        assert_eq!(value_of(&all, "PLUGIN_CLIENT_CERT"), Some("PEM"));
    }

    #[test]
    fn inheriting_passes_all_but_what_the_protocol_owns() {
        let all = process_environment(true, &["PATH=/mine"]);
        assert_eq!(value_of(&all, "AWS_SECRET_ACCESS_KEY"), Some("x"));
        assert_eq!(value_of(&all, "PATH"), Some("/mine"));
        assert_eq!(value_of(&all, "PLUGIN_CLIENT_CERT"), Some("PEM"));
    }

    #[test]
    fn server_variables_come_in_both_spellings() {
        let all = process_environment(false, &[]);
        for name in ["BAO_VERSION", "VAULT_VERSION"] {
            assert_eq!(value_of(&all, name), Some("2.4.0"));
        }
        for name in ["BAO_PLUGIN_AUTOMTLS_ENABLED", "VAULT_PLUGIN_AUTOMTLS_ENABLED"] {
            assert_eq!(value_of(&all, name), Some("true"));
        }
        assert_eq!(value_of(&all, "PLUGIN_PROTOCOL_VERSIONS"), Some("5"));
        assert!(all.contains_key(&OsString::from("VAULT_BACKEND_PLUGIN")));
    }

    #[test]
    fn what_the_server_sets_is_refused_without_its_value() {
        for entry in [
            "VAULT_UNWRAP_TOKEN=hunter2",
            "BAO_VERSION=hunter2",
            "PLUGIN_UNIX_SOCKET_DIR=hunter2",
            "VAULT_BACKEND_PLUGIN=hunter2",
            "hunter2",
            "=hunter2",
            "A B=hunter2",
            "A=hunter2\0",
        ] {
            let error = check_variables(&[entry.to_owned()], |_| true).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(check_variables(&vec!["A=1".to_owned(); MOST_VARIABLES + 1], |_| true).is_err());
    }

    #[test]
    fn sr_2026_12_a_registration_configures_no_loader_interpreter_or_crypto_module() {
        for name in [
            "LD_PRELOAD",
            "LD_AUDIT",
            "GLIBC_TUNABLES",
            "GCONV_PATH",
            "LOCPATH",
            "OPENSSL_CONF",
            "OPENSSL_MODULES",
            "OPENSSL_ENGINES",
            "SSLKEYLOGFILE",
            "BASH_ENV",
            "ENV",
            "PYTHONPATH",
            "PERL5OPT",
            "NODE_OPTIONS",
            "RUBYOPT",
            "JAVA_TOOL_OPTIONS",
            "GODEBUG",
            "HOSTALIASES",
        ] {
            let error =
                check_variables(&[format!("{name}=hunter2")], |_| true).unwrap_err().to_string();
            assert!(error.contains(&format!("{name} configures")), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for name in ["SSL_CERT_FILE", "PATH"] {
            let added = [format!("{name}=/x")];
            let error = check_variables(&added, |_| false).unwrap_err().to_string();
            assert!(error.contains("allow it in the plugin_trust file"), "{error}");
            check_variables(&added, |asked| asked == name).unwrap();
        }
        check_variables(&["HTTPS_PROXY=http://p".to_owned(), "AWS_REGION=eu".to_owned()], |_| {
            false
        })
        .unwrap();
    }
}
