//! [`LoginRecord`]: the data of a login that is stored with the lease of its token. It doesn't
//! contain the token.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strongroom_engine::{DataResponse, EngineAuth, IdentityAlias};
use strongroom_types::{MountUuid, PolicyName, RawObject, Ttl};

/// A login as stored in the token's lease. The field names are the storage format; `v` is its
/// version.
#[derive(Serialize, Deserialize)]
pub(crate) struct LoginRecord {
    v: u8,
    /// The UUID of the auth method's mount.
    pub(crate) mount: MountUuid,
    /// The path of the login below the mount.
    pub(crate) path: String,
    internal: Box<RawValue>,
    display_name: String,
    policies: Vec<PolicyName>,
    no_default_policy: bool,
    metadata: BTreeMap<String, String>,
    ttl: Ttl,
    max_ttl: Ttl,
    explicit_max_ttl: Ttl,
    period: Ttl,
    renewable: bool,
    num_uses: u32,
    bound_cidrs: Vec<String>,
    token_type: u32,
    alias: Option<AliasRecord>,
    group_aliases: Vec<AliasRecord>,
}

#[derive(Serialize, Deserialize)]
struct AliasRecord {
    name: String,
    metadata: BTreeMap<String, String>,
    local: bool,
}

impl LoginRecord {
    /// The record of a login: the auth block of the method, and the token's policies.
    pub(crate) fn new(
        mount: MountUuid,
        path: String,
        policies: &[PolicyName],
        auth: &EngineAuth,
    ) -> Self {
        let alias = |alias: &IdentityAlias| AliasRecord {
            name: alias.name.clone(),
            metadata: alias.metadata.clone(),
            local: alias.local,
        };
        Self {
            v: 1,
            mount,
            path,
            // A `RawObject` always contains valid JSON.
            internal: serde_json::from_slice(auth.internal.as_bytes())
                .unwrap_or_else(|_| RawValue::NULL.to_owned()),
            display_name: auth.display_name.clone(),
            policies: policies.to_vec(),
            no_default_policy: auth.no_default_policy,
            metadata: auth.metadata.clone(),
            ttl: auth.ttl,
            max_ttl: auth.max_ttl,
            explicit_max_ttl: auth.explicit_max_ttl,
            period: auth.period,
            renewable: auth.renewable,
            num_uses: auth.num_uses,
            bound_cidrs: auth.bound_cidrs.clone(),
            token_type: auth.token_type_number(),
            alias: auth.alias.as_ref().map(alias),
            group_aliases: auth.group_aliases.iter().map(alias).collect(),
        }
    }

    /// The record after a renewal with a new auth block. The token keeps its policies.
    pub(crate) fn after_renewal(self, auth: &EngineAuth) -> Self {
        Self::new(self.mount, self.path, &self.policies, auth)
    }

    /// The stored auth block, to be passed to the method at a renewal.
    pub(crate) fn to_auth(&self) -> EngineAuth {
        let alias = |alias: &AliasRecord| IdentityAlias {
            name: alias.name.clone(),
            metadata: alias.metadata.clone(),
            local: alias.local,
        };
        EngineAuth {
            data: DataResponse::new(RawObject::null()),
            internal: RawObject::from_own_json(self.internal.get().as_bytes().to_vec()),
            display_name: self.display_name.clone(),
            policies: self.policies.iter().map(ToString::to_string).collect(),
            no_default_policy: self.no_default_policy,
            metadata: self.metadata.clone(),
            ttl: self.ttl,
            max_ttl: self.max_ttl,
            explicit_max_ttl: self.explicit_max_ttl,
            period: self.period,
            renewable: self.renewable,
            num_uses: self.num_uses,
            bound_cidrs: self.bound_cidrs.clone(),
            token_type: EngineAuth::token_type_from_number(self.token_type).unwrap_or_default(),
            alias: self.alias.as_ref().map(alias),
            group_aliases: self.group_aliases.iter().map(alias).collect(),
        }
    }

    /// Serializes the record for the lease.
    pub(crate) fn to_json(&self) -> Result<Box<RawValue>, serde_json::Error> {
        serde_json::value::to_raw_value(self)
    }
}
