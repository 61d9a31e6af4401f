//! Documents behind a path: the operations that follow from declaring one.

use std::any::TypeId;
use std::marker::PhantomData;

use async_trait::async_trait;
use strongroom_types::{Fields, RawObject};

use crate::document::{Document, Documents, storage_key};
use crate::engine::{Data, EngineError, Operation, Request, Response, StatusKind};
use crate::field::{FieldSpec, InvalidInput, ObjectWriter};

/// A document type behind a path, the type forgotten.
#[async_trait]
pub(crate) trait StoredPath: Send + Sync {
    fn fields(&self) -> &'static [FieldSpec];
    /// Which type of document it is.
    fn type_id(&self) -> TypeId;
    fn check_defaults(&self) -> Result<(), InvalidInput>;
    fn seal_wrap(&self) -> bool;
    fn local(&self) -> bool;
    /// Where the document at a path, or a folder of them, lies in storage.
    fn key(&self, path: &str) -> String;
    async fn exists(&self, documents: &Documents, key: &str) -> Result<bool, EngineError>;
    async fn handle(
        &self,
        documents: &Documents,
        key: &str,
        request: &Request,
    ) -> Result<Response, EngineError>;
}

pub(crate) struct StoredDocument<D>(PhantomData<fn() -> D>);

impl<D> StoredDocument<D> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

#[async_trait]
impl<D: Document> StoredPath for StoredDocument<D> {
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

    fn key(&self, path: &str) -> String {
        storage_key::<D>(path)
    }

    async fn exists(&self, documents: &Documents, key: &str) -> Result<bool, EngineError> {
        Ok(documents.find::<D>(key).await?.is_some())
    }

    async fn handle(
        &self,
        documents: &Documents,
        key: &str,
        request: &Request,
    ) -> Result<Response, EngineError> {
        match request.operation {
            Operation::Create | Operation::Update => {
                documents.merge::<D>(key, &request.fields).await?;
                Ok(Response::Nothing)
            }
            Operation::Read => match documents.find::<D>(key).await? {
                Some(document) => Ok(shown(&*document).into()),
                None => Ok(Response::Nothing),
            },
            Operation::Delete => {
                documents.remove(key).await?;
                Ok(Response::Nothing)
            }
            _ => Err(EngineError::Status(StatusKind::UnsupportedOperation)),
        }
    }
}

fn shown<D: Document>(document: &D) -> RawObject {
    let mut out = ObjectWriter::new();
    document.write_shown(&mut out);
    out.finish()
}

/// The answer to a list: `keys`, or nothing when there are none.
pub(crate) fn listed(names: &[String]) -> Response {
    if names.is_empty() {
        return Response::Nothing;
    }
    let mut fields = Fields::new();
    fields.set("keys", &names);
    Response::Data(Data::new(fields.to_object()))
}
