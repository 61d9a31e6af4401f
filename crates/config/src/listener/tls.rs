//! TLS of a listener: certificate, versions, cipher suites, client certificates.
//!
//! ```
//! # use strongroom_config::{ClientCertificatePolicy, Config, TlsVersion};
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
//! assert!(matches!(tls.client_certificates, ClientCertificatePolicy::Required(_)));
//! # Ok::<(), strongroom_config::ConfigError>(())
//! ```

use std::path::PathBuf;

use strongroom_hcl::HclValue;

use crate::reading::{ConfigError, ConfigSection};

/// The TLS settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTlsConfig {
    /// The file with the certificate and its chain, PEM.
    pub cert_file: PathBuf,
    /// The file with the private key, PEM.
    pub key_file: PathBuf,
    /// The oldest TLS version that is accepted.
    pub min_version: TlsVersion,
    /// The newest TLS version that is accepted.
    pub max_version: TlsVersion,
    /// The allowed cipher suites, each one of [`CIPHER_SUITES`]; empty for all of them.
    pub cipher_suites: Vec<String>,
    /// Which certificates clients show.
    pub client_certificates: ClientCertificatePolicy,
}

/// Whether clients are asked for a certificate in the TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificatePolicy {
    /// Clients aren't asked (`tls_disable_client_certs`).
    NotRequested,
    /// Clients are asked, and may show any certificate of which they have the key: auth methods
    /// decide what it is worth.
    Requested,
    /// Clients must show a certificate that one of the authorities in this file, PEM, issued.
    Required(PathBuf),
}

/// A TLS version that the server supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2, the oldest supported version.
    Tls12,
    /// TLS 1.3, the newest supported version.
    Tls13,
}

/// The supported cipher suites, by their IANA names, which Vault and Go use too.
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
/// Old names of the ChaCha suites, from before they were registered.
const FORMER_SUITE_NAMES: [(&str, &str); 2] = [
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
];
/// Suites that Vault accepts and this server doesn't: they lack forward secrecy or authenticated
/// encryption, or use a broken cipher.
const WEAK_SUITES: [&str; 15] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];
/// The settings that have no effect without TLS.
const TLS_SETTINGS: [&str; 6] = [
    "tls_cert_file",
    "tls_key_file",
    "tls_min_version",
    "tls_max_version",
    "tls_cipher_suites",
    "tls_client_ca_file",
];
const VERSION_PROBLEM: &str =
    "must be \"tls12\" or \"tls13\"; older versions are insecure and not supported";

