//! [`TestLease`]: what the test server stores about a credential.

use strongroom_engine::{LeaseContext, LeasedResponse, LifetimeLimits, MountLifetimes};
use strongroom_types::{Fields, RawObject, Timestamp, Ttl};

/// A lease of the test server.
#[derive(Clone, Debug)]
pub struct TestLease {
    /// The lease id, for [`TestHost::renew`](super::TestHost::renew) and
    /// [`TestHost::revoke`](super::TestHost::revoke).
    pub id: String,
    /// The path below the mount that issued the credential.
    pub path: String,
    /// The lifetime since the credential was issued or last renewed.
    pub ttl: Ttl,
    /// The maximum lifetime that the engine set; zero for none.
    pub max_ttl: Ttl,
    /// Whether the engine declared the credential renewable.
    pub renewable: bool,
    /// When the credential was issued.
    pub issued: Timestamp,
    /// When the lease expires, unless it is renewed or revoked before.
    pub expires: Timestamp,
    /// Whether the server stores the lease under the seal as well.
    pub seal_wrap: bool,
    /// The engine's warnings at the last renewal.
    pub renewal_warnings: Vec<String>,
    pub(crate) internal: RawObject,
    pub(crate) data: Option<RawObject>,
}

impl TestLease {
    /// Everything the server stores for the engine, as JSON: the receipt and a few fields of the
    /// SDK's own.
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
        let limits = LifetimeLimits { max: leased.max_ttl, ..LifetimeLimits::of_mount(mount) };
        let granted = limits.grant(Ttl::ZERO, leased.ttl, now, now);
        let (ttl, expires) = granted.map_or((Ttl::ZERO, now), |it| (it.ttl, it.expires));
        Self {
            id,
            path: path.to_owned(),
            ttl,
            max_ttl: leased.max_ttl,
            renewable: leased.renewable,
            issued: now,
            expires,
            seal_wrap: leased.seal_wrap,
            renewal_warnings: Vec::new(),
            internal: leased.internal.clone(),
            data: leased.keep_data.then(|| leased.data.object.clone()),
        }
    }

    /// The lifetime after a renewal; `None` if the maximum has been reached.
    pub(super) fn after_renewal(
        &self,
        asked: Ttl,
        usual: Ttl,
        mount: MountLifetimes,
        now: Timestamp,
    ) -> Option<Self> {
        let limits = LifetimeLimits { max: self.max_ttl, ..LifetimeLimits::of_mount(mount) };
        let granted = limits.grant(asked, usual, self.issued, now)?;
        Some(Self { ttl: granted.ttl, expires: granted.expires, ..self.clone() })
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

    /// The fields of the request that revokes or renews it.
    pub(super) fn request_fields(&self) -> Fields {
        self.data.as_ref().map(RawObject::fields).unwrap_or_default()
    }
}
