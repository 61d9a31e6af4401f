//! [`DeclaredDocuments`]: what a `DocumentStore` knows about the
//! documents of its engine, and the errors of code that uses others or creates them unasked.

use std::any::TypeId;
use std::collections::HashMap;

use crate::Error;

/// The documents that a blueprint declares, by their Rust types.
#[derive(Debug, Default)]
pub(crate) struct DeclaredDocuments(HashMap<TypeId, DeclaredDocument>);

/// What is declared about one type of document beside what its trait says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeclaredDocument {
    /// Whether the captures of its path are converted to lower case.
    pub(crate) folds_case: bool,
    /// Whether clients create it at a path with an existence check, so that policies distinguish
    /// `create` from `update`.
    pub(crate) is_created_by_clients: bool,
}

impl DeclaredDocuments {
    /// Adds a document. Of two declarations of a type the first one counts.
    pub(crate) fn add(&mut self, type_id: TypeId, document: DeclaredDocument) {
        self.0.entry(type_id).or_insert(document);
    }

    /// Whether a type of document is declared.
    pub(crate) fn contains(&self, type_id: TypeId) -> bool {
        self.0.contains_key(&type_id)
    }

    /// What is declared about a type of document, given with its path and its name in Rust.
    ///
    /// # Errors
    ///
    /// An internal error that names the missing declaration.
    pub(crate) fn find(
        &self,
        type_id: TypeId,
        path: &str,
        of_type: &str,
    ) -> Result<DeclaredDocument, Error> {
        self.0.get(&type_id).copied().ok_or_else(|| {
            let of_type = of_type.rsplit("::").next().unwrap_or(of_type);
            Error::internal(format!(
                "the document at {path:?} {NOT_DECLARED}: add .document::<{of_type}>() to the \
                 blueprint, or .internal_document::<{of_type}>() if clients have no path to it"
            ))
        })
    }
}

/// The error for an action that would create a document without the capability `create`.
pub(crate) fn creation_error(path: &str) -> Error {
    Error::internal(format!(
        "there is no such document at {path:?}, and this action {CREATES_UNCHECKED}: declare a \
         Blueprint::resource, whose existence check tells policies that a write creates something"
    ))
}

const NOT_DECLARED: &str = "is used and not declared";
const CREATES_UNCHECKED: &str = "can't create one";

/// Whether an error of an engine is one of those above, for the contract suite.
#[cfg(feature = "testing")]
pub(crate) fn is_declaration_fault(message: &str) -> bool {
    message.contains(NOT_DECLARED) || message.contains(CREATES_UNCHECKED)
}
