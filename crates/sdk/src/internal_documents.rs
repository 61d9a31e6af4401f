//! Internal documents: those of a blueprint to which clients have no path; and what the store of
//! documents and the host have to know of all documents.

use std::sync::Arc;

use strongroom_engine::intent::{INTENT_FOLDER, UNDO_FOLDER, WAL_FOLDER};
use strongroom_schema::pattern::RoutePattern;

use crate::Blueprint;
use crate::blueprint::RouteTarget;
use crate::declared_documents::{DeclaredDocument, DeclaredDocuments};
use crate::document_hooks::DocumentHooks;
use crate::stored_document::{ErasedDocument, TypedDocument};

/// A document without a path for clients.
#[derive(Clone)]
pub(crate) struct InternalDocument {
    pub(crate) pattern: RoutePattern,
    pub(crate) folds_case: bool,
    pub(crate) document: Arc<dyn ErasedDocument>,
}

impl Blueprint {
    /// Adds a document, or a collection, that only the engine's code reads and writes: its state, or
    /// what a [`Resource`](crate::Resource) at the same path shows in its own way. Its path is the storage key and no
    /// path for clients. Seal wrapping and replication follow from its declaration as for other
    /// documents. Opening the engine fails if clients could reach it through free-form documents or
    /// a collection; declare it with `internal_key` then. If the names fold case, declare
    /// [`Blueprint::folds_case`] for the resource too.
    ///
    /// ```
    /// use strongroom_sdk::{Blueprint, Context, Document, Error, Secret};
    ///
    /// /// The password that a rotation has set and not yet confirmed.
    /// #[derive(Document)]
    /// #[document(path = "rotation", seal_wrap)]
    /// struct Rotation {
    ///     candidate: Option<Secret<String>>,
    /// }
    ///
    /// async fn finish_rotation(context: Context) -> Result<(), Error> {
    ///     if context.documents().get::<Rotation>(&[]).await?.is_some() {
    ///         // Find out which password is valid, store it, and forget the other one.
    ///         context.documents().delete::<Rotation>(&[]).await?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let engine = Blueprint::new("rotating", "1.0.0")
    ///     .internal_document::<Rotation>()
    ///     .on_start(finish_rotation);
    /// # drop(engine);
    /// ```
    #[must_use]
    pub fn internal_document<D: DocumentHooks>(mut self) -> Self {
        self.internal_documents.push(InternalDocument {
            pattern: RoutePattern::new(D::PATH),
            folds_case: D::FOLDS_CASE,
            document: Arc::new(TypedDocument::<D>::new()),
        });
        self
    }

    /// What is wrong with the internal documents, if anything is: one that clients could reach, or
    /// that has the type of another one.
    pub(crate) fn internal_document_error(&self) -> Option<String> {
        let mut types = Vec::new();
        for InternalDocument { pattern, document, .. } in &self.internal_documents {
            let path = pattern.as_str();
            if let Err(error) = document.check_defaults() {
                return Some(format!("a default at {path:?} can't be read: {error}"));
            }
            let (folder, example) = (document.storage_key(""), pattern.example_path());
            let reached = self.routes().iter().find(|route| {
                let is_same_folder = match &route.target {
                    RouteTarget::Document(other) => other.storage_key("") == folder,
                    RouteTarget::FreeForm(_) => folder.is_empty(),
                    _ => false,
                };
                let other = &route.pattern;
                let overlaps = other.match_path(&example).is_some()
                    || pattern.match_path(&other.example_path()).is_some();
                is_same_folder && overlaps
            });
            if let Some(route) = reached {
                let of = route.pattern.as_str();
                return Some(format!(
                    "clients could reach the internal document at {path:?} through {of:?}: declare \
                     it with `internal_key`"
                ));
            }
            let reserved = [INTENT_FOLDER, UNDO_FOLDER, WAL_FOLDER];
            let mut reserved = reserved.iter().map(|folder| folder.trim_end_matches('/'));
            if folder.is_empty()
                && self.has_credentials()
                && reserved.any(|folder| pattern.reaches_into(folder))
            {
                return Some(format!("documents at {path:?} could lie where intents are kept"));
            }
            let is_declared = self.routes().iter().any(|route| {
                matches!(&route.target, RouteTarget::Document(it) if it.type_id() == document.type_id())
            });
            if is_declared || types.contains(&document.type_id()) {
                return Some(format!("the document at {path:?} is declared twice"));
            }
            types.push(document.type_id());
        }
        None
    }

    /// What the store of documents has to know about them.
    pub(crate) fn declared_documents(&self) -> DeclaredDocuments {
        let mut declared = DeclaredDocuments::default();
        for route in self.routes() {
            if let RouteTarget::Document(document) = &route.target {
                let folds_case = route.folds_case;
                let known = DeclaredDocument { folds_case, is_created_by_clients: true };
                declared.add(document.type_id(), known);
            }
        }
        for InternalDocument { pattern, folds_case, document } in &self.internal_documents {
            // A resource at the same path lets clients create what it stores there.
            let is_created_by_clients = self.routes().iter().any(|route| {
                let special = route.pattern.to_special_path();
                let is_resource =
                    matches!(&route.target, RouteTarget::Actions(it) if it.exists.is_some());
                is_resource && special == pattern.to_special_path()
            });
            let folds_case = *folds_case;
            declared
                .add(document.type_id(), DeclaredDocument { folds_case, is_created_by_clients });
        }
        declared
    }

    /// All documents with their paths.
    pub(crate) fn all_documents(
        &self,
    ) -> impl Iterator<Item = (&RoutePattern, &Arc<dyn ErasedDocument>)> {
        let of_clients = self.routes().iter().filter_map(|route| match &route.target {
            RouteTarget::Document(document) => Some((&route.pattern, document)),
            _ => None,
        });
        let internal = self.internal_documents.iter().map(|it| (&it.pattern, &it.document));
        of_clients.chain(internal)
    }
}
