//! Hooks of a [`Document`]: code that runs before a client's write is stored, before a document is
//! deleted, and when it is read.
//!
//! A hook is declared in `#[document(...)]` by the name of its trait, and gets the [`Context`]: it
//! may ask the outside system. Hooks run for requests of clients only, not for what the engine
//! itself writes with [`DocumentStore`](crate::document::DocumentStore).
//!
//! ```
//! use strongroom_sdk::document_hooks::{
//!     DeleteHook, DocumentDelete, DocumentWrite, ReadHook, WriteHook,
//! };
//! use strongroom_sdk::{BaseUrl, Context, Document, Error, Input, ResponseData, Secret};
//!
//! /// How to reach the service.
//! #[derive(Document)]
//! #[document(path = "config", WriteHook, ReadHook, DeleteHook)]
//! struct Config {
//!     /// Base URL of the service.
//!     #[field(required)]
//!     url: BaseUrl,
//!     /// API key of the service. Never shown.
//!     #[field(required)]
//!     api_key: Secret<String>,
//! }
//!
//! /// Fields of a write that aren't stored.
//! #[derive(Input)]
//! struct ConfigInput {
//!     /// Whether to call the service with these settings first.
//!     #[field(default = "true")]
//!     verify_connection: bool,
//! }
//!
//! impl WriteHook for Config {
//!     type Input = ConfigInput;
//!
//!     async fn before_write(
//!         &mut self,
//!         write: &mut DocumentWrite<'_, Self>,
//!         input: ConfigInput,
//!     ) -> Result<(), Error> {
//!         if !input.verify_connection {
//!             write.warn("the connection was not verified");
//!         } else if !service::accepts(self).await? {
//!             return Err(Error::user("the service rejects this API key"));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! /// Fields of a read that aren't stored.
//! #[derive(ResponseData)]
//! struct ConfigState {
//!     /// The version of the service.
//!     service_version: String,
//! }
//!
//! impl ReadHook for Config {
//!     type Computed = ConfigState;
//!
//!     async fn computed_fields(&self, _: &Context, _: &str) -> Result<ConfigState, Error> {
//!         Ok(ConfigState { service_version: service::version(self).await? })
//!     }
//! }
//!
//! impl DeleteHook for Config {
//!     async fn before_delete(&self, _: &mut DocumentDelete<'_>) -> Result<(), Error> {
//!         Err(Error::user("disable the mount instead"))
//!     }
//! }
//! # mod service {
//! #     use strongroom_sdk::{Document, Error};
//! #     pub async fn accepts(_: &impl Document) -> Result<bool, Error> { Ok(true) }
//! #     pub async fn version(_: &impl Document) -> Result<String, Error> { Ok("1".to_owned()) }
//! # }
//! ```
//!
//! A hook may also change [records](crate::records) in one batch with its document, such as an index
//! by which the document is found: see [`DocumentWrite::put_record`].

use bytes::Bytes;
use strongroom_engine::{DataResponse, EngineResponse};
use strongroom_schema::field::{FieldSpec, build_object};
use strongroom_types::{Fields, RawObject};

use crate::action::{Input, NeedsNoLease, ResponseData, read_input};
use crate::document::Document;
use crate::linked_records::LinkedRecords;
pub use crate::linked_records::SeenRecord;
use crate::password_change::check_password_policy;
use crate::records::RecordKey;
use crate::{Context, Error};

/// Code that runs before a client's write of a document is stored.
pub trait WriteHook: Document {
    /// Fields that a write takes beside those of the document, and that aren't stored; `()` for
    /// none.
    type Input: Input;

