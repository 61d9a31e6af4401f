//! [`RoleFollower`]: lets the account of a static role follow the writes and deletes of the role.

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_engine::{DataResponse, EngineError, EngineRequest, EngineResponse, Operation};
use strongroom_schema::field::FieldSpec;
use strongroom_types::RawObject;

use super::StaticCredential;
use super::responses::ImportFields;
use super::rotator::Rotator;
use crate::action::{Input, read_input};
use crate::followed_document::DocumentFollower;
use crate::stored_document::{ErasedDocument, TypedDocument, preview_merge};
use crate::{Context, Error};

/// Lets the accounts of one kind of static credential follow their roles.
pub(super) struct RoleFollower<S: StaticCredential>(pub(super) Arc<Rotator<S>>);

impl<S: StaticCredential> RoleFollower<S> {
    /// Refuses to give an existing role another account: the password of the earlier one would be
    /// lost.
    async fn check_same_account(
        &self,
        context: &Context,
        key: &str,
        request: &EngineRequest,
    ) -> Result<(), Error> {
        let documents = context.documents();
        let Some(before) = documents.get_by_key::<S::Role>(key).await? else { return Ok(()) };
        let after = preview_merge::<S::Role>(documents, key, &request.fields).await?;
        match S::account(&after) == S::account(&before) {
            true => Ok(()),
            false => Err(Error::user(
                "the account of a role can't be changed; delete the role and create another one",
            )),
        }
    }
}

#[async_trait]
impl<S: StaticCredential> DocumentFollower for RoleFollower<S> {
    type Document = S::Role;

    const INPUT_FIELDS: &'static [FieldSpec] = ImportFields::FIELDS;

    async fn handle(
        &self,
        document: &TypedDocument<S::Role>,
        context: &Context,
        key: &str,
        name: &str,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError> {
        let is_write = matches!(request.operation, Operation::Create | Operation::Update);
        if is_write {
            let import: ImportFields = read_input(&request.fields)?;
            self.check_same_account(context, key, request).await?;
            let response = document.handle(context, key, name, request).await?;
            let followed = self.0.follow_role(context, name, import).await?;
            return Ok(with_warning(response, followed));
        }
        let response = document.handle(context, key, name, request).await?;
        if request.operation == Operation::Delete {
            self.0.forget(context, name).await?;
        }
        Ok(response)
    }
}

fn with_warning(response: EngineResponse, warning: Option<String>) -> EngineResponse {
    let Some(warning) = warning else { return response };
    let mut data = match response {
        EngineResponse::Data(data) => data,
        _ => DataResponse::new(RawObject::null()),
    };
    data.warnings.push(warning);
    EngineResponse::Data(data)
}
