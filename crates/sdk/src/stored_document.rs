//! Documents behind a path: the operations that follow from declaring a [`Document`].

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;

use async_trait::async_trait;
use strongroom_engine::{
    DataResponse, EngineError, EngineRequest, EngineResponse, Operation, StatusKind,
};
use strongroom_schema::field::{FieldSpec, InvalidInput, build_object};
use strongroom_types::{Fields, RawObject};

use crate::document::{DocumentStore, MAX_MERGE_ATTEMPTS, storage_key, unreadable_document_error};
use crate::document_hooks::{DocumentHooks, WriteAnswer, WriteOutcome};
use crate::legacy_names::{merge_sent_fields, remove_replaced_fields, reset_fields};
use crate::linked_records::LinkedRecords;
use crate::{Context, Error, Listing};

/// A document with its type erased.
#[async_trait]
pub(crate) trait ErasedDocument: Send + Sync {
    /// The declared fields, and those of the write hook's input.
    fn fields(&self) -> Vec<&'static FieldSpec>;
    /// The document's Rust type.
    fn type_id(&self) -> TypeId;
    fn check_defaults(&self) -> Result<(), InvalidInput>;
    fn seal_wrap(&self) -> bool;
    fn local(&self) -> bool;
    /// Whether a client's write replaces the document.
    fn replaces(&self) -> bool;
    /// The fields that a list shows for each document.
    fn listed_fields(&self) -> Vec<&'static str>;
    /// Lists the storage folder of `listing`.
    async fn list(
        &self,
        documents: &DocumentStore,
        listing: &Listing,
    ) -> Result<EngineResponse, EngineError>;
    /// The storage key of the document at a path, or of a folder of documents.
    fn storage_key(&self, path: &str) -> String;
    async fn exists(&self, documents: &DocumentStore, key: &str) -> Result<bool, EngineError>;
    async fn handle(
        &self,
        context: &Context,
        key: &str,
        name: &str,
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
impl<D: DocumentHooks> ErasedDocument for TypedDocument<D> {
    fn fields(&self) -> Vec<&'static FieldSpec> {
        D::FIELDS.iter().chain(D::HOOK_FIELDS).collect()
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

    fn replaces(&self) -> bool {
        D::REPLACES
    }

    fn listed_fields(&self) -> Vec<&'static str> {
        D::listed_fields()
    }

    async fn list(
        &self,
        documents: &DocumentStore,
        listing: &Listing,
    ) -> Result<EngineResponse, EngineError> {
        let found = documents.list_with_details::<D>(&listing.folder, listing).await?;
        Ok(found.map_or(EngineResponse::Nothing, EngineResponse::Data))
    }

    fn storage_key(&self, path: &str) -> String {
        storage_key::<D>(path)
    }

    async fn exists(&self, documents: &DocumentStore, key: &str) -> Result<bool, EngineError> {
        Ok(documents.get_by_key::<D>(key).await?.is_some())
    }

    async fn handle(
        &self,
        context: &Context,
        key: &str,
        name: &str,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError> {
        let documents = context.documents();
        match request.operation {
            Operation::Create | Operation::Update => {
                let answer = merge_sent::<D>(context, key, name, &request.fields, &mut ()).await?;
                Ok(answer.into_engine_response())
            }
            Operation::Read => match documents.get_with_echoed_names::<D>(key).await? {
                Some((document, echoed)) => {
                    Ok(echoed.add_to(visible_fields(&*document, context, name).await?).into())
                }
                None => Ok(EngineResponse::Nothing),
            },
            Operation::Delete => {
                if D::HAS_DELETE_HOOK {
                    let answer = delete_jointly::<D>(context, key, name, &mut ()).await?;
                    return Ok(answer.into_engine_response());
                }
                documents.delete_key(key).await?;
                Ok(EngineResponse::Nothing)
            }
            _ => Err(EngineError::Status(StatusKind::UnsupportedOperation)),
        }
    }
}

/// What is changed in one batch with a document, beside the records of its hooks.
pub(crate) trait JointChange<D>: Send {
    /// Whether a write has to read the stored document as well.
    const READS_STORED: bool = false;

    /// Adds the changes of records. `before` is the stored document, if it is read, and `document` the
    /// one that is written or deleted. Called again if somebody else has changed one of them.
    fn add(
        &mut self,
        before: Option<&D>,
        document: &D,
        records: &mut LinkedRecords,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Nothing beside the document.
impl<D: Sync> JointChange<D> for () {
    async fn add(&mut self, _: Option<&D>, _: &D, _: &mut LinkedRecords) -> Result<(), Error> {
        Ok(())
    }
}

/// Merges the fields that a client sent into the document at `key`, replaces it or creates it, and
/// runs its write hook, whose data and warnings are returned. On hosts with atomic storage no concurrent
/// write is lost: the merge is repeated over the new document. `name` is the last capture of the
/// path.
pub(crate) async fn merge_sent<D: DocumentHooks>(
    context: &Context,
    key: &str,
    name: &str,
    sent: &Fields,
    joint: &mut impl JointChange<D>,
) -> Result<WriteAnswer, Error> {
    let change = FieldChange::Set(sent.clone());
    let merged = merge_fields(context, key, name, &change, MergeTarget::Any, joint).await?;
    Ok(merged.unwrap_or_default())
}

/// What a client changes of a document.
pub(crate) enum FieldChange {
    /// Fields that replace the stored ones.
    Set(Fields),
    /// Names of fields that get the values of a new document.
    Reset(&'static [&'static str]),
}

/// Which documents a merge may write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MergeTarget {
    /// A document that exists, or a new one.
    Any,
    /// Only a document that exists.
    Existing,
}

/// Like [`merge_sent`]; `None` if there is no document and the target must exist.
pub(crate) async fn merge_fields<D: DocumentHooks, J: JointChange<D>>(
    context: &Context,
    key: &str,
    name: &str,
    change: &FieldChange,
    target: MergeTarget,
    joint: &mut J,
) -> Result<Option<WriteAnswer>, Error> {
    let documents = context.documents();
    let nothing = Fields::new();
    let sent = match change {
        FieldChange::Set(sent) => sent,
        FieldChange::Reset(_) => &nothing,
    };
    for _ in 0..MAX_MERGE_ATTEMPTS {
        let (stored, mut fields) = documents.read_fields(key).await?;
        if stored.is_none() && target == MergeTarget::Existing {
            return Ok(None);
        }
        let before = stored.as_ref().filter(|_| D::HAS_WRITE_HOOK || J::READS_STORED);
        let before = before.map(|_| D::from_fields(&fields)).transpose();
        let before = before.map_err(|_| unreadable_document_error(key))?;
        let echoed = match change {
            FieldChange::Set(sent) => {
                // The path of a part of the document never replaces the rest.
                if D::REPLACES && target == MergeTarget::Any {
                    remove_replaced_fields(D::FIELDS, &mut fields);
                }
                merge_sent_fields(D::FIELDS, &mut fields, sent)
            }
            FieldChange::Reset(names) => reset_fields(D::FIELDS, &mut fields, names),
        };
        let mut document = D::from_fields(&fields).map_err(|e| Error::user(e.to_string()))?;
        document.validate().map_err(Error::user)?;
        let mut hook = WriteOutcome::default();
        if D::HAS_WRITE_HOOK {
            hook = document.run_write_hook(context, name, before.as_ref(), sent).await?;
            document.validate().map_err(Error::user)?;
        }
        let WriteOutcome { answer, mut records } = hook;
        joint.add(before.as_ref(), &document, &mut records).await?;
        if documents.store_merged(key, &document, &echoed, stored.as_ref(), records).await? {
            return Ok(Some(answer));
        }
    }
    Err(Error::write_conflict())
}

/// Runs the delete hook of the document at `key`, and deletes the document in one batch with the
/// records that the hook and `joint` change. On hosts with atomic storage the document that is deleted
/// is the one that they have seen. A document that can't be read is deleted alone, if it has no hook.
pub(crate) async fn delete_jointly<D: DocumentHooks>(
    context: &Context,
    key: &str,
    name: &str,
    joint: &mut impl JointChange<D>,
) -> Result<WriteAnswer, Error> {
    let documents = context.documents();
    for _ in 0..MAX_MERGE_ATTEMPTS {
        let (stored, fields) = documents.read_fields(key).await?;
        let Some(stored) = stored else { return Ok(WriteAnswer::default()) };
        let document = match D::from_fields(&fields) {
            Ok(document) => document,
            Err(_) if D::HAS_DELETE_HOOK => return Err(unreadable_document_error(key)),
            Err(_) => {
                documents.delete_key(key).await?;
                return Ok(WriteAnswer::default());
            }
        };
        let WriteOutcome { answer, mut records } = document.run_delete_hook(context, name).await?;
        joint.add(None, &document, &mut records).await?;
        if documents.delete_seen(key, &stored, records).await? {
            return Ok(answer);
        }
    }
    Err(Error::write_conflict())
}

/// The document that [`merge_sent`] would store for these fields, before its write hook.
pub(crate) async fn preview_merge<D: DocumentHooks>(
    documents: &DocumentStore,
    key: &str,
    sent: &Fields,
) -> Result<D, Error> {
    let (_, mut fields) = documents.read_fields(key).await?;
    if D::REPLACES {
        remove_replaced_fields(D::FIELDS, &mut fields);
    }
    merge_sent_fields(D::FIELDS, &mut fields, sent);
    D::from_fields(&fields).map_err(|error| Error::user(error.to_string()))
}

/// The fields that a client may read, and those that the read hook computes.
pub(crate) async fn visible_fields<D: DocumentHooks>(
    document: &D,
    context: &Context,
    name: &str,
) -> Result<RawObject, Error> {
    let computed = document.run_read_hook(context, name).await?;
    let shown = build_object(|out| document.write_shown(out));
    let Some(computed) = computed else { return Ok(shown) };
    let mut fields = shown.fields();
    for (name, value) in computed.fields().iter() {
        fields.set_raw(name, value.to_owned());
    }
    Ok(fields.to_object())
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