    /// Verifies the document as it would be stored, merged or replaced, and may change it or add
    /// warnings. [`Document::validate`] is called before and after. On hosts with atomic storage
    /// the hook runs again if somebody else wrote the document meanwhile, so what it does outside
    /// must be repeatable.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: nothing is stored, and the client receives it.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await; nothing is stored then.
    fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        input: Self::Input,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Code that runs before a client's delete of a document.
pub trait DeleteHook: Document {
    /// Refuses the delete, or does what must be done before. Not called if there is no such
    /// document. On hosts with atomic storage the hook runs again if somebody else wrote the document
    /// meanwhile, so what it does outside must be repeatable.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: nothing is deleted, and the client receives it.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await; nothing is deleted then.
    fn before_delete(
        &self,
        delete: &mut DocumentDelete<'_>,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Code that computes fields which a read shows beside those of the document.
pub trait ReadHook: Document {
    /// The computed fields. They can't be secrets that a document's reader may not see: everything
    /// in them is shown.
    type Computed: ResponseData;

    /// Computes the fields. `name` is the last capture of the path; empty if it has none.
    ///
    /// # Errors
    ///
    /// Any [`Error`] fails the read.
    fn computed_fields(
        &self,
        context: &Context,
        name: &str,
    ) -> impl Future<Output = Result<Self::Computed, Error>> + Send;
}

/// The hooks that a document declares. Written by the derive macro of [`Document`], also for
/// documents without hooks.
#[doc(hidden)]
pub trait DocumentHooks: Document {
    /// The fields that a write takes beside the stored ones: the input of the write hook.
    const HOOK_FIELDS: &'static [FieldSpec] = &[];
    /// Whether a write has to read the stored document as well, for its hook.
    const HAS_WRITE_HOOK: bool = false;
    /// Whether a delete has to load the document first, for its hook.
    const HAS_DELETE_HOOK: bool = false;

    /// Calls the [`WriteHook`], if the document declares one.
    fn run_write_hook(
        &mut self,
        _context: &Context,
        _name: &str,
        _stored: Option<&Self>,
        _given: &Fields,
    ) -> impl Future<Output = Result<WriteOutcome, Error>> + Send {
        std::future::ready(Ok(WriteOutcome::default()))
    }

    /// Calls the [`DeleteHook`], if the document declares one, and returns what it changes with the
    /// document.
    fn run_delete_hook(
        &self,
        _context: &Context,
        _name: &str,
    ) -> impl Future<Output = Result<WriteOutcome, Error>> + Send {
        std::future::ready(Ok(WriteOutcome::default()))
    }

    /// Calls the [`ReadHook`], if the document declares one, and returns its fields.
    fn run_read_hook(
        &self,
        _context: &Context,
        _name: &str,
    ) -> impl Future<Output = Result<Option<RawObject>, Error>> + Send {
        std::future::ready(Ok(None))
    }
}

/// The circumstances of a client's write.
#[derive(Debug)]
pub struct DocumentWrite<'a, D> {
    context: &'a Context,
    name: &'a str,
    stored: Option<&'a D>,
    outcome: WriteOutcome,
}

/// What a hook adds to a write or delete.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct WriteOutcome {
    pub(crate) answer: WriteAnswer,
    pub(crate) records: LinkedRecords,
}

/// What the client of a write receives: nothing (204), or data and warnings.
#[derive(Debug, Default)]
pub(crate) struct WriteAnswer {
    data: Option<RawObject>,
    warnings: Vec<String>,
}

impl WriteAnswer {
    /// Adds a warning to the client's response.
    pub(crate) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    pub(crate) fn into_engine_response(self) -> EngineResponse {
        let Self { data, warnings } = self;
        if data.is_none() && warnings.is_empty() {
            return EngineResponse::Nothing;
        }
        let data = DataResponse::new(data.unwrap_or_else(RawObject::null));
        EngineResponse::Data(DataResponse { warnings, ..data })
    }
}

impl<'a, D> DocumentWrite<'a, D> {
    pub(crate) fn new(context: &'a Context, name: &'a str, stored: Option<&'a D>) -> Self {
        Self { context, name, stored, outcome: WriteOutcome::default() }
    }

    /// The instance's services and the caller's details.
    pub fn context(&self) -> &'a Context {
        self.context
    }

