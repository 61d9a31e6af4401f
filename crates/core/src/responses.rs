//! Constructors of common responses.

use strongroom_types::{ErrorKind, Fields, RawObject};

use crate::error::Error;
use crate::request::{CoreResponse, ResponseEnvelope};

/// A response with `data` in the standard envelope.
pub fn data_response(object: RawObject) -> CoreResponse {
    data_response_with_warnings(object, Vec::new())
}

/// A response with `data` and warnings in the standard envelope.
pub fn data_response_with_warnings(object: RawObject, warnings: Vec<String>) -> CoreResponse {
    CoreResponse::Envelope(Box::new(ResponseEnvelope {
        data: Some(object),
        warnings,
        ..ResponseEnvelope::default()
    }))
}

/// An empty response (204), or an envelope if there are warnings.
pub fn empty_or_warnings_response(warnings: Vec<String>) -> CoreResponse {
    if warnings.is_empty() {
        return CoreResponse::Nothing;
    }
    CoreResponse::Envelope(Box::new(ResponseEnvelope { warnings, ..ResponseEnvelope::default() }))
}

/// A list response with `keys`; 404 if there are none.
pub fn keys_response(names: &[impl AsRef<str>]) -> Result<CoreResponse, Error> {
    if names.is_empty() {
        return Err(not_found());
    }
    let mut fields = Fields::new();
    fields.set("keys", &names.iter().map(AsRef::as_ref).collect::<Vec<&str>>());
    Ok(data_response(fields.to_object()))
}

/// The error 404 with an empty `errors` list.
pub fn not_found() -> Error {
    Error::without_message(ErrorKind::NotFound)
}
