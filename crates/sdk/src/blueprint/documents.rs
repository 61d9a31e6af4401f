//! What a [`Blueprint`] says about its documents and their names.

use std::sync::Arc;

use strongroom_engine::FoldedPaths;
use strongroom_schema::pattern::RoutePattern;

use super::{Blueprint, RouteTarget};
use crate::capture_forms::{DeclaredPath, PathSubject, capture_error, folding_paths};
use crate::declared_documents::{DeclaredDocument, DeclaredDocuments};
use crate::document_hooks::DocumentHooks;
use crate::internal_documents::InternalDocument;
use crate::stored_document::{ErasedDocument, TypedDocument};

impl Blueprint {
    /// Adds a document, or a collection, that only the engine's code reads and writes: its state, or
    /// what a [`Resource`](crate::Resource) at the same path shows in its own way. Its path is the
    /// storage key and no path for clients. Seal wrapping and replication follow from its
    /// declaration as for other documents. Opening the engine fails if clients could reach it
    /// through free-form documents or a collection; declare it with `internal_key` then. If the
    /// names fold case, declare [`Blueprint::folds_case`] for the resource too.
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

    /// All documents with their paths.
    pub(super) fn all_documents(
        &self,
    ) -> impl Iterator<Item = (&RoutePattern, &Arc<dyn ErasedDocument>)> {
        let of_clients = self.routes.iter().filter_map(|route| match &route.target {
            RouteTarget::Document(document) => Some((&route.pattern, document)),
            _ => None,
        });
        let internal = self.internal_documents.iter().map(|it| (&it.pattern, &it.document));
        of_clients.chain(internal)
    }

    /// The paths in which the case of names doesn't matter.
    pub(crate) fn folded_paths(&self) -> FoldedPaths {
        let paths = self.declared_paths();
        let folding = paths.iter().zip(folding_paths(&paths)).filter(|(_, folds)| *folds);
        FoldedPaths::Declared(folding.map(|(path, _)| path.pattern.to_special_path()).collect())
    }

    /// What is wrong with the names of documents or with the internal documents, if anything is.
    pub(super) fn document_error(&self) -> Option<String> {
        let paths = self.declared_paths();
        let keeps_intents = self.has_credentials();
        let internal = || {
            let mut internal = self.internal_documents.iter();
            internal.find_map(|document| document.declaration_error(&paths, keeps_intents))
        };
        capture_error(&paths).or_else(internal).or_else(|| {
            let mut types = Vec::new();
            self.all_documents().find_map(|(pattern, document)| {
                let is_known = types.contains(&document.type_id());
                types.push(document.type_id());
                is_known
                    .then(|| format!("the document at {:?} is declared twice", pattern.as_str()))
            })
        })
    }

    /// What the store of documents has to know about them.
    pub(crate) fn declared_documents(&self) -> DeclaredDocuments {
        let (paths, mut declared) = (self.declared_paths(), DeclaredDocuments::default());
        for route in &self.routes {
            if let RouteTarget::Document(document) = &route.target {
                let folds_case = route.folds_case;
                let known = DeclaredDocument { folds_case, is_created_by_clients: true };
                declared.add(document.type_id(), known);
            }
        }
        for internal in &self.internal_documents {
            let known = DeclaredDocument {
                folds_case: internal.folds_case,
                is_created_by_clients: internal.is_created_by_clients(&paths),
            };
            declared.add(internal.document.type_id(), known);
        }
        declared
    }

    fn declared_paths(&self) -> Vec<DeclaredPath<'_>> {
        let paths = self.routes.iter().map(|route| DeclaredPath {
            pattern: &route.pattern,
            folds_case: route.folds_case,
            subject: match &route.target {
                RouteTarget::Document(document) => {
                    PathSubject::Documents { storage_folder: document.storage_key("") }
                }
                RouteTarget::FreeForm(_) => PathSubject::FreeForm,
                RouteTarget::Credential(credential) => {
                    let roles = credential.role_documents().into_iter();
                    PathSubject::Credential { roles: roles.map(|role| role.path).collect() }
                }
                RouteTarget::DurableAction(action) => {
                    let targets = action.target_documents().into_iter();
                    PathSubject::Credential { roles: targets.map(|target| target.path).collect() }
                }
                RouteTarget::Login(_) => PathSubject::Calls { checks_existence: false },
                RouteTarget::Actions(actions) => {
                    PathSubject::Calls { checks_existence: actions.exists.is_some() }
                }
            },
        });
        paths.collect()
    }
}
