//! [`DeclaredDocuments`]: what a [`DocumentStore`](crate::document::DocumentStore) knows about the
//! documents of its engine.

use std::any::TypeId;
use std::collections::HashMap;

use crate::document::Document;

/// The documents that a blueprint declares, by their Rust types.
#[derive(Debug, Default)]
pub(crate) struct DeclaredDocuments(HashMap<TypeId, DeclaredDocument>);

/// What is declared about one type of document beside what its trait says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeclaredDocument {
    /// Whether the captures of its path are converted to lower case.
    pub(crate) folds_case: bool,
}

impl DeclaredDocuments {
    /// Adds a document. Of two declarations of a type the first one counts.
    pub(crate) fn add(&mut self, type_id: TypeId, document: DeclaredDocument) {
        self.0.entry(type_id).or_insert(document);
    }

    pub(crate) fn find<D: Document>(&self) -> Option<DeclaredDocument> {
        self.0.get(&TypeId::of::<D>()).copied()
    }
}
