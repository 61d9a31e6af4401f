//! [`DocumentPart`]: some fields of a document at a path of their own.
//!
//! Vault's older engines have paths such as `role/:name/policies` beside `role/:name`, at which one
//! field is read, written and reset. They are declared with
//! [`Blueprint::document_part`](crate::Blueprint::document_part):
//!
//! ```
//! use strongroom_sdk::document_part::DocumentPart;
//! use strongroom_sdk::{Blueprint, CommaList, Document};
//!
//! /// A role.
//! #[derive(Document)]
//! #[document(path = "role/{name}")]
//! struct Role {
//!     /// Names of permissions.
//!     permissions: CommaList,
//! }
//!
//! let permissions = DocumentPart::of::<Role>(&["permissions"]).read().write().reset();
//! let blueprint = Blueprint::new("example", "1.0.0")
//!     .document_part("role/{name}/permissions", "The permissions of a role.", permissions)
//!     .document::<Role>();
//! # drop(blueprint);
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_engine::{EngineError, EngineResponse, Operation, StatusKind};
use strongroom_schema::field::{FieldSpec, InvalidInput};
use strongroom_schema::pattern::RoutePattern;
use strongroom_types::Fields;

use crate::action::ErasedAction;
use crate::document::storage_key;
use crate::document_hooks::DocumentHooks;
use crate::resource::RouteActions;
use crate::stored_document::{FieldChange, MergeTarget, merge_fields, visible_fields};
use crate::{Context, Error};

/// Some fields of a document, and what a path of their own allows. The captures of that path have the
/// names of those of the document's path.
#[derive(Clone)]
pub struct DocumentPart {
    part: Arc<dyn ErasedAction>,
    can_read: bool,
    can_write: bool,
    can_reset: bool,
}

impl DocumentPart {
    /// The fields with these names. For a current name its legacy names are accepted too; for a
    /// legacy name only that one is accepted and shown.
    pub fn of<D: DocumentHooks>(fields: &'static [&'static str]) -> Self {
        let part = Arc::new(TypedPart::<D> { fields, document: PhantomData });
        Self { part, can_read: false, can_write: false, can_reset: false }
    }

    /// Allows reads, which show the fields as a read of the document does. Secret and hidden fields
    /// are left out. A missing document is 404.
    #[must_use]
    pub fn read(self) -> Self {
        Self { can_read: true, ..self }
    }

    /// Allows writes, which change the fields of a document that exists, as a write of the document
    /// does: with its validation and its hook. At least one of the fields must be sent. A missing
    /// document is 404. Writes need the capability `update`.
    #[must_use]
    pub fn write(self) -> Self {
        Self { can_write: true, ..self }
    }

    /// Allows deletes, which reset the fields to the values of a new document. If there is no
    /// document they do nothing.
    #[must_use]
    pub fn reset(self) -> Self {
        Self { can_reset: true, ..self }
    }

    pub(crate) fn into_actions(self) -> RouteActions {
        let Self { part, can_read, can_write, can_reset } = self;
        RouteActions {
            read: can_read.then(|| part.clone()),
            write: can_write.then(|| part.clone()),
            delete: can_reset.then_some(part),
            ..RouteActions::default()
        }
    }
}

impl fmt::Debug for DocumentPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DocumentPart")
    }
}

struct TypedPart<D> {
    fields: &'static [&'static str],
    document: PhantomData<fn() -> D>,
}

impl<D: DocumentHooks> TypedPart<D> {
    /// Whether a field of the document belongs to the part, under this name.
    fn contains(&self, spec: &FieldSpec) -> bool {
        let is_named = |name: &str| self.fields.contains(&name);
        !spec.internal && (is_named(spec.name) || spec.legacy_name_of().is_some_and(is_named))
    }

    /// The fields of the part with the values of the document.
    fn select(&self, shown: &Fields) -> Fields {
        let mut selected = Fields::new();
        for spec in D::FIELDS.iter().filter(|spec| self.contains(spec)) {
            let is_named = self.fields.contains(&spec.name);
            let current = spec.legacy_name_of().filter(|_| is_named);
            let value = shown.get(spec.name).or_else(|| current.and_then(|name| shown.get(name)));
            if let Some(value) = value {
                selected.set_raw(spec.name, value.to_owned());
            }
        }
        selected
    }

    /// The fields of the part that a client sent.
    fn select_sent(&self, sent: &Fields) -> Result<Fields, Error> {
        let mut selected = Fields::new();
        for spec in D::FIELDS.iter().filter(|spec| self.contains(spec)) {
            if let Some(value) = sent.get(spec.name).filter(|raw| raw.get() != "null") {
                selected.set_raw(spec.name, value.to_owned());
            }
        }
        if selected.is_empty() {
            let name = self.fields.first().copied().unwrap_or_default();
            return Err(Error::user(format!("missing {name}")));
        }
        Ok(selected)
    }
}

#[async_trait]
impl<D: DocumentHooks> ErasedAction for TypedPart<D> {
    fn fields(&self) -> Vec<&'static FieldSpec> {
        D::FIELDS.iter().filter(|spec| self.contains(spec)).collect()
    }

    fn check_defaults(&self) -> Result<(), InvalidInput> {
        Ok(())
    }

    async fn handle(
        &self,
        context: Context,
        operation: Operation,
        fields: &Fields,
    ) -> Result<EngineResponse, EngineError> {
        let pattern = RoutePattern::new(D::PATH);
        let captures: Vec<String> =
            pattern.captures().map(|(name, _)| fields.text(name).unwrap_or_default()).collect();
        let captures: Vec<&str> = captures.iter().map(String::as_str).collect();
        let key = storage_key::<D>(&pattern.storage_key(&captures));
        let name = captures.last().copied().unwrap_or_default();
        let change = match operation {
            Operation::Read => {
                let found = context.documents().get_with_echoed_names::<D>(&key).await?;
                let Some((document, echoed)) = found else { return Ok(EngineResponse::Nothing) };
                let shown = echoed.add_to(visible_fields(&*document, &context, name).await?);
                return Ok(self.select(&shown.fields()).to_object().into());
            }
            Operation::Delete => FieldChange::Reset(self.fields),
            _ => FieldChange::Set(self.select_sent(fields)?),
        };
        let is_reset = matches!(change, FieldChange::Reset(_));
        let merged =
            merge_fields::<D, ()>(&context, &key, name, &change, MergeTarget::Existing, &mut ())
                .await?;
        match merged {
            None if is_reset => Ok(EngineResponse::Nothing),
            None => Err(EngineError::Status(StatusKind::UnsupportedPath)),
            Some(answer) => Ok(answer.into_engine_response()),
        }
    }
}
