//! Runs a [`Login`] behind its path: reads the input, and converts between the SDK's types and those
//! of the host.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_engine::{
    DataResponse, EngineAuth, EngineError, EngineRequest, EngineResponse, IdentityAlias,
};
use strongroom_schema::field::{FieldSpec, InvalidInput};
use strongroom_types::{Fields, RawObject};

use crate::action::{Input, checked_wrap_ttl, read_input};
use crate::login::{
    Identity, Login, LoginFailure, LoginGrant, LoginRenewal, LoginRequest, VerifiedName,
};
use crate::token_fields::TokenTerms;
use crate::{Context, Error, PolicyNames};

/// A login with its types erased.
#[async_trait]
pub(crate) trait ErasedLogin: Send + Sync {
    fn fields(&self) -> &'static [FieldSpec];
    fn check_defaults(&self) -> Result<(), InvalidInput>;
    async fn log_in(
        &self,
        context: &Context,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError>;
    async fn renew(
        &self,
        context: &Context,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError>;
    /// The response to [`Operation::AliasLookahead`](strongroom_engine::Operation).
    fn look_up_alias(&self, fields: &Fields) -> Result<EngineResponse, EngineError>;
    /// The response to [`Operation::ResolveRole`](strongroom_engine::Operation).
    async fn resolve_role(
        &self,
        context: &Context,
        fields: &Fields,
    ) -> Result<EngineResponse, EngineError>;
}

pub(crate) struct LoginHandler<L>(L);

impl<L> LoginHandler<L> {
    pub(crate) fn new(login: L) -> Arc<Self> {
        Arc::new(Self(login))
    }
}

#[async_trait]
impl<L: Login> ErasedLogin for LoginHandler<L> {
    fn fields(&self) -> &'static [FieldSpec] {
        L::Input::FIELDS
    }

    fn check_defaults(&self) -> Result<(), InvalidInput> {
        L::Input::check_defaults()
    }

    async fn log_in(
        &self,
        context: &Context,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError> {
        let input = read_input::<L::Input>(&request.fields)?;
        self.0.check_input(&input)?;
        let login = LoginRequest { context };
        let grant = match self.0.authenticate(&login, input).await {
            Ok(grant) => grant,
            Err(error) => {
                return Err(match error.into_failure() {
                    LoginFailure::Refused => refused::<L>(),
                    LoginFailure::Failed(error) => undecided_error(error),
                    LoginFailure::Missing(field) => EngineError::user(format!("missing {field}")),
                });
            }
        };
        if let Some(ttl) = grant.wrap_ttl {
            checked_wrap_ttl(ttl)?;
        }
        let Some(bound_cidrs) = grant.terms.bound_cidrs(login.address()) else {
            // Another error would tell a client outside the networks that the proof is right.
            tracing::info!("a login was refused because of the client's address");
            return Err(refused::<L>());
        };
        Ok(EngineResponse::Auth(Box::new(granted_auth(grant, bound_cidrs))))
    }

    async fn renew(
        &self,
        context: &Context,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError> {
        let Some(before) = &request.auth else {
            return Err(EngineError::internal("the host renews a login without sending it"));
        };
        let alias = before.alias.as_ref().map(|alias| alias.name.clone()).unwrap_or_default();
        let renewal = LoginRenewal { context, alias, metadata: &before.metadata };
        let TokenTerms(terms) = self.0.renew(&renewal).await?;
        if !has_policies(&terms.token_policies, &before.policies) {
            // Existing servers answer this with 500 too.
            return Err(EngineError::internal("policies have changed, not renewing"));
        }
        Ok(EngineResponse::Auth(Box::new(EngineAuth {
            ttl: terms.token_ttl.0,
            max_ttl: terms.token_max_ttl.0,
            // The host never raises it.
            explicit_max_ttl: terms.token_explicit_max_ttl.0,
            period: terms.token_period.0,
            ..(**before).clone()
        })))
    }

    fn look_up_alias(&self, fields: &Fields) -> Result<EngineResponse, EngineError> {
        let input = read_input::<L::Input>(fields)?;
        let Some(name) = self.0.alias(&input).filter(|name| !name.is_empty()) else {
            return Ok(EngineResponse::Nothing);
        };
        let alias = IdentityAlias { name, ..IdentityAlias::default() };
        Ok(EngineResponse::Auth(Box::new(EngineAuth {
            alias: Some(alias),
            ..EngineAuth::new(String::new())
        })))
    }

    async fn resolve_role(
        &self,
        context: &Context,
        fields: &Fields,
    ) -> Result<EngineResponse, EngineError> {
        let input = read_input::<L::Input>(fields)?;
        let role = self.0.resolve_role(context, &input).await?;
        let mut data = Fields::new();
        data.set("role", &role.unwrap_or_default());
        Ok(data.to_object().into())
    }
}

fn refused<L: Login>() -> EngineError {
    EngineError::InvalidCredentials { message: L::REFUSED.to_owned() }
}

/// The error for a login that could not be decided. Texts of internal errors could tell the client
/// what exists, so they are in the log only.
fn undecided_error(error: Error) -> EngineError {
    match error.clone().into() {
        EngineError::Internal { .. } => EngineError::Internal {
            message: "the login could not be decided; see the server's log".to_owned(),
            source: Some(Arc::new(error)),
        },
        other => other,
    }
}

/// Whether the policies of the source are still those of the token, of which some hosts also list
/// `default`.
fn has_policies(source: &PolicyNames, token: &[String]) -> bool {
    let is_own = |name: &&str| *name != "default";
    let of_token = token.iter().map(String::as_str).filter(is_own).collect::<BTreeSet<_>>();
    of_token == source.iter().filter(is_own).collect()
}

fn granted_auth(grant: LoginGrant, bound_cidrs: Vec<String>) -> EngineAuth {
    let LoginGrant { identity, terms: TokenTerms(terms), warnings, wrap_ttl, headers } = grant;
    let Identity { alias, display_name, metadata, groups } = identity;
    let to_alias = |name: &VerifiedName| IdentityAlias {
        name: name.as_str().to_owned(),
        ..IdentityAlias::default()
    };
    EngineAuth {
        data: DataResponse { warnings, wrap_ttl, headers, ..DataResponse::new(RawObject::null()) },
        internal: RawObject::empty(),
        display_name,
        policies: terms.token_policies.to_strings(),
        no_default_policy: terms.token_no_default_policy,
        metadata,
        ttl: terms.token_ttl.0,
        max_ttl: terms.token_max_ttl.0,
        explicit_max_ttl: terms.token_explicit_max_ttl.0,
        period: terms.token_period.0,
        renewable: true,
        num_uses: terms.token_num_uses,
        bound_cidrs,
        token_type: terms.token_type.0,
        alias: Some(to_alias(&alias)),
        group_aliases: groups.iter().map(to_alias).collect(),
    }
}
