//! Conversion of logins ([`EngineAuth`]) to and from protocol messages.

use strongroom_engine::{DataResponse, EngineAuth, EngineError, IdentityAlias, LeaseContext};
use strongroom_plugin_protocol::generated::{logical, pb};
use strongroom_plugin_protocol::values::{json, time};
use strongroom_types::{RawObject, Timestamp};

use crate::primitives::{object_to_wire, ttl_from_nanos, ttl_to_nanos};

/// Converts a login in a response.
pub(crate) fn login_to_wire(auth: EngineAuth) -> pb::Auth {
    let options = pb::LeaseOptions {
        ttl: ttl_to_nanos(auth.ttl),
        renewable: auth.renewable,
        max_ttl: ttl_to_nanos(auth.max_ttl),
        ..pb::LeaseOptions::blank()
    };
    auth_to_wire(auth, options)
}

/// Converts a login in a renewal request, together with the token's lease.
pub(crate) fn renewal_to_wire(auth: &EngineAuth, lease: &LeaseContext) -> pb::Auth {
    let options = pb::LeaseOptions {
        ttl: ttl_to_nanos(lease.ttl),
        renewable: lease.renewable,
        increment: ttl_to_nanos(lease.increment),
        issue_time: Some(time::to_wire(Some(lease.issued))),
        max_ttl: ttl_to_nanos(lease.max_ttl),
    };
    // Auth methods compare these to detect whether the user's policies have changed.
    let token_policies = auth.policies.clone();
    pb::Auth { token_policies, ..auth_to_wire(auth.clone(), options) }
}

fn auth_to_wire(auth: EngineAuth, options: pb::LeaseOptions) -> pb::Auth {
    let token_type = auth.token_type_number();
    pb::Auth {
        lease_options: Some(options),
        internal_data: object_to_wire(auth.internal),
        display_name: auth.display_name,
        policies: auth.policies,
        metadata: auth.metadata,
        period: ttl_to_nanos(auth.period),
        num_uses: i64::from(auth.num_uses),
        alias: auth.alias.map(alias_to_wire),
        group_aliases: auth.group_aliases.into_iter().map(alias_to_wire).collect(),
        bound_cidrs: auth.bound_cidrs,
        explicit_max_ttl: ttl_to_nanos(auth.explicit_max_ttl),
        token_type,
        no_default_policy: auth.no_default_policy,
        ..pb::Auth::blank()
    }
}

/// Converts a message to a login, with the lifetimes it contains. Token and accessor in it are
/// ignored, since the core assigns them.
pub(crate) fn login_from_wire(
    message: pb::Auth,
    data: DataResponse,
) -> Result<(EngineAuth, LeaseContext), EngineError> {
    let broken = |what: &str| EngineError::internal(format!("the login has an invalid {what}"));
    let options = message.lease_options.unwrap_or_else(pb::LeaseOptions::blank);
    let internal = json::from_wire(message.internal_data).map_err(|_| broken("internal_data"))?;
    let internal = internal.unwrap_or_else(RawObject::empty);
    let issued = time::from_wire(options.issue_time.as_ref()).map_err(|_| broken("issue_time"))?;
    let token_type = EngineAuth::token_type_from_number(message.token_type)?;
    let auth = EngineAuth {
        data,
        internal: internal.clone(),
        display_name: message.display_name,
        policies: message.policies,
        no_default_policy: message.no_default_policy,
        metadata: message.metadata,
        ttl: ttl_from_nanos(options.ttl),
        max_ttl: ttl_from_nanos(options.max_ttl),
        explicit_max_ttl: ttl_from_nanos(message.explicit_max_ttl),
        period: ttl_from_nanos(message.period),
        renewable: options.renewable,
        num_uses: u32::try_from(message.num_uses).map_err(|_| broken("num_uses"))?,
        bound_cidrs: message.bound_cidrs,
        token_type,
        alias: message.alias.map(alias_from_wire),
        group_aliases: message.group_aliases.into_iter().map(alias_from_wire).collect(),
    };
    let lease = LeaseContext {
        internal,
        issued: issued.unwrap_or(Timestamp::EPOCH),
        ttl: auth.ttl,
        max_ttl: auth.max_ttl,
        renewable: auth.renewable,
        increment: ttl_from_nanos(options.increment),
    };
    Ok((auth, lease))
}

fn alias_to_wire(alias: IdentityAlias) -> logical::Alias {
    let IdentityAlias { name, metadata, local } = alias;
    logical::Alias { name, metadata, local, ..logical::Alias::default() }
}

fn alias_from_wire(alias: logical::Alias) -> IdentityAlias {
    IdentityAlias { name: alias.name, metadata: alias.metadata, local: alias.local }
}