    /// The last capture of the path, which names a document of a collection; empty if the path has
    /// none.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The document before the write; `None` if the write creates it.
    pub fn stored(&self) -> Option<&'a D> {
        self.stored
    }

    /// Adds a warning to the client's response. It must not contain secrets.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.outcome.answer.warnings.push(warning.into());
    }

    /// Sets the data of the client's response, which is empty otherwise. Data with a
    /// [`Secret`](crate::Secret) doesn't compile; see
    /// [`respond_with_unleased_secret`](Self::respond_with_unleased_secret).
    pub fn respond<T: ResponseData<Secrecy: NeedsNoLease>>(&mut self, answer: &T) {
        self.respond_with_unleased_secret(answer);
    }

    /// Sets the data of the client's response, with a secret for which there is no lease, such as a
    /// key that was generated for the document and that clients delete with it. The client that
    /// writes receives it, and nobody that reads the document.
    pub fn respond_with_unleased_secret(&mut self, answer: &impl ResponseData) {
        self.outcome.answer.data = Some(build_object(|out| answer.write(out)));
    }

    /// Refuses the write if a call to the outside system fails that is to show that the document's
    /// address and credentials can be used. Does nothing unless `is_wanted`, the value of the input
    /// `verify_connection`.
    ///
    /// # Errors
    ///
    /// A user error with the one of the call, which says how to store the document nevertheless.
    pub async fn verify_connection<T>(
        &self,
        is_wanted: bool,
        call: impl Future<Output = Result<T, impl Into<Error>>>,
    ) -> Result<(), Error> {
        if !is_wanted {
            return Ok(());
        }
        let refused = |error: Error| {
            Error::user(format!(
                "the connection can't be verified: {error}. Check the address, the credentials and \
                 what they permit, or set verify_connection=false"
            ))
        };
        call.await.map(drop).map_err(|error| refused(error.into()))
    }

    /// Refuses the write if the server has no password policy of this name, or it can't be used; an
    /// empty name is none. The message names the field `password_policy`.
    ///
    /// # Errors
    ///
    /// A user error that says why.
    pub async fn check_password_policy(&self, policy: &str) -> Result<(), Error> {
        check_password_policy(self.context, policy).await
    }

    /// Reads a record that may have to be changed together with the document.
    ///
    /// # Errors
    ///
    /// A storage error, for example if the entry is damaged.
    pub async fn read_record(&self, key: &RecordKey) -> Result<SeenRecord, Error> {
        SeenRecord::read(self.context.records(), key).await
    }

    /// Writes a record in one batch with the document: both are written or neither. If the record
    /// isn't as it was seen any more, the hook runs again.
    ///
    /// Hosts without batches write the record first; if the process dies in between, only the record
    /// is there. So an engine that finds a document by a record checks that the document agrees.
    ///
    /// ```
    /// # use strongroom_sdk::document_hooks::{DocumentWrite, WriteHook};
    /// # use strongroom_sdk::records::RecordKey;
    /// # use strongroom_sdk::{Document, Error};
    /// /// A machine, which is also found by its serial number.
    /// #[derive(Document)]
    /// #[document(path = "machines/{name}", WriteHook)]
    /// struct Machine {
    ///     /// The serial number.
    ///     #[field(required)]
    ///     serial: String,
    /// }
    ///
    /// impl WriteHook for Machine {
    ///     type Input = ();
    ///
    ///     async fn before_write(
    ///         &mut self,
    ///         write: &mut DocumentWrite<'_, Self>,
    ///         _: (),
    ///     ) -> Result<(), Error> {
    ///         let seen = write.read_record(&RecordKey::new("serial", &self.serial)).await?;
    ///         if seen.value().is_some_and(|name| name != write.name().as_bytes()) {
    ///             return Err(Error::user("another machine has this serial number"));
    ///         }
    ///         write.put_record(seen, write.name().as_bytes().to_vec());
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn put_record(&mut self, seen: SeenRecord, value: impl Into<Bytes>) {
        self.outcome.records.put(seen, value);
    }

    /// Removes a record in one batch with the write of the document; does nothing if there was none.
    /// If the record isn't as it was seen any more, the hook runs again. Hosts without batches remove
    /// it last.
    pub fn delete_record(&mut self, seen: SeenRecord) {
        self.outcome.records.delete(seen);
    }

    /// Requires that a record is still as it was seen when the document is changed. If it isn't, the
    /// hook runs again. Hosts without batches don't check it.
    pub fn require_unchanged(&mut self, seen: &SeenRecord) {
        self.outcome.records.require_unchanged(seen);
    }
}

