//! Internal documents: those of a blueprint to which clients have no path.

use std::sync::Arc;

use strongroom_engine::intent::{INTENT_FOLDER, UNDO_FOLDER, WAL_FOLDER};
use strongroom_schema::pattern::RoutePattern;

use crate::capture_forms::{DeclaredPath, PathSubject};
use crate::stored_document::ErasedDocument;

/// A document without a path for clients.
#[derive(Clone)]
pub(crate) struct InternalDocument {
    pub(crate) pattern: RoutePattern,
    pub(crate) folds_case: bool,
    pub(crate) document: Arc<dyn ErasedDocument>,
}

impl InternalDocument {
    /// What is wrong with the document, if anything is: clients could reach it, or it could lie
    /// where intents are kept.
    pub(crate) fn declaration_error(
        &self,
        paths: &[DeclaredPath<'_>],
        keeps_intents: bool,
    ) -> Option<String> {
        let path = self.pattern.as_str();
        if let Err(error) = self.document.check_defaults() {
            return Some(format!("a default at {path:?} can't be read: {error}"));
        }
        let folder = self.document.storage_key("");
        if let Some(reached) = paths.iter().find(|path| self.is_reached(&folder, path)) {
            let of = reached.pattern.as_str();
            return Some(format!(
                "clients could reach the internal document at {path:?} through {of:?}: declare it \
                 with `internal_key`"
            ));
        }
        let mut reserved = [INTENT_FOLDER, UNDO_FOLDER, WAL_FOLDER].into_iter();
        let is_reserved = folder.is_empty()
            && reserved.any(|folder| self.pattern.reaches_into(folder.trim_end_matches('/')));
        (is_reserved && keeps_intents)
            .then(|| format!("documents at {path:?} could lie where intents are kept"))
    }

    /// Whether what clients write at a path is stored where this document is.
    fn is_reached(&self, folder: &str, path: &DeclaredPath<'_>) -> bool {
        let is_same_folder = match &path.subject {
            PathSubject::Documents { storage_folder } => storage_folder == folder,
            PathSubject::FreeForm => folder.is_empty(),
            PathSubject::Credential { .. } | PathSubject::Calls { .. } => false,
        };
        let (own, other) = (&self.pattern, path.pattern);
        let overlaps = other.match_path(&own.example_path()).is_some()
            || own.match_path(&other.example_path()).is_some();
        is_same_folder && overlaps
    }

    /// Whether clients create it through a resource at the same path.
    pub(crate) fn is_created_by_clients(&self, paths: &[DeclaredPath<'_>]) -> bool {
        let special = self.pattern.to_special_path();
        paths.iter().any(|path| {
            let is_resource = matches!(path.subject, PathSubject::Calls { checks_existence: true });
            is_resource && path.pattern.to_special_path() == special
        })
    }
}
