//! Signed tokens (JWT, RFC 7519) with which an engine authenticates itself to an outside system.

use data_encoding::BASE64URL_NOPAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use strongroom_crypto::Rs256Key;
use strongroom_types::Secret;

use crate::Error;

/// The header of every token: `{"alg":"RS256","typ":"JWT"}`.
const HEADER: &[u8] = br#"{"alg":"RS256","typ":"JWT"}"#;

const BAD_KEY: &str = "the private key is no RSA key of 2048 bits or more in PEM";

/// Signs a token with RS256, for an outside system that knows the public key. `private_key` is an RSA
/// key of at least 2048 bits in PEM, in PKCS #1 or PKCS #8. Whoever receives the token can read the
/// claims, so they must contain no secret.
///
/// ```no_run
/// use serde_json::json;
/// use strongroom_sdk::http::{HttpService, sign_rs256_jwt};
/// use strongroom_sdk::{Context, Error, Secret};
///
/// fn authenticate<'s>(
///     service: HttpService<'s>,
///     context: &Context,
///     private_key: &Secret<String>,
/// ) -> Result<HttpService<'s>, Error> {
///     let now = context.now().as_secs();
///     let claims = json!({ "iss": "app-7", "iat": now, "exp": now + 300 });
///     Ok(service.bearer_token(&sign_rs256_jwt(private_key, &claims)?))
/// }
/// # let _ = authenticate;
/// ```
///
/// # Errors
///
/// A user error if `private_key` isn't such a key; an internal error if the claims can't be written as
/// JSON.
pub fn sign_rs256_jwt(
    private_key: &Secret<String>,
    claims: &impl Serialize,
) -> Result<Secret<String>, Error> {
    let key = read_key(private_key).ok_or_else(|| Error::user(BAD_KEY))?;
    let claims = serde_json::to_vec(claims);
    let claims = claims.map_err(|_| Error::internal("the claims of a token are no JSON"))?;
    let message = [HEADER, &claims].map(|part| BASE64URL_NOPAD.encode(part)).join(".");
    let signature = key.sign(message.as_bytes());
    let signature = signature.ok_or_else(|| Error::internal("a token can't be signed"))?;
    Ok(Secret::new(format!("{message}.{}", BASE64URL_NOPAD.encode(&signature))))
}

/// Checks that a text is a private key that [`sign_rs256_jwt`] can sign with, as `validate` of a
/// document does.
///
/// # Errors
///
/// A text for the client that names no part of the key.
pub fn check_rs256_key(private_key: &Secret<String>) -> Result<(), String> {
    read_key(private_key).map(|_| ()).ok_or_else(|| BAD_KEY.to_owned())
}

fn read_key(pem: &Secret<String>) -> Option<Rs256Key> {
    let der = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).ok()?;
    Rs256Key::from_der(der.secret_der())
}
