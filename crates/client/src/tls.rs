//! Certificates, and TLS to a server whose certificate has another name than its address.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderValue;
use reqwest::{ClientBuilder, Identity, Url};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use strongroom_crypto::trust::PinnedServerVerifier;
use strongroom_types::Secret;

use crate::config::{ClientTlsConfig, PemSource};
use crate::error::Error;

/// Applies the TLS settings of a client: trusted authorities, client certificate, verification.
pub(crate) fn configure_tls(
    builder: ClientBuilder,
    config: &ClientTlsConfig,
) -> Result<ClientBuilder, Error> {
    let own = match (&config.client_cert, &config.client_key) {
        (Some(cert), Some(key)) => Some((read_pem(cert)?, read_pem(key)?)),
        (None, None) => None,
        _ => {
            return Err(tls_error("a client certificate needs its key, and a key its certificate"));
        }
    };
    match trusted_authorities(config)? {
        Some(trusted) if !config.skip_verify => {
            Ok(builder.tls_backend_preconfigured(config_with_authorities(trusted, own)?))
        }
        _ => {
            let builder = builder.tls_danger_accept_invalid_certs(config.skip_verify);
            match own {
                Some((cert, key)) => Ok(builder.identity(client_identity(&cert, key)?)),
                None => Ok(builder),
            }
        }
    }
}

/// The client's certificate and private key, in PEM.
type ClientCertAndKey = (Secret<Vec<u8>>, Secret<Vec<u8>>);

fn config_with_authorities(
    trusted: Vec<CertificateDer<'static>>,
    own: Option<ClientCertAndKey>,
) -> Result<ClientConfig, Error> {
    let unusable = |_: rustls::Error| tls_error("a certificate can't be used as an authority's");
    let mut roots = RootCertStore::empty();
    for certificate in &trusted {
        roots.add(certificate.clone()).map_err(unusable)?;
    }
    let known = Arc::new(PinnedServerVerifier::new(roots, trusted).map_err(unusable)?);
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(known);
    let Some((cert, key)) = own else { return Ok(builder.with_no_client_auth()) };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert.expose_secret()).collect();
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret()).map_err(|_| key_mismatch())?;
    builder
        .with_client_auth_cert(chain.map_err(|_| key_mismatch())?, key)
        .map_err(|_| key_mismatch())
}

/// The authorities to trust; `None` to use the system's.
fn trusted_authorities(
    config: &ClientTlsConfig,
) -> Result<Option<Vec<CertificateDer<'static>>>, Error> {
    let sources = match (&config.ca, &config.ca_folder) {
        (Some(pem), _) => {
            return parse_pem_bundle(&read_pem(pem)?, &pem_source_name(pem)).map(Some);
        }
        (None, Some(folder)) => files_in(folder)?,
        (None, None) => return Ok(None),
    };
    let mut trusted = Vec::new();
    for file in sources {
        let source = PemSource::File(file);
        trusted.extend(parse_pem_bundle(&read_pem(&source)?, &pem_source_name(&source))?);
    }
    if trusted.is_empty() {
        Err(tls_error("there is no CA certificate"))
    } else {
        Ok(Some(trusted))
    }
}

fn parse_pem_bundle(
    pem: &Secret<Vec<u8>>,
    name: &str,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose_secret()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(tls_error(&format!("{name} has no certificate in PEM"))),
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |error| tls_error(&format!("{} can't be read: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn client_identity(cert: &Secret<Vec<u8>>, key: Secret<Vec<u8>>) -> Result<Identity, Error> {
    let mut pem = key;
    pem.expose_secret_mut().push(b'\n');
    pem.expose_secret_mut().extend(cert.expose_secret());
    Identity::from_pem(pem.expose_secret()).map_err(|_| key_mismatch())
}

fn key_mismatch() -> Error {
    tls_error("the client certificate and key can't be used together")
}

fn read_pem(pem: &PemSource) -> Result<Secret<Vec<u8>>, Error> {
    let bytes = match pem {
        PemSource::Text(text) => text.expose_secret().clone().into_bytes(),
        PemSource::File(file) => std::fs::read(file)
            .map_err(|error| tls_error(&format!("{}: {error}", file.display())))?,
    };
    Ok(Secret::new(bytes))
}

fn pem_source_name(pem: &PemSource) -> String {
    match pem {
        PemSource::File(file) => file.display().to_string(),
        PemSource::Text(_) => "the given text".to_owned(),
    }
}

fn tls_error(reason: &str) -> Error {
    Error::Config(format!("TLS can't be set up: {reason}"))
}

/// Connects to a server whose certificate has another name than its address. Request URLs carry the
/// certificate's name, so that TLS verifies it; a custom resolver maps that name to the address.
pub(crate) struct TlsServerName {
    /// The base of request URLs, with the certificate's name as its host.
    pub(crate) base_url: Url,
    /// The value of the `Host` header: that of the configured address.
    pub(crate) host: HeaderValue,
    /// Resolves every name to the configured address.
    pub(crate) resolver: PinnedResolver,
}

impl TlsServerName {
    pub(crate) fn new(address: &Url, name: &str) -> Result<Self, Error> {
        let unusable = |reason: &str| tls_error(&format!("the TLS server name {reason}"));
        if name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return Err(unusable("must be a DNS name"));
        }
        let real = address.host_str().unwrap_or_default();
        let host = match address.port() {
            Some(port) => format!("{real}:{port}"),
            None => real.to_owned(),
        };
        let host = HeaderValue::from_str(&host).map_err(|_| unusable("has no usable address"))?;
        let mut base = address.clone();
        base.set_host(Some(name)).map_err(|_| unusable("isn't a host name"))?;
        let resolver = PinnedResolver(real.trim_matches(['[', ']']).to_owned());
        Ok(Self { base_url: base, host, resolver })
    }
}

/// Resolves one fixed host, whatever name is looked up.
#[derive(Clone)]
pub(crate) struct PinnedResolver(String);

impl Resolve for PinnedResolver {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            // The port comes from the URL, so none is needed here.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
