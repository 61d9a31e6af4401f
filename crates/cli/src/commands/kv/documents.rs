//! The JSON that the commands send and receive.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use strongroom_client::SecretResponse;
use strongroom_types::Fields;

use crate::error::{CliError, CliResult};

/// The request body that writes a version: the data, and for `-cas` the version it may replace.
pub(super) fn version_body(data: &Fields, cas: Option<u64>) -> Fields {
    #[derive(Serialize)]
    struct KvWriteOptions {
        #[serde(skip_serializing_if = "Option::is_none")]
        cas: Option<u64>,
    }
    let mut body = Fields::new();
    body.set_raw("data", to_raw_json(data));
    body.set("options", &KvWriteOptions { cas });
    body
}

/// The fields as one JSON object.
fn to_raw_json(fields: &Fields) -> Box<RawValue> {
    let json: Result<Box<RawValue>, _> = serde_json::from_slice(fields.to_object().as_bytes());
    json.or_else(|_| to_raw_value("")).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// An object in the response data, such as `metadata`.
pub(super) fn data_object(answer: &SecretResponse, name: &str) -> Option<Fields> {
    let raw = answer.data.as_ref()?.get(name)?;
    if raw.get() == "null" {
        return None;
    }
    Fields::from_trusted(raw.get().as_bytes()).ok()
}

/// The version number in the metadata of the response to reading `path`.
pub(super) fn current_version(path: &str, response: &SecretResponse) -> CliResult<u64> {
    let metadata = data_object(response, "metadata");
    let number = metadata.and_then(|metadata| metadata.get("version")?.get().parse().ok());
    number.ok_or_else(|| CliError::remote(format!("the response has no version of {path}")))
}
