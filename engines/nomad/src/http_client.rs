//! HTTP clients: the latest one is reused as long as its certificates are configured.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Client, Identity, redirect};
use strongroom_sdk::Secret;

use crate::access::NomadAccessConfig;

/// The client in use. It keeps connections, but no address or token, which are passed to each call.
#[derive(Default)]
pub(crate) struct HttpClientCache {
    cached: Mutex<Option<CachedHttpClient>>,
}

struct CachedHttpClient {
    ca_cert: String,
    client_cert: String,
    client_key: Secret<String>,
    client: Client,
}

impl HttpClientCache {
    /// A client for this configuration: the cached one, unless the certificates have changed.
    pub(crate) fn client_for(&self, access: &NomadAccessConfig) -> Result<Client, &'static str> {
        let mut last = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = last.as_ref().filter(|kept| kept.is_built_for(access)) {
            return Ok(kept.client.clone());
        }
        let client = build_client(access)?;
        *last = Some(CachedHttpClient {
            ca_cert: access.ca_cert.clone(),
            client_cert: access.client_cert.clone(),
            client_key: Secret::from_text(client_key_of(access)),
            client: client.clone(),
        });
        Ok(client)
    }
}

impl CachedHttpClient {
    fn is_built_for(&self, access: &NomadAccessConfig) -> bool {
        self.ca_cert == access.ca_cert
            && self.client_cert == access.client_cert
            && self.client_key.ct_eq(client_key_of(access).as_bytes())
    }
}

/// How long connecting alone may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Builds a client for a configuration; the error says what is wrong with its certificates. The
/// parsers' error texts are dropped, since they could quote a key.
pub(crate) fn build_client(access: &NomadAccessConfig) -> Result<Client, &'static str> {
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirect would send the token to another server.
        .redirect(redirect::Policy::none())
        .user_agent(concat!("strongroom-engine-nomad/", env!("CARGO_PKG_VERSION")));
    if !access.ca_cert.is_empty() {
        const BAD: &str = "ca_cert is no certificate in PEM";
        let authorities =
            Certificate::from_pem_bundle(access.ca_cert.as_bytes()).map_err(|_| BAD)?;
        if authorities.is_empty() {
            return Err(BAD);
        }
        builder = builder.tls_certs_only(authorities);
    }
    if !access.client_cert.is_empty() {
        let key = client_key_of(access);
        let mut pem = String::with_capacity(access.client_cert.len() + key.len() + 1);
        pem.extend([&access.client_cert, "\n", key]);
        let pem = Secret::new(pem);
        let identity = Identity::from_pem(pem.expose_secret().as_bytes())
            .map_err(|_| "client_cert and client_key are no certificate and key in PEM")?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|_| match access.client_cert.is_empty() {
        true if access.ca_cert.is_empty() => "the HTTP client of the engine can't be made",
        true => "ca_cert is no certificate in PEM",
        false => "ca_cert can't be used, or client_key is not the key of client_cert",
    })
}

fn client_key_of(access: &NomadAccessConfig) -> &str {
    access.client_key.as_ref().map_or("", |key| key.expose_secret())
}
