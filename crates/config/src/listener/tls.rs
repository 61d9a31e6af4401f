//! TLS of a listener: certificate, versions, cipher suites, certificates of clients.
//!
//! ```
//! # use strongroom_config::{Config, TlsVersion};
//! let config = Config::parse(
//!     r#"
//!     storage "inmem" {}
//!     listener "tcp" {
//!         tls_cert_file                      = "/etc/strongroom/tls.crt"
//!         tls_key_file                       = "/etc/strongroom/tls.key"
//!         tls_min_version                    = "tls13"
//!         tls_require_and_verify_client_cert = true
//!         tls_client_ca_file                 = "/etc/strongroom/clients.crt"
//!     }
//!     "#,
//!     "server.hcl",
//! )?;
//! let tls = config.listeners[0].tls.as_ref().unwrap();
//! assert_eq!(tls.min_version, TlsVersion::Tls13);
//! assert!(tls.client_ca_file.is_some());
//! # Ok::<(), strongroom_config::ConfigError>(())
//! ```

use std::path::PathBuf;

use strongroom_hcl::Value;

use crate::reading::{ConfigError, Section};

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Certificate and chain, PEM.
    pub cert_file: PathBuf,
    /// Private key, PEM.
    pub key_file: PathBuf,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The newest.
    pub max_version: TlsVersion,
    /// The only cipher suites, each one of [`CIPHER_SUITES`]; none for all of them.
    pub cipher_suites: Vec<String>,
    /// Authorities, PEM. If they are set, a client must show a certificate that one of them issued.
    pub client_ca_file: Option<PathBuf>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

/// The cipher suites there are, by the names of their registry, as Vault and Go have them.
pub const CIPHER_SUITES: [&str; 9] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];
pub(super) const KNOWN: [&str; 9] = [
    "tls_disable",
    "tls_cert_file",
    "tls_key_file",
    "tls_min_version",
    "tls_max_version",
    "tls_cipher_suites",
    "tls_require_and_verify_client_cert",
    "tls_client_ca_file",
    "tls_disable_client_certs",
];
const VERSIONS: &str = "must be \"tls12\" or \"tls13\"; older versions are broken and not spoken";

/// None only if `tls_disable` says so, or no certificate is named.
pub(super) fn read(
    section: &Section<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<TlsConfig>, ConfigError> {
    if is_disabled(section)? {
        let text = "can't be honoured without TLS, and tls_disable is set";
        section.refuse_flag("tls_require_and_verify_client_cert", text)?;
        return Ok(None);
    }
    let (mut cert, mut key) = (String::new(), String::new());
    section.text("tls_cert_file", &mut cert)?;
    section.text("tls_key_file", &mut key)?;
    match (cert.is_empty(), key.is_empty()) {
        (true, true) => return Ok(None),
        (false, false) => {}
        (true, false) => return Err(section.wrong("tls_key_file", "needs tls_cert_file as well")),
        (false, true) => return Err(section.wrong("tls_cert_file", "needs tls_key_file as well")),
    }
    let min_version = version(section, "tls_min_version", TlsVersion::Tls12)?;
    let max_version = version(section, "tls_max_version", TlsVersion::Tls13)?;
    if max_version < min_version {
        return Err(section.wrong("tls_max_version", "must not be below tls_min_version"));
    }
    Ok(Some(TlsConfig {
        cert_file: cert.into(),
        key_file: key.into(),
        min_version,
        max_version,
        cipher_suites: cipher_suites(section, max_version)?,
        client_ca_file: client_ca(section, warnings)?,
    }))
}

pub(super) fn is_disabled(section: &Section<'_>) -> Result<bool, ConfigError> {
    let mut disabled = false;
    section.flag("tls_disable", &mut disabled)?;
    Ok(disabled)
}

fn version(
    section: &Section<'_>,
    name: &str,
    usual: TlsVersion,
) -> Result<TlsVersion, ConfigError> {
    match section.read(name, Value::as_str)? {
        None | Some("") => Ok(usual),
        Some("tls12") => Ok(TlsVersion::Tls12),
        Some("tls13") => Ok(TlsVersion::Tls13),
        Some(_) => Err(section.wrong(name, VERSIONS)),
    }
}

/// Names with commas between them. As in Go, TLS 1.3 keeps all of its suites if none of them is
/// named.
fn cipher_suites(section: &Section<'_>, max: TlsVersion) -> Result<Vec<String>, ConfigError> {
    const NAME: &str = "tls_cipher_suites";
    let text = section.read(NAME, Value::as_str)?.unwrap_or_default();
    let mut suites = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !CIPHER_SUITES.contains(&name) {
            let text = format!(
                "there is no cipher suite {name:?} here; there are {}",
                CIPHER_SUITES.join(", ")
            );
            return Err(section.wrong(NAME, text));
        }
        suites.push(name.to_owned());
    }
    let has_older = suites.iter().any(|name| name.starts_with("TLS_ECDHE_"));
    if !suites.is_empty() && !has_older && max == TlsVersion::Tls12 {
        return Err(section.wrong(NAME, "none of them is for TLS 1.2, the only version allowed"));
    }
    Ok(suites)
}

