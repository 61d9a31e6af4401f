//! [`NomadAccessConfig`]: how to reach Nomad.

use strongroom_sdk::http::TlsSettings;
use strongroom_sdk::{BaseUrl, Document, Secret};

/// The address of Nomad, and the management token to create tokens with.
#[derive(Document)]
#[document(path = "config/access", seal_wrap, validate = validate_access)]
pub(crate) struct NomadAccessConfig {
    /// Base URL of Nomad's HTTP API, such as https://nomad.example.com:4646.
    #[field(required)]
    pub(crate) address: BaseUrl,
    /// A management token of Nomad. Never returned.
    pub(crate) token: Option<Secret<String>>,
    /// The maximum length of token names, from 26 to 256; 0 for 256.
    pub(crate) max_token_name_length: u32,
    /// CA certificates to verify Nomad's certificate, in PEM; those of the system if empty.
    pub(crate) ca_cert: String,
    /// The client certificate, in PEM; requires client_key.
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

    /// The certificates to accept and to present.
    pub(crate) fn tls(&self) -> TlsSettings<'_> {
        let tls = TlsSettings::new().ca_cert(&self.ca_cert);
        tls.client_cert(&self.client_cert, self.client_key.as_ref())
    }
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
    if !token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse("token contains characters that are invalid in a Nomad token");
    }
    if !matches!(access.max_token_name_length, 0 | MIN_NAME_LENGTH..=MAX_NAME_LENGTH) {
        return refuse("max_token_name_length must be 0, or from 26 to 256");
    }
    let for_tls = !access.ca_cert.is_empty() || !access.client_cert.is_empty();
    if for_tls && !access.address.as_str().starts_with("https:") {
        return refuse("ca_cert, client_cert and client_key need an https address");
    }
    access.tls().check().map_err(|error| error.to_string())
}
