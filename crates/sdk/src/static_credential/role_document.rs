//! [`RoleFollower`]: lets the account of a static role follow the writes and deletes of the role.

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_engine::{EngineError, EngineRequest, EngineResponse, Operation};
use strongroom_schema::field::FieldSpec;

use super::StaticCredential;
use super::responses::ImportFields;
use super::rotator::Rotator;
use crate::Context;
use crate::action::Input;
use crate::followed_document::DocumentFollower;
use crate::stored_document::{ErasedDocument, TypedDocument};

/// Lets the accounts of one kind of static credential follow their roles.
pub(super) struct RoleFollower<S: StaticCredential>(pub(super) Arc<Rotator<S>>);

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
        let answer = match request.operation {
            Operation::Create | Operation::Update => {
                self.0.write_role(context, key, name, &request.fields).await?
            }
            Operation::Delete => self.0.delete_role(context, key, name).await?,
            _ => return document.handle(context, key, name, request).await,
        };
        Ok(answer.into_engine_response())
    }
}