fn client_ca(
    section: &Section<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<PathBuf>, ConfigError> {
    const REQUIRE: &str = "tls_require_and_verify_client_cert";
    const FILE: &str = "tls_client_ca_file";
    let required = section.read(REQUIRE, Value::as_bool_loose)?;
    let mut disabled = false;
    section.flag("tls_disable_client_certs", &mut disabled)?;
    let mut file = String::new();
    section.text(FILE, &mut file)?;
    match (required, file.is_empty()) {
        (Some(true), _) if disabled => {
            let text = format!("excludes {REQUIRE}");
            Err(section.wrong("tls_disable_client_certs", text))
        }
        // The machine's own authorities vouch for servers: any of them would let anybody in.
        (Some(true), true) => Err(section.wrong(REQUIRE, format!("needs {FILE}"))),
        (Some(true), false) => Ok(Some(file.into())),
        (None, false) => {
            let text = format!("asks no client for a certificate without {REQUIRE} = true");
            Err(section.wrong(FILE, text))
        }
        (Some(false), false) => {
            let place = section.place_of(FILE);
            warnings.push(format!("the setting {FILE} has no effect at {place}"));
            Ok(None)
        }
        (_, true) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    const CERT: &str = "tls_cert_file = \"c\"\ntls_key_file = \"k\"\n";

    fn read(more: &str) -> Result<(TlsConfig, Vec<String>), String> {
        let text = format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{\n{CERT}{more}\n}}");
        let config = Config::parse(&text, "t.hcl").map_err(|error| error.to_string())?;
        Ok((config.listeners[0].tls.clone().unwrap(), config.warnings))
    }

    fn refused(more: &str, line: u32, text: &str) {
        let error = read(more).unwrap_err();
        assert!(error.starts_with(&format!("t.hcl:{line}:1: ")) && error.contains(text), "{error}");
    }

    #[test]
    fn versions_are_read_and_old_ones_refused_with_the_reason() {
        let usual = read("").unwrap().0;
        assert_eq!((usual.min_version, usual.max_version), (TlsVersion::Tls12, TlsVersion::Tls13));
        let narrow = read("tls_min_version = \"tls13\"\ntls_max_version = \"tls13\"").unwrap().0;
        assert_eq!(
            (narrow.min_version, narrow.max_version),
            (TlsVersion::Tls13, TlsVersion::Tls13)
        );
        for old in ["tls10", "tls11"] {
            refused(&format!("tls_min_version = \"{old}\""), 5, "older versions are broken");
            refused(&format!("tls_max_version = \"{old}\""), 5, "older versions are broken");
        }
        let upside_down = "tls_min_version = \"tls13\"\ntls_max_version = \"tls12\"";
        refused(upside_down, 6, "must not be below tls_min_version");
    }

    #[test]
    fn cipher_suites_are_those_there_are() {
        let two = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384,";
        let read_two = read(&format!("tls_cipher_suites = \"{two}\"")).unwrap().0;
        assert_eq!(read_two.cipher_suites.len(), 2);
        assert!(read("tls_cipher_suites = \"\"").unwrap().0.cipher_suites.is_empty());
        let weak = "tls_cipher_suites = \"TLS_RSA_WITH_AES_128_CBC_SHA\"";
        refused(weak, 5, "no cipher suite \"TLS_RSA_WITH_AES_128_CBC_SHA\"");
        let useless = "tls_cipher_suites = \"TLS_AES_128_GCM_SHA256\"\ntls_max_version = \"tls12\"";
        refused(useless, 5, "none of them is for TLS 1.2");
    }

    #[test]
    fn certificates_of_clients_are_asked_for_only_with_authorities_of_their_own() {
        let both = "tls_require_and_verify_client_cert = true\ntls_client_ca_file = \"a\"\n";
        assert_eq!(read(both).unwrap().0.client_ca_file, Some(PathBuf::from("a")));
        refused("tls_require_and_verify_client_cert = true", 5, "needs tls_client_ca_file");
        refused("tls_client_ca_file = \"a\"", 5, "asks no client");
        refused(&format!("{both}tls_disable_client_certs = true"), 7, "excludes");
        let never = "tls_require_and_verify_client_cert = false\ntls_client_ca_file = \"a\"";
        let (tls, warnings) = read(never).unwrap();
        assert_eq!(tls.client_ca_file, None);
        assert!(warnings[0].contains("tls_client_ca_file has no effect at t.hcl:6:1"));
        assert_eq!(read("tls_disable_client_certs = true").unwrap().0.client_ca_file, None);
        let plain = "tls_disable = true\ntls_require_and_verify_client_cert = true";
        let error = read(plain).unwrap_err();
        assert!(error.contains("t.hcl:6:1") && error.contains("without TLS"), "{error}");
    }
}