/// `None` if `tls_disable` is set, or neither certificate nor key is configured.
pub(super) fn read(
    section: &ConfigSection<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<ListenerTlsConfig>, ConfigError> {
    if is_disabled(section)? {
        let text = "requires TLS, and tls_disable is set";
        section.refuse_flag("tls_require_and_verify_client_cert", text)?;
        for name in TLS_SETTINGS {
            if let Some(place) = section.location_if_set(name) {
                let text =
                    format!("the setting {name} has no effect at {place}: tls_disable is set");
                warnings.push(text);
            }
        }
        return Ok(None);
    }
    let (mut cert, mut key) = (String::new(), String::new());
    section.read_text("tls_cert_file", &mut cert)?;
    section.read_text("tls_key_file", &mut key)?;
    match (cert.is_empty(), key.is_empty()) {
        (true, true) => return Ok(None),
        (false, false) => {}
        (true, false) => {
            return Err(section.invalid_setting("tls_key_file", "needs tls_cert_file as well"));
        }
        (false, true) => {
            return Err(section.invalid_setting("tls_cert_file", "needs tls_key_file as well"));
        }
    }
    let min_version = read_min_version(section, warnings)?;
    let max_version = read_version(section, "tls_max_version", TlsVersion::Tls13)?;
    if max_version < min_version {
        return Err(section.invalid_setting("tls_max_version", "must not be below tls_min_version"));
    }
    Ok(Some(ListenerTlsConfig {
        cert_file: cert.into(),
        key_file: key.into(),
        min_version,
        max_version,
        cipher_suites: read_cipher_suites(section, max_version, warnings)?,
        client_certificates: read_client_certificates(section, warnings)?,
    }))
}

pub(super) fn is_disabled(section: &ConfigSection<'_>) -> Result<bool, ConfigError> {
    let mut disabled = false;
    section.read_flag("tls_disable", &mut disabled)?;
    Ok(disabled)
}

/// An older version than the server supports is accepted with a warning: the effective minimum is
/// only stricter.
fn read_min_version(
    section: &ConfigSection<'_>,
    warnings: &mut Vec<String>,
) -> Result<TlsVersion, ConfigError> {
    const NAME: &str = "tls_min_version";
    if matches!(section.read(NAME, HclValue::as_str)?, Some("tls10" | "tls11")) {
        let place = section.location_of(NAME);
        warnings.push(format!(
            "the setting {NAME} has no effect at {place}: versions before 1.2 are broken and not \
             spoken"
        ));
        return Ok(TlsVersion::Tls12);
    }
    read_version(section, NAME, TlsVersion::Tls12)
}

fn read_version(
    section: &ConfigSection<'_>,
    name: &str,
    usual: TlsVersion,
) -> Result<TlsVersion, ConfigError> {
    match section.read(name, HclValue::as_str)? {
        None | Some("") => Ok(usual),
        Some("tls12") => Ok(TlsVersion::Tls12),
        Some("tls13") => Ok(TlsVersion::Tls13),
        Some(_) => Err(section.invalid_setting(name, VERSION_PROBLEM)),
    }
}

/// Reads comma-separated names. As in Go, all suites of TLS 1.3 stay enabled if none of them is
/// named.
fn read_cipher_suites(
    section: &ConfigSection<'_>,
    max: TlsVersion,
    warnings: &mut Vec<String>,
) -> Result<Vec<String>, ConfigError> {
    const NAME: &str = "tls_cipher_suites";
    let text = section.read(NAME, HclValue::as_str)?.unwrap_or_default();
    let (mut suites, mut weak) = (Vec::new(), Vec::new());
    for given in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let older = FORMER_SUITE_NAMES.iter().find(|(older, _)| *older == given);
        let name = older.map_or(given, |(_, name)| *name);
        if WEAK_SUITES.contains(&name) {
            weak.push(name);
        } else if CIPHER_SUITES.contains(&name) {
            suites.push(name.to_owned());
        } else {
            let all = CIPHER_SUITES.join(", ");
            let text = format!("unknown cipher suite {given:?}; supported are {all}");
            return Err(section.invalid_setting(NAME, text));
        }
    }
    if !weak.is_empty() {
        let weak = weak.join(", ");
        if suites.is_empty() {
            let text = format!("all of them are weak and not supported: {weak}");
            return Err(section.invalid_setting(NAME, text));
        }
        let place = section.location_of(NAME);
        warnings.push(format!(
            "parts of the setting {NAME} have no effect at {place}: weak suites are not supported: {weak}"
        ));
    }
    let has_older = suites.iter().any(|name| name.starts_with("TLS_ECDHE_"));
    if !suites.is_empty() && !has_older && max == TlsVersion::Tls12 {
        return Err(section
            .invalid_setting(NAME, "none of them is a TLS 1.2 suite, the only version allowed"));
    }
    Ok(suites)
}

