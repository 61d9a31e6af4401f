//! Documents behind a path: the operations that follow from declaring a [`Document`].

use std::any::TypeId;
use std::marker::PhantomData;

use async_trait::async_trait;
use strongroom_engine::{
    DataResponse, EngineError, EngineRequest, EngineResponse, Operation, StatusKind,
};
use strongroom_schema::field::{FieldSpec, InvalidInput, build_object};
use strongroom_types::{Fields, RawObject};

use crate::document::{Document, DocumentStore, storage_key};

/// A document with its type erased.
#[async_trait]
pub(crate) trait ErasedDocument: Send + Sync {
    fn fields(&self) -> &'static [FieldSpec];
    /// The document's Rust type.
    fn type_id(&self) -> TypeId;
    fn check_defaults(&self) -> Result<(), InvalidInput>;
    fn seal_wrap(&self) -> bool;
    fn local(&self) -> bool;
    /// The storage key of the document at a path, or of a folder of documents.
    fn storage_key(&self, path: &str) -> String;
    async fn exists(&self, documents: &DocumentStore, key: &str) -> Result<bool, EngineError>;
    async fn handle(
        &self,
        documents: &DocumentStore,
        key: &str,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError>;
}

pub(crate) struct TypedDocument<D>(PhantomData<fn() -> D>);

impl<D> TypedDocument<D> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

#[async_trait]
impl<D: Document> ErasedDocument for TypedDocument<D> {
    fn fields(&self) -> &'static [FieldSpec] {
        D::FIELDS
    }

    fn type_id(&self) -> TypeId {
        TypeId::of::<D>()
    }

    fn check_defaults(&self) -> Result<(), InvalidInput> {
        D::check_defaults()
    }

    fn seal_wrap(&self) -> bool {
        D::SEAL_WRAP
    }

    fn local(&self) -> bool {
        D::LOCAL
    }

    fn storage_key(&self, path: &str) -> String {
        storage_key::<D>(path)
    }

    async fn exists(&self, documents: &DocumentStore, key: &str) -> Result<bool, EngineError> {
        Ok(documents.get_by_key::<D>(key).await?.is_some())
    }

    async fn handle(
        &self,
        documents: &DocumentStore,
        key: &str,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError> {
        match request.operation {
            Operation::Create | Operation::Update => {
                documents.merge_fields::<D>(key, &request.fields).await?;
                Ok(EngineResponse::Nothing)
            }
            Operation::Read => match documents.get_by_key::<D>(key).await? {
                Some(document) => {
                    let echoed = documents.echoed_names::<D>(key).await?;
                    Ok(echoed.add_to(visible_fields(&*document)).into())
                }
                None => Ok(EngineResponse::Nothing),
            },
            Operation::Delete => {
                documents.delete_key(key).await?;
                Ok(EngineResponse::Nothing)
            }
            _ => Err(EngineError::Status(StatusKind::UnsupportedOperation)),
        }
    }
}

fn visible_fields<D: Document>(document: &D) -> RawObject {
    build_object(|out| document.write_shown(out))
}

/// The response to a list: `keys`, or nothing if there are no names.
pub(crate) fn list_response(names: &[String]) -> EngineResponse {
    if names.is_empty() {
        return EngineResponse::Nothing;
    }
    let mut fields = Fields::new();
    fields.set("keys", &names);
    EngineResponse::Data(DataResponse::new(fields.to_object()))
}
