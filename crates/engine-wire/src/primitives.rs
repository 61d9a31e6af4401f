//! Conversion of JSON objects and lifetimes, which every message contains.

use strongroom_plugin_protocol::values::{json, time};
use strongroom_types::{RawObject, Ttl};

pub(crate) fn object_to_wire(object: RawObject) -> String {
    // A `RawObject` is JSON, so it is valid UTF-8.
    json::to_wire(object).unwrap_or_else(|_| json::EMPTY.to_owned())
}

pub(crate) fn ttl_to_nanos(ttl: Ttl) -> i64 {
    time::duration_to_wire(ttl.as_duration())
}

/// A negative lifetime counts as not set, and a fraction of a second is rounded up.
pub(crate) fn ttl_from_nanos(nanos: i64) -> Ttl {
    Ttl::rounded_up(time::duration_from_wire(nanos))
}