/// The circumstances of a client's delete.
#[derive(Debug)]
pub struct DocumentDelete<'a> {
    context: &'a Context,
    name: &'a str,
    outcome: WriteOutcome,
}

impl<'a> DocumentDelete<'a> {
    /// The instance's services and the caller's details.
    pub fn context(&self) -> &'a Context {
        self.context
    }

    /// The last capture of the path, which names a document of a collection; empty if the path has
    /// none.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Adds a warning to the client's response. It must not contain secrets.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.outcome.answer.warnings.push(warning.into());
    }

    /// Reads a record that may have to be changed together with the delete.
    ///
    /// # Errors
    ///
    /// A storage error, for example if the entry is damaged.
    pub async fn read_record(&self, key: &RecordKey) -> Result<SeenRecord, Error> {
        SeenRecord::read(self.context.records(), key).await
    }

    /// Writes a record in one batch with the delete of the document, for example a note of what is
    /// left to be cleaned up. If the record isn't as it was seen any more, the hook runs again. Hosts
    /// without batches write it first.
    pub fn put_record(&mut self, seen: SeenRecord, value: impl Into<Bytes>) {
        self.outcome.records.put(seen, value);
    }

    /// Removes a record in one batch with the document; does nothing if there was none. If the record
    /// isn't as it was seen any more, the hook runs again. Hosts without batches remove it last.
    pub fn delete_record(&mut self, seen: SeenRecord) {
        self.outcome.records.delete(seen);
    }

    /// Requires that a record is still as it was seen when the document is changed. If it isn't, the
    /// hook runs again. Hosts without batches don't check it.
    pub fn require_unchanged(&mut self, seen: &SeenRecord) {
        self.outcome.records.require_unchanged(seen);
    }
}

/// The fields of [`WriteHook::Input`], for derived code.
#[doc(hidden)]
pub const fn write_hook_fields<D: WriteHook>() -> &'static [FieldSpec] {
    D::Input::FIELDS
}

/// Reads the input of a write hook and runs it, for derived code.
#[doc(hidden)]
pub async fn run_write_hook<D: WriteHook>(
    document: &mut D,
    context: &Context,
    name: &str,
    stored: Option<&D>,
    given: &Fields,
) -> Result<WriteOutcome, Error> {
    let input = read_input(given)?;
    let mut write = DocumentWrite::new(context, name, stored);
    document.before_write(&mut write, input).await?;
    Ok(write.outcome)
}

/// Runs a delete hook, for derived code.
#[doc(hidden)]
pub async fn run_delete_hook<D: DeleteHook>(
    document: &D,
    context: &Context,
    name: &str,
) -> Result<WriteOutcome, Error> {
    let mut delete = DocumentDelete { context, name, outcome: WriteOutcome::default() };
    document.before_delete(&mut delete).await?;
    Ok(delete.outcome)
}

/// Runs a read hook and returns its fields, for derived code.
#[doc(hidden)]
pub async fn run_read_hook<D: ReadHook>(
    document: &D,
    context: &Context,
    name: &str,
) -> Result<Option<RawObject>, Error> {
    let computed = document.computed_fields(context, name).await?;
    Ok(Some(build_object(|out| computed.write(out))))
}
