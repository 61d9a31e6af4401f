//! Empty messages that are valid on the wire. The `Default` values of these types are not, because
//! Go peers refuse an empty JSON field and an absent time. Build each message as `pb::Response {
//! warnings, ..pb::Response::blank() }`.

use super::{json, time};
use crate::generated::pb;

impl pb::Request {
    /// A request without an operation and with an empty JSON object as its data.
    pub fn blank() -> Self {
        Self { data: json::EMPTY.to_owned(), ..Self::default() }
    }
}

impl pb::Response {
    /// A response with an empty JSON object. This is not the same as no response at all.
    pub fn blank() -> Self {
        Self { data: json::EMPTY.to_owned(), ..Self::default() }
    }
}

impl pb::LeaseOptions {
    /// Lease options that leave everything to the mount's defaults, with an unset issue time.
    pub fn blank() -> Self {
        Self { issue_time: Some(time::UNSET), ..Self::default() }
    }
}

impl pb::Secret {
    /// A lease with the mount's defaults and without internal data for its revocation.
    pub fn blank() -> Self {
        Self {
            lease_options: Some(pb::LeaseOptions::blank()),
            internal_data: json::EMPTY.to_owned(),
            ..Self::default()
        }
    }
}

impl pb::Auth {
    /// A login with the mount's defaults and without policies.
    pub fn blank() -> Self {
        Self {
            lease_options: Some(pb::LeaseOptions::blank()),
            internal_data: json::EMPTY.to_owned(),
            ..Self::default()
        }
    }
}

impl pb::ResponseWrapInfo {
    /// Wrapping information without a token, with an unset creation time.
    pub fn blank() -> Self {
        Self { creation_time: Some(time::UNSET), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_messages_are_valid() {
        let (secret, auth) = (pb::Secret::blank(), pb::Auth::blank());
        for field in [
            &pb::Request::blank().data,
            &pb::Response::blank().data,
            &secret.internal_data,
            &auth.internal_data,
        ] {
            assert_eq!(field, "{}");
        }
        for options in [secret.lease_options, auth.lease_options, Some(pb::LeaseOptions::blank())] {
            assert_eq!(options.unwrap().issue_time, Some(time::UNSET));
        }
        assert_eq!(pb::ResponseWrapInfo::blank().creation_time, Some(time::UNSET));
    }
}