#[cfg(test)]
mod tests {
    use strongroom_engine::EngineResponse;
    use strongroom_types::{TokenTypeSetting, Ttl};

    use super::*;
    use crate::convert::reply_from_wire;

    fn sample_login() -> EngineAuth {
        let alias =
            |name: &str| IdentityAlias { name: name.to_owned(), ..IdentityAlias::default() };
        EngineAuth {
            internal: RawObject::from_json("{\"user\":\"bob\"}").unwrap(),
            policies: vec!["a".to_owned(), "B ".to_owned()],
            no_default_policy: true,
            metadata: [("username".to_owned(), "bob".to_owned())].into(),
            ttl: Ttl::from_secs(60),
            max_ttl: Ttl::from_secs(600),
            explicit_max_ttl: Ttl::from_secs(900),
            period: Ttl::from_secs(30),
            renewable: true,
            num_uses: 3,
            bound_cidrs: vec!["10.0.0.0/8".to_owned()],
            token_type: Some(TokenTypeSetting::DefaultBatch),
            alias: Some(alias("bob")),
            group_aliases: vec![alias("staff")],
            ..EngineAuth::new("bob")
        }
    }

    fn describe_auth(auth: &EngineAuth) -> String {
        let EngineAuth { policies, metadata, period, bound_cidrs, alias, group_aliases, .. } = auth;
        format!(
            "{auth:?} {policies:?} {metadata:?} {period} {bound_cidrs:?} {alias:?} {group_aliases:?} \
             {} {} {} {} {} {:?}",
            auth.max_ttl,
            auth.explicit_max_ttl,
            auth.renewable,
            auth.num_uses,
            auth.no_default_policy,
            auth.internal.as_bytes(),
        )
    }

    #[test]
    fn logins_round_trip() {
        let wire = login_to_wire(sample_login());
        assert_eq!((wire.period, wire.token_type), (30_000_000_000, 4));
        let (back, _) = login_from_wire(wire, DataResponse::new(RawObject::null())).unwrap();
        assert_eq!(describe_auth(&back), describe_auth(&sample_login()));
    }

    #[test]
    fn renewals_carry_their_times_and_no_token() {
        let lease = LeaseContext {
            internal: RawObject::empty(),
            issued: Timestamp::from_secs(5),
            ttl: Ttl::from_secs(1),
            max_ttl: Ttl::from_secs(2),
            renewable: true,
            increment: Ttl::from_secs(3),
        };
        let wire = renewal_to_wire(&sample_login(), &lease);
        assert_eq!((wire.client_token.as_str(), wire.accessor.as_str()), ("", ""));
        assert_eq!(wire.token_policies, sample_login().policies);
        let (_, back) = login_from_wire(wire, DataResponse::new(RawObject::null())).unwrap();
        assert_eq!((back.issued, back.increment), (lease.issued, lease.increment));
        assert_eq!((back.ttl, back.max_ttl), (lease.ttl, lease.max_ttl));
    }

    #[test]
    fn sub_second_ttls_round_up() {
        let options = pb::LeaseOptions { ttl: 1, ..pb::LeaseOptions::blank() };
        let wire = pb::Auth { lease_options: Some(options), ..pb::Auth::blank() };
        let (auth, _) = login_from_wire(wire, DataResponse::new(RawObject::null())).unwrap();
        assert_eq!((auth.ttl, auth.max_ttl), (Ttl::from_secs(1), Ttl::ZERO));
    }

    #[test]
    fn invalid_token_attributes_are_refused() {
        for wire in [
            pb::Auth { token_type: 5, ..pb::Auth::blank() },
            pb::Auth { num_uses: -1, ..pb::Auth::blank() },
        ] {
            assert!(login_from_wire(wire, DataResponse::new(RawObject::null())).is_err());
        }
    }

    #[test]
    fn cve_2026_46405_a_login_beside_an_error_is_no_login() {
        let login = |data: &str| pb::Response {
            auth: Some(pb::Auth::blank()),
            data: data.to_owned(),
            ..pb::Response::blank()
        };
        assert!(matches!(reply_from_wire(Some(login("null")), None), Ok(EngineResponse::Auth(_))));
        let error = pb::ProtoError { err_msg: "no".to_owned(), ..pb::ProtoError::default() };
        assert!(reply_from_wire(Some(login("null")), Some(error)).is_err());
        let refused = reply_from_wire(Some(login(r#"{"error":"no"}"#)), None);
        assert!(matches!(refused, Err(EngineError::User { .. })));
        let raw = r#"{"http_status_code":403,"http_content_type":"text/plain"}"#;
        assert!(reply_from_wire(Some(login(raw)), None).is_err());
        let both = pb::Response { secret: Some(pb::Secret::blank()), ..login("null") };
        assert!(reply_from_wire(Some(both), None).is_err());
    }
}
