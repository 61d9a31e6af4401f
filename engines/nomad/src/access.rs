//! [`NomadAccessConfig`]: how to reach Nomad.

use reqwest::header::HeaderValue;
use strongroom_sdk::{BaseUrl, Document, Error, Secret};

use crate::http_client;

/// Where Nomad is, and the token with which tokens are made.
#[derive(Document)]
#[document(path = "config/access", seal_wrap, validate = validate_access)]
pub(crate) struct NomadAccessConfig {
    /// Base URL of Nomad's HTTP API, such as https://nomad.example.com:4646.
    #[field(required)]
    pub(crate) address: BaseUrl,
    /// A management token of Nomad's. Never returned.
    pub(crate) token: Option<Secret<String>>,
    /// The longest name a token may get, from 26 to 256; 0 is 256.
    pub(crate) max_token_name_length: u32,
    /// Authorities that may have signed Nomad's certificate, in PEM; the machine's own if empty.
    pub(crate) ca_cert: String,
    /// The certificate to show to Nomad, in PEM; needs client_key.
    pub(crate) client_cert: String,
    /// The private key of client_cert, in PEM. Never returned.
    pub(crate) client_key: Option<Secret<String>>,
}

/// The maximum length of a token's name in Nomad.
const MAX_NAME_LENGTH: u32 = 256;
/// The length of the random part of a name, which is never truncated.
const MIN_NAME_LENGTH: u32 = 26;

impl NomadAccessConfig {
    /// The maximum number of characters in a token's name.
    pub(crate) fn max_name_length(&self) -> usize {
        let chosen = match self.max_token_name_length {
            0 => MAX_NAME_LENGTH,
            chosen => chosen,
        };
        usize::try_from(chosen).unwrap_or(usize::MAX)
    }

    /// The management token as a header value.
    pub(crate) fn token_header(&self) -> Result<HeaderValue, Error> {
        let header = self.token.as_ref().and_then(token_to_header);
        header.ok_or_else(|| Error::internal("the stored management token can't be used"))
    }
}

fn token_to_header(token: &Secret<String>) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(token.expose_secret()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn validate_access(access: &NomadAccessConfig) -> Result<(), String> {
    let refuse = |why: &str| Err(why.to_owned());
    let Some(token) = &access.token else {
        return refuse(
            "token is missing: this engine does not bootstrap Nomad's ACL system. Run \"nomad acl \
             bootstrap\" if nobody has yet, make a management token for this engine with \"nomad \
             acl token create -type=management\", and write it here",
        );
    };
    if token_to_header(token).is_none() {
        return refuse("token has characters that no token of Nomad's has");
    }
    if !matches!(access.max_token_name_length, 0 | MIN_NAME_LENGTH..=MAX_NAME_LENGTH) {
        return refuse("max_token_name_length must be 0, or from 26 to 256");
    }
    let NomadAccessConfig { ca_cert, client_cert, client_key, .. } = access;
    if client_cert.is_empty() != client_key.is_none() {
        return refuse("client_cert and client_key need each other");
    }
    let for_tls = !ca_cert.is_empty() || !client_cert.is_empty();
    if for_tls && !access.address.as_str().starts_with("https:") {
        return refuse("ca_cert, client_cert and client_key need an https address");
    }
    // This client only shows that the certificates are usable.
    http_client::build_client(access).map(drop).map_err(str::to_owned)
}
