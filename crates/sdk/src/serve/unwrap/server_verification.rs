//! How a plug-in verifies the server from which it fetches its certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use strongroom_crypto::trust::PinnedServerVerifier;

use super::settings::UnwrapTlsSettings;

/// Why the TLS settings can't be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("{0} can't be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    #[error("{0} holds no certificate in PEM")]
    NoCertificate(PathBuf),
    #[error("{0} holds no private key in PEM")]
    NoKey(PathBuf),
    #[error("no certificate authority is known")]
    NoAuthority,
    #[error("client certificate and client key are needed both, or none")]
    IncompleteClientCertificate,
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] Error),
}

/// The TLS configuration for calling the server.
pub(super) fn client_config(settings: &UnwrapTlsSettings) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if settings.skip_verify {
        Arc::new(AcceptAnyServer(provider.signature_verification_algorithms))
    } else {
        Arc::new(server_verifier(settings)?)
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match (&settings.client_cert, &settings.client_key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let der = PrivateKeyDer::from_pem_file(key);
            let der = der.map_err(|_| TrustError::NoKey(key.clone()))?;
            Ok(builder.with_client_auth_cert(read_certificates(certificate)?, der)?)
        }
        _ => Err(TrustError::IncompleteClientCertificate),
    }
}

fn server_verifier(settings: &UnwrapTlsSettings) -> Result<PinnedServerVerifier, TrustError> {
    let mut roots = RootCertStore::empty();
    let given = configured_authorities(settings)?;
    match &given {
        Some(given) => {
            for certificate in given {
                roots.add(certificate.clone())?;
            }
        }
        // Some of a system's certificates are always of an unsupported kind.
        None => {
            let system = rustls_native_certs::load_native_certs().certs;
            let (_good, _others) = roots.add_parsable_certificates(system);
        }
    }
    if roots.is_empty() {
        return Err(TrustError::NoAuthority);
    }
    Ok(PinnedServerVerifier::new(roots, given.unwrap_or_default())?)
}

/// The certificate authorities in the settings; `None` for the system's.
fn configured_authorities(
    settings: &UnwrapTlsSettings,
) -> Result<Option<Vec<CertificateDer<'static>>>, TrustError> {
    let files = match (&settings.ca_cert, &settings.ca_path) {
        (Some(file), _) => vec![file.clone()],
        (None, Some(folder)) => files_in(folder)?,
        (None, None) => return Ok(None),
    };
    let mut all = Vec::new();
    for file in files {
        all.extend(read_certificates(&file)?);
    }
    Ok(Some(all))
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, TrustError> {
    let unreadable = |error| TrustError::Unreadable(folder.to_owned(), error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let pem =
        std::fs::read(file).map_err(|error| TrustError::Unreadable(file.to_owned(), error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    all.ok_or_else(|| TrustError::NoCertificate(file.to_owned()))
}

/// Accepts any certificate, because the operator turned verification off.
#[derive(Debug)]
struct AcceptAnyServer(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AcceptAnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
