//! Requests to RabbitMQ's management API, and the meaning of its responses.

use serde::Serialize;
use serde_json::Value;
use strongroom_sdk::http::{HttpRequest, HttpService, serialize_exposed};
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

/// Sets the password of a user that exists. This sets the tags as well, so they are read first: a
/// list, and a text before RabbitMQ 3.9.
pub(crate) async fn set_password(
    service: &HttpService<'_>,
    name: &str,
    password: &Secret<String>,
) -> Result<(), Error> {
    let user = service.get("/api/users/:user").path_value("user", name).send().await?;
    let tags: Value = user.read_json_field("tags")?;
    let request = service.put("/api/users/:user").path_value("user", name);
    request.json(&UserBody { password, tags }).send().await?;
    Ok(())
}
