//! What a server keeps of a credential.

use strongroom_types::{Fields, RawObject, Timestamp, Ttl};

use crate::engine::{LeaseContext, LeasedResponse, MountLifetimes};

/// A lease.
#[derive(Clone, Debug)]
pub struct TestLease {
    /// Its id.
    pub id: String,
    /// The path below the mount at which it was issued.
    pub path: String,
    /// Its lifetime, from its issue or last renewal.
    pub ttl: Ttl,
    /// The longest lifetime the engine gave it; zero for none.
    pub max_ttl: Ttl,
    /// Whether the engine said it can be renewed.
    pub renewable: bool,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    pub(crate) internal: RawObject,
    pub(crate) data: Option<RawObject>,
}

impl TestLease {
    /// All that the server keeps for the engine, as JSON: the receipt and a few names of the SDK's.
    pub fn stored_data(&self) -> String {
        let data = self.data.as_ref().map(RawObject::as_bytes).unwrap_or_default();
        String::from_utf8_lossy(&[self.internal.as_bytes(), data].concat()).into_owned()
    }

    pub(super) fn new(
        id: String,
        path: &str,
        leased: &LeasedResponse,
        mount: MountLifetimes,
        now: Timestamp,
    ) -> Self {
        let longest = mount.max.capped_by(leased.max_ttl);
        let ttl = leased.ttl.nonzero_or(mount.default).min(longest);
        Self {
            id,
            path: path.to_owned(),
            ttl,
            max_ttl: leased.max_ttl,
            renewable: leased.renewable,
            issued: now,
            expires: now.plus(ttl.as_duration()),
            internal: leased.internal.clone(),
            data: leased.keep_data.then(|| leased.data.object.clone()),
        }
    }

    /// What would be left of it after a renewal; none when its time is over.
    pub(super) fn after_renewal(
        &self,
        asked: Ttl,
        usual: Ttl,
        mount: MountLifetimes,
        now: Timestamp,
    ) -> Option<Self> {
        let end = self.issued.plus(mount.max.capped_by(self.max_ttl).as_duration());
        let left = Ttl::from_duration(end.since(now));
        let ttl = asked.nonzero_or(usual).nonzero_or(mount.default).min(left);
        let expires = now.plus(ttl.as_duration());
        (!left.is_zero()).then(|| Self { ttl, expires, ..self.clone() })
    }

    pub(super) fn to_context(&self, increment: Ttl) -> LeaseContext {
        LeaseContext {
            internal: self.internal.clone(),
            issued: self.issued,
            ttl: self.ttl,
            max_ttl: self.max_ttl,
            renewable: self.renewable,
            increment,
        }
    }

    /// The fields of the request by which it is given back.
    pub(super) fn request_fields(&self) -> Fields {
        self.data.as_ref().map(RawObject::fields).unwrap_or_default()
    }
}
