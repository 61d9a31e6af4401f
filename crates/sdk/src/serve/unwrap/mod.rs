//! The certificate of protocol versions 3 and 4: the host passes a single-use unwrap token, and its
//! server returns a certificate with its key for it. Host and plug-in then share that certificate,
//! and each accepts no other.
//!
//! - `token`: what can be read from the token
//! - `address`: the server's address in it
//! - `settings` and `server_verification`: TLS with that server
//! - `call`: the request

mod address;
mod call;
mod server_verification;
mod settings;
#[cfg(test)]
mod tests;
mod token;

use std::time::Duration;

use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Deserializer};
use strongroom_plugin_protocol::tls::{IdentityError, TlsIdentity};
use strongroom_types::{Clock, Secret};

use self::address::UnwrapAddress;
pub(super) use self::settings::UnwrapTlsSettings;

/// Why no certificate could be obtained.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnwrapError {
    #[error(transparent)]
    Token(#[from] token::InvalidToken),
    #[error(transparent)]
    Address(#[from] address::InvalidUnwrapAddress),
    #[error("no certificate from {0}: {1}")]
    Call(UnwrapAddress, call::CallError),
    #[error("no certificate from {address}: no answer within {} s", UNWRAP_TIMEOUT.as_secs())]
    TimedOut { address: UnwrapAddress },
    #[error("no certificate from {0}: the answer has none, or no key")]
    Answer(UnwrapAddress),
    #[error("the certificate from {0} is of no use: {1}")]
    Identity(UnwrapAddress, IdentityError),
}

/// A host waits a minute for the handshake, and the token is valid as long.
const UNWRAP_TIMEOUT: Duration = Duration::from_secs(30);

/// Fetches the certificate and key that both sides use.
///
/// # Cancel safety
///
/// If the future is dropped, the token may be used up.
pub(super) async fn fetch_identity(
    token: &Secret<String>,
    settings: &UnwrapTlsSettings,
    clock: &dyn Clock,
) -> Result<TlsIdentity, UnwrapError> {
    let address = UnwrapAddress::parse(&token::server_address(token)?)?;
    if address.is_plaintext_remote() {
        tracing::warn!(
            %address,
            "the key of this plug-in travels over plain HTTP: give the server an https address"
        );
    }
    let late = clock.sleep(UNWRAP_TIMEOUT);
    let answer = tokio::select! {
        answer = call::send_unwrap(&address, settings, token) => answer,
        () = late => return Err(UnwrapError::TimedOut { address }),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Err(UnwrapError::Call(address, error)),
    };
    let Some((certificate, key)) = certificate_and_key(&answer) else {
        return Err(UnwrapError::Answer(address));
    };
    TlsIdentity::from_sec1(certificate, &key).map_err(|error| UnwrapError::Identity(address, error))
}

#[derive(Deserialize)]
struct UnwrapResponse {
    data: UnwrappedCertificate,
}

#[derive(Deserialize)]
struct UnwrappedCertificate {
    #[serde(rename = "ServerCert")]
    certificate: String,
    #[serde(rename = "ServerKey", deserialize_with = "secret")]
    key: Secret<String>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// The error doesn't describe what is wrong with the response: a parser's message might quote it.
fn certificate_and_key(
    answer: &Secret<Vec<u8>>,
) -> Option<(CertificateDer<'static>, Secret<Vec<u8>>)> {
    let UnwrapResponse { data } = serde_json::from_slice(answer.expose_secret()).ok()?;
    let certificate = BASE64.decode(data.certificate.as_bytes()).ok()?;
    let mut key = Secret::new(vec![0; BASE64.decode_len(data.key.expose_secret().len()).ok()?]);
    let decoded = BASE64.decode_mut(data.key.expose_secret().as_bytes(), key.expose_secret_mut());
    key.expose_secret_mut().truncate(decoded.ok()?);
    let there = !certificate.is_empty() && !key.expose_secret().is_empty();
    there.then(|| (certificate.into(), key))
}
