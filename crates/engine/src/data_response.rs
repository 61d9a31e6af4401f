//! [`DataResponse`]: data for the client, in the response of a request or of a login.

use std::collections::BTreeMap;

use strongroom_types::{RawObject, Ttl};

/// Data for the client and what accompanies it in the response.
#[derive(Clone, Debug)]
pub struct DataResponse {
    /// The `data` object of the response.
    pub object: RawObject,
    /// Warnings for the client. On a write without data, a warning turns the 204 into a 200.
    pub warnings: Vec<String>,
    /// How long the reader may use the data before reading it again; shown as `lease_duration` of a
    /// secret without a lease.
    pub refresh: Option<Ttl>,
    /// Response headers; only those that the mount allows are passed on.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The lifetime of the wrapping token, if the engine requires that the response is wrapped. If the
    /// client asks for wrapping too, the shorter lifetime counts.
    pub wrap_ttl: Option<Ttl>,
}

impl DataResponse {
    /// Data without warnings, headers or a refresh interval, which needn't be wrapped.
    pub fn new(object: RawObject) -> Self {
        Self {
            object,
            warnings: Vec::new(),
            refresh: None,
            headers: BTreeMap::new(),
            wrap_ttl: None,
        }
    }
}
