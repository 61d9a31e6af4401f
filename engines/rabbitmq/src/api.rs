//! Requests to RabbitMQ's management API, and the meaning of its responses.

use serde::Serialize;
use strongroom_sdk::http::{HttpRequest, serialize_exposed};
use strongroom_sdk::{Error, Secret};

/// The body that creates a user, or changes its password.
#[derive(Serialize)]
pub(crate) struct UserBody<'a, T> {
    #[serde(serialize_with = "serialize_exposed")]
    pub(crate) password: &'a Secret<String>,
    pub(crate) tags: T,
}

/// Sends one part of a user's definition. RabbitMQ answers 400 if the role must be corrected.
pub(crate) async fn send_part(request: HttpRequest<'_>, part: &str) -> Result<(), Error> {
    match request.handle_statuses(&[400]).send().await?.status() {
        400 => Err(Error::user(format!(
            "RabbitMQ rejects the {part} of the role: check that the virtual host exists and that \
             the patterns are valid"
        ))),
        _ => Ok(()),
    }
}

/// Sends a request about a user, and returns whether there is one. Only RabbitMQ's own text proves
/// that there is none: a proxy may send a 404 as well.
pub(crate) async fn finds_user(request: HttpRequest<'_>) -> Result<bool, Error> {
    let response = request.handle_statuses(&[404]).send().await?;
    match response.status() {
        404 if response.contains_text("Object Not Found") => Ok(false),
        404 => Err(response.unexpected_status().into()),
        _ => Ok(true),
    }
}
