//! [`Kept`]: a wrapped answer as it is stored, and [`Info`]: what a look-up tells of it. They are
//! two entries, so that a look-up never reads a secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strongroom_barrier::Batch;
use strongroom_sdk::engine::Raw;
use strongroom_token::TokenKey;
use strongroom_types::{RawObject, RequestId, Timestamp, Ttl};

use crate::cubbyhole::Cubbyholes;
use crate::error::Error;
use crate::request::{Answer, Envelope};

const INFO: &str = "info";
const ANSWER: &str = "answer";

/// Where a wrapped answer came from, as stored. The field names are the format; `v` is its version.
#[derive(Serialize, Deserialize)]
pub(crate) struct Info {
    v: u8,
    pub(crate) creation_path: String,
    pub(crate) creation_time: Timestamp,
    pub(crate) creation_ttl: Ttl,
}

impl Info {
    pub(crate) fn new(creation_path: &str, creation_time: Timestamp, creation_ttl: Ttl) -> Self {
        Self { v: 1, creation_path: creation_path.to_owned(), creation_time, creation_ttl }
    }

    pub(crate) fn put(&self, holes: &Cubbyholes, batch: &mut Batch, owner: &TokenKey) {
        holes.wrapped(owner).put_json(batch, INFO, self);
    }

    /// None if the token wraps nothing.
    pub(crate) async fn read(holes: &Cubbyholes, owner: &TokenKey) -> Result<Option<Self>, Error> {
        let (view, mut found) = (holes.wrapped(owner), None);
        if let Some(entry) = view.get_uncached(INFO).await? {
            found = Some(view.decode(INFO, &entry.value)?);
        }
        Ok(found)
    }
}

/// A wrapped answer as stored. The field names are the format.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kept {
    Envelope(Box<KeptEnvelope>),
    Raw(KeptRaw),
}

/// The envelope, all of it that its receiver is to get.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptEnvelope {
    v: u8,
    lease_id: String,
    renewable: bool,
    lease_duration: Ttl,
    data: Option<Box<RawValue>>,
    warnings: Vec<String>,
    auth: Option<Box<RawValue>>,
    mount_type: String,
}

/// An engine's own HTTP answer.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptRaw {
    v: u8,
    status: u16,
    content_type: String,
    /// In base64.
    body: String,
    headers: BTreeMap<String, String>,
}

impl Kept {
    pub(crate) fn envelope(envelope: Envelope) -> Self {
        Self::Envelope(Box::new(KeptEnvelope {
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

    pub(crate) fn raw(raw: Raw) -> Self {
        Self::Raw(KeptRaw {
            v: 1,
            status: raw.status,
            content_type: raw.content_type,
            body: data_encoding::BASE64.encode(&raw.body),
            headers: raw.headers,
        })
    }

    pub(crate) fn put(&self, holes: &Cubbyholes, batch: &mut Batch, owner: &TokenKey) {
        holes.wrapped(owner).put_json(batch, ANSWER, self);
    }

    /// Read past the cache: it is wanted once.
    pub(crate) async fn read(holes: &Cubbyholes, owner: &TokenKey) -> Result<Option<Self>, Error> {
        let (view, mut found) = (holes.wrapped(owner), None);
        if let Some(entry) = view.get_uncached(ANSWER).await? {
            found = Some(view.decode(ANSWER, &entry.value)?);
        }
        Ok(found)
    }

    /// The answer as it was, but for the id of the request.
    pub(crate) fn into_answer(self) -> Result<Answer, Error> {
        match self {
            Self::Envelope(kept) => Ok(Answer::Envelope(Box::new(Envelope {
                lease_id: kept.lease_id,
                renewable: kept.renewable,
                lease_duration: kept.lease_duration,
                data: kept.data.as_deref().map(object),
                warnings: kept.warnings,
                auth: kept.auth.as_deref().map(object),
                mount_type: kept.mount_type,
                ..Envelope::default()
            }))),
            Self::Raw(kept) => {
                let body = data_encoding::BASE64.decode(kept.body.as_bytes());
                Ok(Answer::Raw(Raw {
                    status: kept.status,
                    content_type: kept.content_type,
                    body: body.map_err(|_| Error::internal("the wrapped answer can't be read"))?,
                    headers: kept.headers,
                }))
            }
        }
    }

    /// The answer as one JSON text, for clients that read it out of their cubbyhole.
    pub(crate) fn to_json(&self, request_id: &RequestId) -> Result<String, Error> {
        #[derive(Default, Serialize)]
        struct Text<'a> {
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
        struct Whole<'a> {
            http_content_type: &'a str,
            http_raw_body: &'a str,
            http_status_code: u16,
        }
        let unwritable = |_| Error::internal("the wrapped answer can't be written");
        let whole;
        let text = match self {
            Self::Envelope(kept) => Text {
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
                let shown = Whole {
                    http_content_type: &kept.content_type,
                    http_raw_body: &kept.body,
                    http_status_code: kept.status,
                };
                whole = serde_json::value::to_raw_value(&shown).map_err(unwritable)?;
                let request_id = request_id.as_str();
                Text { request_id, data: Some(&*whole), ..Text::default() }
            }
        };
        serde_json::to_string(&text).map_err(unwritable)
    }
}

fn raw_value(object: &RawObject) -> Box<RawValue> {
    // What came through `RawObject` is JSON.
    serde_json::from_slice(object.as_bytes()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn object(raw: &RawValue) -> RawObject {
    RawObject::from_own_json(raw.get().as_bytes().to_vec())
}
