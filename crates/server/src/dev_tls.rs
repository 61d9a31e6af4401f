//! Certificates for `-dev-tls`: a new certificate authority, and a server certificate issued by it.
//! The authority's key is never written; the files are removed when the server ends.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use strongroom_config::{ClientCertificatePolicy, ListenerTlsConfig, TlsVersion};
use strongroom_types::{Clock, Secret, Timestamp};

/// The certificate files of a `-dev-tls` server. They are removed when this value is dropped.
#[derive(Debug)]
pub struct DevTls {
    files: [PathBuf; 3],
    /// The temporary folder; `None` if a folder was configured.
    _folder: Option<tempfile::TempDir>,
}

/// The file names that Vault uses.
const CA_FILE: &str = "vault-ca.pem";
const CERT_FILE: &str = "vault-cert.pem";
const KEY_FILE: &str = "vault-key.pem";
/// How far the validity begins in the past, since the client's clock may be behind ours.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl DevTls {
    /// Creates the files, in `folder` (which must exist) or in a temporary folder. The certificate
    /// is valid for this machine and for `host`, which the server listens on.
    ///
    /// # Errors
    ///
    /// If a certificate can't be created or a file can't be written.
    pub fn generate(folder: Option<&Path>, host: &str, clock: &dyn Clock) -> io::Result<Self> {
        let temporary = match folder {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("strongroom-tls").tempdir()?),
        };
        let folder = temporary.as_ref().map(tempfile::TempDir::path).or(folder);
        let folder = std::path::absolute(folder.unwrap_or(Path::new(".")))?;
        let made = Self {
            files: [CA_FILE, CERT_FILE, KEY_FILE].map(|name| folder.join(name)),
            _folder: temporary,
        };
        let pems = generate_certificates(host, clock.now()).map_err(io::Error::other)?;
        for (file, pem) in made.files.iter().zip(pems) {
            write_private(file, &pem)?;
        }
        Ok(made)
    }

    /// The file of the certificate authority that clients have to trust.
    pub fn ca_file(&self) -> &Path {
        let [ca, _, _] = &self.files;
        ca
    }

    /// The TLS settings for the listener, which name the generated files.
    pub fn listener_config(&self) -> ListenerTlsConfig {
        let [_, cert, key] = &self.files;
        ListenerTlsConfig {
            cert_file: cert.clone(),
            key_file: key.clone(),
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            cipher_suites: Vec::new(),
            client_certificates: ClientCertificatePolicy::Requested,
        }
    }
}

impl Drop for DevTls {
    fn drop(&mut self) {
        for file in &self.files {
            // The file may never have been written, or may already have been removed.
            let _ = fs::remove_file(file);
        }
    }
}

/// Writes a file that only its owner can read. It replaces an existing file; a link is not
/// followed.
fn write_private(file: &Path, pem: &Secret<String>) -> io::Result<()> {
    let folder = file.parent().unwrap_or(file);
    let mut written = tempfile::NamedTempFile::new_in(folder)?;
    written.write_all(pem.expose_secret().as_bytes())?;
    written.persist(file)?;
    Ok(())
}

/// The authority's certificate, the server's certificate and its key, in PEM.
fn generate_certificates(host: &str, now: Timestamp) -> Result<[Secret<String>; 3], rcgen::Error> {
    let mut authority = CertificateParams::new([])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_name_and_validity(&mut authority, "Strongroom dev authority", now);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let anywhere = host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
    if !host.is_empty() && !anywhere && !names.iter().any(|known| known == host) {
        names.push(host.to_owned());
    }
    let mut server = CertificateParams::new(names)?;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    set_name_and_validity(&mut server, "localhost", now);
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &authority)?;
    Ok([authority.pem(), certificate.pem(), key.serialize_pem()].map(Secret::new))
}

fn set_name_and_validity(params: &mut CertificateParams, name: &str, now: Timestamp) {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = date_time_ymd(1970, 1, 1) + now.since(Timestamp::EPOCH);
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + VALIDITY;
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use strongroom_types::SystemClock;

    use super::*;
    use crate::tls::TlsFromFiles;

    #[test]
    fn files_are_usable_private_and_gone_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        for place in [None, Some(folder.path())] {
            let made = DevTls::generate(place, "127.0.0.1", &SystemClock).unwrap();
            TlsFromFiles::load(made.listener_config()).unwrap();
            let files = made.files.clone();
            for file in &files {
                let mode = fs::metadata(file).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", file.display());
            }
            assert_eq!(made.ca_file().file_name().unwrap(), CA_FILE);
            drop(made);
            assert!(files.iter().all(|file| !file.exists()));
        }
        assert!(folder.path().exists());
        assert!(DevTls::generate(Some(Path::new("/nowhere")), "", &SystemClock).is_err());
    }

    #[test]
    fn a_link_in_the_folder_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join(KEY_FILE)).unwrap();
        let made = DevTls::generate(Some(folder.path()), "host.example", &SystemClock).unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        drop(made);
    }
}
