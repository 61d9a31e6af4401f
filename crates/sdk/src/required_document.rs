//! [`RequiredDocument`]: the documents that a credential needs, such as its configuration and its
//! role.

use std::any::TypeId;
use std::sync::Arc;

use async_trait::async_trait;

use crate::document::Document;
use crate::{Context, Error};

/// A document that a credential requires, or `()` for none. Implemented for every [`Document`];
/// there is nothing to implement in an engine.
#[async_trait]
pub trait RequiredDocument: Send + Sync + 'static {
    /// Loads the document, or returns a user error that names the document to write first.
    #[doc(hidden)]
    async fn load_required(context: &Context, name: &str) -> Result<Arc<Self>, Error>;

    /// The type and path of the document; `None` for `()`.
    #[doc(hidden)]
    fn document_spec() -> Option<RequiredDocumentSpec>;
}

/// The path and the type of a document that a credential requires.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct RequiredDocumentSpec {
    pub(crate) path: &'static str,
    pub(crate) type_id: TypeId,
}

#[async_trait]
impl RequiredDocument for () {
    async fn load_required(_: &Context, _: &str) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(()))
    }

    fn document_spec() -> Option<RequiredDocumentSpec> {
        None
    }
}

#[async_trait]
impl<D: Document> RequiredDocument for D {
    async fn load_required(context: &Context, name: &str) -> Result<Arc<Self>, Error> {
        if D::PATH.contains('{') { context.named(name).await } else { context.config().await }
    }

    fn document_spec() -> Option<RequiredDocumentSpec> {
        Some(RequiredDocumentSpec { path: D::PATH, type_id: TypeId::of::<D>() })
    }
}
