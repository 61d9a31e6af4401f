//! [`FollowedDocument`]: a document whose writes and deletes something else follows, such as the state
//! of an account.

use std::any::TypeId;

use async_trait::async_trait;
use strongroom_engine::{EngineError, EngineRequest, EngineResponse};
use strongroom_schema::field::{FieldSpec, InvalidInput};

use crate::document::DocumentStore;
use crate::document_hooks::DocumentHooks;
use crate::stored_document::{ErasedDocument, TypedDocument};
use crate::{Context, Listing};

/// What follows the writes and deletes of a document.
#[async_trait]
pub(crate) trait DocumentFollower: Send + Sync + 'static {
    type Document: DocumentHooks;

    /// Fields of a write that aren't stored with the document.
    const INPUT_FIELDS: &'static [FieldSpec] = &[];

    /// Handles a request to the document, usually by passing it to the document.
    async fn handle(
        &self,
        document: &TypedDocument<Self::Document>,
        context: &Context,
        key: &str,
        name: &str,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError>;
}

/// A document with what follows it.
pub(crate) struct FollowedDocument<F: DocumentFollower> {
    document: TypedDocument<F::Document>,
    follower: F,
}

impl<F: DocumentFollower> FollowedDocument<F> {
    pub(crate) fn new(follower: F) -> Self {
        Self { document: TypedDocument::new(), follower }
    }
}

#[async_trait]
impl<F: DocumentFollower> ErasedDocument for FollowedDocument<F> {
    fn fields(&self) -> Vec<&'static FieldSpec> {
        self.document.fields().into_iter().chain(F::INPUT_FIELDS).collect()
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
        self.follower.handle(&self.document, context, key, name, request).await
    }
}
