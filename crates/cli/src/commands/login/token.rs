//! Logging in with an existing token: it is looked up, then stored.

use strongroom_client::token::TokenSelector;
use strongroom_client::{Client, SecretAuth, SecretResponse};
use strongroom_types::{Secret, parse_bool};

use super::authentication_error;
use crate::context::CommandContext;
use crate::data;
use crate::error::{CliError, CliResult};
use crate::flags::HttpFlags;

/// Reads the token from the argument or a prompt; also returns whether to look it up.
pub(super) fn read_token(
    arguments: &[String],
    http: &HttpFlags,
    context: &mut CommandContext,
) -> CliResult<(Secret<String>, bool)> {
    let mut arguments = arguments.to_vec();
    if let Some(first) = arguments.first_mut()
        && !first.contains('=')
    {
        *first = format!("token={first}");
    }
    let fields =
        data::parse_fields(&arguments, &mut *context.stdin(http)).map_err(CliError::usage)?;
    let look_up = match fields.text("lookup") {
        Some(text) => {
            parse_bool(&text).ok_or_else(|| authentication_error("lookup must be true or false"))?
        }
        None => true,
    };
    let token = match fields.text("token") {
        Some(token) => Secret::new(token),
        None if http.non_interactive => {
            return Err(authentication_error(
                "there is no token: pass it on standard input, with - as the argument",
            ));
        }
        None => context.prompt_secret("Token (not shown): ").map_err(|error| {
            authentication_error(format!(
                "the token can't be asked for: {error}\nPass it on standard input, with - as the \
                 argument."
            ))
        })?,
    };
    let token = Secret::from_text(token.expose_secret().trim());
    if token.expose_secret().is_empty() {
        return Err(authentication_error("the token is empty"));
    }
    Ok((token, look_up))
}

/// Looks a token up and returns the result in the form of a login response.
pub(super) async fn token_login_response(
    client: &Client,
    token: Secret<String>,
    look_up: bool,
) -> Result<SecretResponse, String> {
    let mut auth = SecretAuth {
        client_token: token,
        accessor: String::new(),
        policies: None,
        token_policies: None,
        identity_policies: None,
        metadata: None,
        orphan: false,
        entity_id: String::new(),
        lease_duration: 0,
        renewable: false,
        mfa_requirement: None,
    };
    if look_up {
        let client =
            client.with_token(Some(&auth.client_token)).map_err(|error| error.to_string())?;
        let known = client.look_up_token(TokenSelector::OwnToken).await;
        let known = known.map_err(|error| format!("error looking up token: {error}"))?;
        let own: Option<Vec<String>> = known.data_field("policies");
        let identity: Option<Vec<String>> = known.data_field("identity_policies");
        let all = [own.clone(), identity.clone()].into_iter().flatten().flatten().collect();
        auth.accessor = known.data_field("accessor").unwrap_or_default();
        auth.policies = Some(all);
        auth.token_policies = own;
        auth.identity_policies = identity;
        auth.metadata = known.data_field("meta");
        auth.lease_duration = known.data_field("ttl").unwrap_or_default();
        auth.renewable = known.data_field("renewable").unwrap_or_default();
    }
    Ok(SecretResponse { auth: Some(auth), ..SecretResponse::default() })
}
