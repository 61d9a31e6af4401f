//! [`TokenFields`]: what a user or a role of an auth method says about the tokens of its logins.

use std::net::IpAddr;

use serde_json::value::RawValue;
use strongroom_engine::TokenTypeSetting;
use strongroom_schema::field::{Field, FieldKind, InvalidValue};
use strongroom_types::fields::write_string;

use crate::{CidrList, DurationSecs, FieldGroup, PolicyNames};

/// The token fields that all auth methods have in common; a document embeds them with
/// `#[field(embed)]`. Names and meaning are those of Vault and OpenBao.
#[derive(Clone, Debug, Default, FieldGroup)]
#[document(validate = validate_token_fields)]
pub struct TokenFields {
    /// Policies of the token. The policy "default" is added unless token_no_default_policy is set.
    pub token_policies: PolicyNames,
    /// Lifetime of the token until it is renewed; 0 for the mount's default.
    pub token_ttl: DurationSecs,
    /// Lifetime beyond which the token can't be renewed; 0 for the mount's maximum.
    pub token_max_ttl: DurationSecs,
    /// Maximum lifetime of the token that also applies to periodic tokens; 0 for none.
    pub token_explicit_max_ttl: DurationSecs,
    /// Makes the token periodic: each renewal sets its lifetime to this period; 0 for not periodic.
    pub token_period: DurationSecs,
    /// How many requests the token may make; 0 for unlimited.
    pub token_num_uses: u32,
    /// Addresses or networks (CIDR) from which clients may log in and use the token; empty for any.
    pub token_bound_cidrs: CidrList,
    /// Type of the token: service, batch, default-service or default-batch. "default" leaves it to
    /// the mount.
    pub token_type: LoginTokenType,
    /// Leaves out the policy "default".
    pub token_no_default_policy: bool,
    /// Binds the token to the address from which the client logs in.
    pub token_strictly_bind_ip: bool,
}

/// Checks the fields together, with the texts of Vault.
fn validate_token_fields(fields: &TokenFields) -> Result<(), String> {
    let (ttl, max_ttl) = (fields.token_ttl.0, fields.token_max_ttl.0);
    if !max_ttl.is_zero() && ttl > max_ttl {
        return Err("'token_ttl' cannot be greater than 'token_max_ttl'".to_owned());
    }
    let is_batch = matches!(
        fields.token_type.0,
        Some(TokenTypeSetting::Batch | TokenTypeSetting::DefaultBatch)
    );
    let batch = "'token_type' cannot be 'batch' or 'default_batch' when set to generate";
    if is_batch && !fields.token_period.0.is_zero() {
        return Err(format!("{batch} periodic tokens"));
    }
    if is_batch && fields.token_num_uses > 0 {
        return Err(format!("{batch} tokens with limited use count"));
    }
    Ok(())
}

/// The value of `token_type`; `None`, written `default`, leaves the type to the mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginTokenType(pub Option<TokenTypeSetting>);

impl Field for LoginTokenType {
    const KIND: FieldKind = FieldKind::String;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        let text = String::read(raw)?;
        if matches!(text.as_str(), "" | "default") {
            return Ok(Self(None));
        }
        let bad = InvalidValue("service, batch, default-service, default-batch or default");
        TokenTypeSetting::parse(&text).map(|setting| Self(Some(setting))).ok_or(bad)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_string(out, self.0.map_or("default", TokenTypeSetting::as_str));
        true
    }
}

/// The terms of a token: those of [`TokenFields`], which an auth method may change before it accepts
/// a login.
#[derive(Clone, Debug)]
pub struct TokenTerms(pub(crate) TokenFields);

impl From<&TokenFields> for TokenTerms {
    fn from(fields: &TokenFields) -> Self {
        Self(fields.clone())
    }
}

impl TokenTerms {
    /// Adds policies, for example those of the user's groups.
    #[must_use]
    pub fn with_policies(mut self, more: &PolicyNames) -> Self {
        self.0.token_policies = self.0.token_policies.with(more);
        self
    }

    /// Restricts the addresses from which the client may log in and use the token, for example to
    /// those of the secret that it presents; an empty list restricts nothing. Nothing permits an
    /// address that the terms don't permit already: the result is `None` if the terms don't permit
    /// every address of the list, because they were restricted after the list was set. The login has
    /// to be refused then.
    #[must_use]
    pub fn restricted_to(mut self, networks: &CidrList) -> Option<Self> {
        if networks.0.is_empty() {
            return Some(self);
        }
        if !self.0.token_bound_cidrs.covers(networks) {
            return None;
        }
        self.0.token_bound_cidrs = networks.clone();
        Some(self)
    }

    /// Whether a client may log in from this address, as far as the terms say it. The SDK checks
    /// that itself; a method asks before it uses up something of the client's.
    pub fn permits_login_from(&self, address: Option<IpAddr>) -> bool {
        self.bound_cidrs(address).is_some()
    }

    /// The networks from which the token may be used, for a login from this address; `None` if the
    /// client may not log in from it.
    pub(crate) fn bound_cidrs(&self, address: Option<IpAddr>) -> Option<Vec<String>> {
        let bound = &self.0.token_bound_cidrs;
        if !bound.0.is_empty() && !address.is_some_and(|address| bound.permits(address)) {
            return None;
        }
        if self.0.token_strictly_bind_ip {
            return address.map(|address| vec![address.to_canonical().to_string()]);
        }
        Some(bound.0.iter().map(ToString::to_string).collect())
    }
}
