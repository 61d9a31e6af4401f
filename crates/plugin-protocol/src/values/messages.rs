//! Messages that are valid on the wire though nothing is in them. The defaults of these types are
//! not: Go peers refuse an empty JSON field and an absent time. Build every one of them as
//! `pb::Response { warnings, ..pb::Response::blank() }`.

use super::{json, time};
use crate::generated::pb;

impl pb::Request {
    /// No operation, no data.
    pub fn blank() -> Self {
        Self { data: json::EMPTY.to_owned(), ..Self::default() }
    }
}

impl pb::Response {
    /// An empty object. That is not the same as no response at all.
    pub fn blank() -> Self {
        Self { data: json::EMPTY.to_owned(), ..Self::default() }
    }
}

impl pb::LeaseOptions {
    /// The mount's defaults, not issued yet.
    pub fn blank() -> Self {
        Self { issue_time: Some(time::UNSET), ..Self::default() }
    }
}

impl pb::Secret {
    /// A lease with the mount's defaults and nothing kept for its revocation.
    pub fn blank() -> Self {
        Self {
            lease_options: Some(pb::LeaseOptions::blank()),
            internal_data: json::EMPTY.to_owned(),
            ..Self::default()
        }
    }
}

impl pb::Auth {
    /// A login with the mount's defaults, without a policy.
    pub fn blank() -> Self {
        Self {
            lease_options: Some(pb::LeaseOptions::blank()),
            internal_data: json::EMPTY.to_owned(),
            ..Self::default()
        }
    }
}

impl pb::ResponseWrapInfo {
    /// Nothing wrapped.
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
