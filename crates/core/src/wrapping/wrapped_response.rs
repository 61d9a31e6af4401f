//! [`WrappedResponse`]: a wrapped response as it is stored, and [`WrapMetadata`]: what a look-up
//! returns. They are two entries, so that a look-up doesn't read the secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strongroom_barrier::Batch;
use strongroom_engine::RawResponse;
use strongroom_token::TokenKey;
use strongroom_types::{RawObject, RequestId, Timestamp, Ttl};

use crate::cubbyhole_store::CubbyholeStore;
use crate::error::Error;
use crate::request::{CoreResponse, ResponseEnvelope};

const METADATA_KEY: &str = "info";
const RESPONSE_KEY: &str = "answer";

/// The origin of a wrapped response, as stored. The field names are the storage format; `v` is its
/// version.
#[derive(Serialize, Deserialize)]
pub struct WrapMetadata {
    v: u8,
    pub creation_path: String,
    pub creation_time: Timestamp,
    pub creation_ttl: Ttl,
}

impl WrapMetadata {
    pub(crate) fn new(creation_path: &str, creation_time: Timestamp, creation_ttl: Ttl) -> Self {
        Self { v: 1, creation_path: creation_path.to_owned(), creation_time, creation_ttl }
    }

    pub(crate) fn add_to_batch(&self, holes: &CubbyholeStore, batch: &mut Batch, owner: &TokenKey) {
        holes.wrapped_view(owner).put_json(batch, METADATA_KEY, self);
    }

    /// Reads the metadata; `None` if the token wraps nothing.
    pub(crate) async fn read(
        holes: &CubbyholeStore,
        owner: &TokenKey,
    ) -> Result<Option<Self>, Error> {
        let (view, mut found) = (holes.wrapped_view(owner), None);
        if let Some(entry) = view.get_uncached(METADATA_KEY).await? {
            found = Some(view.decode_json(METADATA_KEY, &entry.value)?);
        }
        Ok(found)
    }
}

/// A wrapped response as stored. The field names are the storage format.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WrappedResponse {
    Envelope(Box<WrappedEnvelopeRecord>),
    Raw(WrappedRawRecord),
}

/// The parts of the response envelope that are kept for the receiver.
#[derive(Serialize, Deserialize)]
pub(crate) struct WrappedEnvelopeRecord {
    v: u8,
    lease_id: String,
    renewable: bool,
    lease_duration: Ttl,
    data: Option<Box<RawValue>>,
    warnings: Vec<String>,
    auth: Option<Box<RawValue>>,
    mount_type: String,
}

/// An engine's raw HTTP response.
#[derive(Serialize, Deserialize)]
pub(crate) struct WrappedRawRecord {
    v: u8,
    status: u16,
    content_type: String,
    /// The response body in standard base64.
    body: String,
    headers: BTreeMap<String, String>,
}

impl WrappedResponse {
    pub(crate) fn from_envelope(envelope: ResponseEnvelope) -> Self {
        Self::Envelope(Box::new(WrappedEnvelopeRecord {
            v: 1,
            lease_id: envelope.lease_id,
            renewable: envelope.renewable,
            lease_duration: envelope.lease_duration,
            data: envelope.data.as_ref().map(raw_value),
            warnings: envelope.warnings,
            auth: envelope.auth.as_ref().map(raw_value),
            mount_type: envelope.mount_type,
        }))
    }

    pub(crate) fn from_raw(raw: RawResponse) -> Self {
        Self::Raw(WrappedRawRecord {
            v: 1,
            status: raw.status,
            content_type: raw.content_type,
            body: data_encoding::BASE64.encode(&raw.body),
            headers: raw.headers,
        })
    }

    pub(crate) fn add_to_batch(&self, holes: &CubbyholeStore, batch: &mut Batch, owner: &TokenKey) {
        holes.wrapped_view(owner).put_json(batch, RESPONSE_KEY, self);
    }

    /// Reads the wrapped response, bypassing the cache because it is needed once. `None` if there
    /// is none.
    pub(crate) async fn read(
        holes: &CubbyholeStore,
        owner: &TokenKey,
    ) -> Result<Option<Self>, Error> {
        let (view, mut found) = (holes.wrapped_view(owner), None);
        if let Some(entry) = view.get_uncached(RESPONSE_KEY).await? {
            found = Some(view.decode_json(RESPONSE_KEY, &entry.value)?);
        }
        Ok(found)
    }

    /// The original response. The request id is that of the unwrapping request.
    pub(crate) fn into_response(self) -> Result<CoreResponse, Error> {
        match self {
            Self::Envelope(kept) => Ok(CoreResponse::Envelope(Box::new(ResponseEnvelope {
                lease_id: kept.lease_id,
                renewable: kept.renewable,
                lease_duration: kept.lease_duration,
                data: kept.data.as_deref().map(raw_object),
                warnings: kept.warnings,
                auth: kept.auth.as_deref().map(raw_object),
                mount_type: kept.mount_type,
                ..ResponseEnvelope::default()
            }))),
            Self::Raw(kept) => {
                let body = data_encoding::BASE64.decode(kept.body.as_bytes());
                Ok(CoreResponse::Raw(RawResponse {
                    status: kept.status,
                    content_type: kept.content_type,
                    body: body.map_err(|error| {
                        Error::internal("the wrapped response can't be read").caused_by(error)
                    })?,
                    headers: kept.headers,
                }))
            }
        }
    }

    /// The response as one JSON string, for clients that read `cubbyhole/response`.
    pub(crate) fn to_json(&self, request_id: &RequestId) -> Result<String, Error> {
        #[derive(Default, Serialize)]
        struct ResponseJson<'a> {
            request_id: &'a str,
            lease_id: &'a str,
            renewable: bool,
            lease_duration: u64,
            data: Option<&'a RawValue>,
            wrap_info: Option<()>,
            warnings: Option<&'a [String]>,
            auth: Option<&'a RawValue>,
        }
        #[derive(Serialize)]
        struct RawResponseJson<'a> {
            http_content_type: &'a str,
            http_raw_body: &'a str,
            http_status_code: u16,
        }
        let unwritable = Error::unencodable;
        let whole;
        let text = match self {
            Self::Envelope(kept) => ResponseJson {
                request_id: request_id.as_str(),
                lease_id: &kept.lease_id,
                renewable: kept.renewable,
                lease_duration: kept.lease_duration.as_secs(),
                data: kept.data.as_deref(),
                wrap_info: None,
                warnings: (!kept.warnings.is_empty()).then_some(&kept.warnings),
                auth: kept.auth.as_deref(),
            },
            Self::Raw(kept) => {
                let shown = RawResponseJson {
                    http_content_type: &kept.content_type,
                    http_raw_body: &kept.body,
                    http_status_code: kept.status,
                };
                whole = serde_json::value::to_raw_value(&shown).map_err(unwritable)?;
                let request_id = request_id.as_str();
                ResponseJson { request_id, data: Some(&*whole), ..ResponseJson::default() }
            }
        };
        serde_json::to_string(&text).map_err(unwritable)
    }
}

fn raw_value(object: &RawObject) -> Box<RawValue> {
    // A `RawObject` always contains valid JSON.
    serde_json::from_slice(object.as_bytes()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn raw_object(raw: &RawValue) -> RawObject {
    RawObject::from_own_json(raw.get().as_bytes().to_vec())
}
