//! [`RoleDocument`]: the document of a static role, whose writes and deletes its account follows.

use std::any::TypeId;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_engine::{DataResponse, EngineError, EngineRequest, EngineResponse, Operation};
use strongroom_schema::field::{FieldSpec, InvalidInput};
use strongroom_types::RawObject;

use super::StaticCredential;
use super::responses::ImportFields;
use super::rotator::Rotator;
use crate::action::Input;
use crate::document::DocumentStore;
use crate::stored_document::{ErasedDocument, TypedDocument, preview_merge};
use crate::{Context, Error, Listing};

/// The document of the roles of one kind of static credential.
pub(super) struct RoleDocument<S: StaticCredential> {
    document: TypedDocument<S::Role>,
    rotator: Arc<Rotator<S>>,
}

impl<S: StaticCredential> RoleDocument<S> {
    pub(super) fn new(rotator: Arc<Rotator<S>>) -> Self {
        Self { document: TypedDocument::new(), rotator }
    }

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
impl<S: StaticCredential> ErasedDocument for RoleDocument<S> {
    fn fields(&self) -> Vec<&'static FieldSpec> {
        self.document.fields().into_iter().chain(ImportFields::FIELDS).collect()
    }

    fn type_id(&self) -> TypeId {
        ErasedDocument::type_id(&self.document)
    }

    fn check_defaults(&self) -> Result<(), InvalidInput> {
        self.document.check_defaults()
    }

    fn seal_wrap(&self) -> bool {
        self.document.seal_wrap()
    }

    fn local(&self) -> bool {
        self.document.local()
    }

    fn replaces(&self) -> bool {
        self.document.replaces()
    }

    fn listed_fields(&self) -> Vec<&'static str> {
        self.document.listed_fields()
    }

    async fn list(
        &self,
        documents: &DocumentStore,
        listing: &Listing,
    ) -> Result<EngineResponse, EngineError> {
        self.document.list(documents, listing).await
    }

    fn storage_key(&self, path: &str) -> String {
        self.document.storage_key(path)
    }

    async fn exists(&self, documents: &DocumentStore, key: &str) -> Result<bool, EngineError> {
        self.document.exists(documents, key).await
    }

    async fn handle(
        &self,
        context: &Context,
        key: &str,
        name: &str,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError> {
        let is_write = matches!(request.operation, Operation::Create | Operation::Update);
        if is_write {
            let import = ImportFields::from_fields(&request.fields);
            let import = import.map_err(|error| EngineError::user(error.to_string()))?;
            self.check_same_account(context, key, request).await?;
            let response = self.document.handle(context, key, name, request).await?;
            let followed = self.rotator.follow_role(context, name, import).await?;
            return Ok(with_warning(response, followed));
        }
        let response = self.document.handle(context, key, name, request).await?;
        if request.operation == Operation::Delete {
            self.rotator.forget(context, name).await?;
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