fn read_client_certificates(
    section: &ConfigSection<'_>,
    warnings: &mut Vec<String>,
) -> Result<ClientCertificatePolicy, ConfigError> {
    const REQUIRE: &str = "tls_require_and_verify_client_cert";
    const FILE: &str = "tls_client_ca_file";
    let required = section.read(REQUIRE, HclValue::as_bool_loose)?;
    let mut disabled = false;
    section.read_flag("tls_disable_client_certs", &mut disabled)?;
    let mut file = String::new();
    section.read_text(FILE, &mut file)?;
    match (required, file.is_empty()) {
        (Some(true), _) if disabled => {
            let text = format!("excludes {REQUIRE}");
            Err(section.invalid_setting("tls_disable_client_certs", text))
        }
        // The system's authorities are for server certificates: a client certificate from any of
        // them would be accepted.
        (Some(true), true) => Err(section.invalid_setting(REQUIRE, format!("needs {FILE}"))),
        (Some(true), false) => Ok(ClientCertificatePolicy::Required(file.into())),
        (None | Some(false), has_no_file) => {
            if !has_no_file {
                let place = section.location_of(FILE);
                warnings.push(format!(
                    "the setting {FILE} has no effect at {place}: client certificates are verified \
                     only with {REQUIRE} = true"
                ));
            }
            Ok(match disabled {
                true => ClientCertificatePolicy::NotRequested,
                false => ClientCertificatePolicy::Requested,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    const CERT: &str = "tls_cert_file = \"c\"\ntls_key_file = \"k\"\n";

    fn read(more: &str) -> Result<(ListenerTlsConfig, Vec<String>), String> {
        let text = format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{\n{CERT}{more}\n}}");
        let config = Config::parse(&text, "t.hcl").map_err(|error| error.to_string())?;
        Ok((config.listeners[0].tls.clone().unwrap(), config.warnings))
    }

    fn assert_refused(more: &str, line: u32, text: &str) {
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
            let (tls, warnings) = read(&format!("tls_min_version = \"{old}\"")).unwrap();
            assert_eq!(tls.min_version, TlsVersion::Tls12);
            assert!(warnings[0].contains("tls_min_version has no effect at t.hcl:5:1"));
            assert_refused(
                &format!("tls_max_version = \"{old}\""),
                5,
                "older versions are insecure",
            );
        }
        let upside_down = "tls_min_version = \"tls13\"\ntls_max_version = \"tls12\"";
        assert_refused(upside_down, 6, "must not be below tls_min_version");
    }

    #[test]
    fn refuses_unknown_cipher_suites() {
        let two = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384,";
        let read_two = read(&format!("tls_cipher_suites = \"{two}\"")).unwrap().0;
        assert_eq!(read_two.cipher_suites.len(), 2);
        assert!(read("tls_cipher_suites = \"\"").unwrap().0.cipher_suites.is_empty());
        assert_refused("tls_cipher_suites = \"TLS_X\"", 5, "unknown cipher suite \"TLS_X\"");
        let weak = "tls_cipher_suites = \"TLS_RSA_WITH_AES_128_CBC_SHA\"";
        assert_refused(
            weak,
            5,
            "all of them are weak and not supported: TLS_RSA_WITH_AES_128_CBC_SHA",
        );
        let some = "TLS_RSA_WITH_AES_128_CBC_SHA,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        let (tls, warnings) = read(&format!("tls_cipher_suites = \"{some}\"")).unwrap();
        assert_eq!(tls.cipher_suites, ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
        assert!(warnings[0].contains("t.hcl:5:1: weak suites are not supported: TLS_RSA_"));
        let useless = "tls_cipher_suites = \"TLS_AES_128_GCM_SHA256\"\ntls_max_version = \"tls12\"";
        assert_refused(useless, 5, "none of them is a TLS 1.2 suite");
    }

    /// From the configuration in vault#4368.
    #[test]
    fn accepts_former_suite_names() {
        let older = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305";
        let (tls, warnings) = read(&format!("tls_cipher_suites = \"{older}\"")).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(
            tls.cipher_suites,
            [
                "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            ]
        );
        for (_, name) in FORMER_SUITE_NAMES {
            assert!(CIPHER_SUITES.contains(&name), "{name}");
        }
        assert!(WEAK_SUITES.iter().all(|name| !CIPHER_SUITES.contains(name)));
    }

    /// Many published examples have this: a client CA although client certificates aren't required.
    #[test]
    fn unused_client_ca_is_a_warning() {
        for more in ["", "tls_require_and_verify_client_cert = false\n"] {
            let (tls, warnings) = read(&format!("{more}tls_client_ca_file = \"ca.pem\"")).unwrap();
            assert_eq!(tls.client_certificates, ClientCertificatePolicy::Requested);
            let line = if more.is_empty() { 5 } else { 6 };
            let text = format!("tls_client_ca_file has no effect at t.hcl:{line}:1: client cert");
            assert!(warnings.len() == 1 && warnings[0].contains(&text), "{warnings:?}");
        }
    }

    #[test]
    fn tls_settings_without_tls_warn() {
        let text =
            format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{\n{CERT}tls_disable = \"1\"\n}}");
        let config = Config::parse(&text, "t.hcl").unwrap();
        assert!(config.listeners[0].tls.is_none());
        assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
        assert!(config.warnings[0].contains("tls_cert_file has no effect at t.hcl:3:1"));
    }

    #[test]
    fn client_certs_need_a_client_ca() {
        let both = "tls_require_and_verify_client_cert = true\ntls_client_ca_file = \"a\"\n";
        let policy = |text: &str| read(text).unwrap().0.client_certificates;
        assert_eq!(policy(both), ClientCertificatePolicy::Required(PathBuf::from("a")));
        assert_eq!(policy(""), ClientCertificatePolicy::Requested);
        assert_refused("tls_require_and_verify_client_cert = true", 5, "needs tls_client_ca_file");
        assert_refused(&format!("{both}tls_disable_client_certs = true"), 7, "excludes");
        let never = "tls_require_and_verify_client_cert = false\ntls_client_ca_file = \"a\"";
        let (tls, warnings) = read(never).unwrap();
        assert_eq!(tls.client_certificates, ClientCertificatePolicy::Requested);
        assert!(warnings[0].contains("tls_client_ca_file has no effect at t.hcl:6:1"));
        let disabled = policy("tls_disable_client_certs = true");
        assert_eq!(disabled, ClientCertificatePolicy::NotRequested);
        let plain = "tls_disable = true\ntls_require_and_verify_client_cert = true";
        let error = read(plain).unwrap_err();
        assert!(error.contains("t.hcl:6:1") && error.contains("requires TLS"), "{error}");
    }
}
