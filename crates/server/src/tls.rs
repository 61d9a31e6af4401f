//! Certificates from files, which can change while the server runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use strongroom_config::{TlsFiles, TlsVersion};
use strongroom_http::TlsSource;

/// A listener's certificate.
pub(crate) struct TlsFromFiles {
    files: TlsFiles,
    current: ArcSwap<ServerConfig>,
}

impl TlsFromFiles {
    /// Reads certificate and key.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, String> {
        let current = ArcSwap::new(read(&files)?);
        Ok(Self { files, current })
    }

    /// Reads them again. Connections that are open keep what they have.
    pub(crate) fn reload(&self) -> Result<(), String> {
        self.current.store(read(&self.files)?);
        Ok(())
    }
}

impl TlsSource for TlsFromFiles {
    fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
    let cert_file = files.cert_file.display();
    let chain = CertificateDer::pem_file_iter(&files.cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{cert_file}: {error}"))?;
    if chain.is_empty() {
        return Err(format!("{cert_file}: no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key_file)
        .map_err(|error| format!("{}: {error}", files.key_file.display()))?;
    let versions: &[&rustls::SupportedProtocolVersion] = match files.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
