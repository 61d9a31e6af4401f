//! Hooks of a [`Document`]: code that runs before a client's write is stored, before a document is
//! deleted, and when it is read.
//!
//! A hook is declared in `#[document(...)]` by the name of its trait, and gets the [`Context`]: it
//! may ask the outside system. Hooks run for requests of clients only, not for what the engine
//! itself writes with [`DocumentStore`](crate::document::DocumentStore).
//!
//! ```
//! use strongroom_sdk::document_hooks::{DeleteHook, DocumentWrite, ReadHook, WriteHook};
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
//!     async fn before_delete(&self, _: &Context, _: &str) -> Result<(), Error> {
//!         Err(Error::user("disable the mount instead"))
//!     }
//! }
//! # mod service {
//! #     use strongroom_sdk::{Document, Error};
//! #     pub async fn accepts(_: &impl Document) -> Result<bool, Error> { Ok(true) }
//! #     pub async fn version(_: &impl Document) -> Result<String, Error> { Ok("1".to_owned()) }
//! # }
//! ```

use strongroom_schema::field::{FieldSpec, build_object};
use strongroom_types::{Fields, RawObject};

use crate::action::{Input, ResponseData};
use crate::document::Document;
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
    /// Refuses the delete, or does what must be done before. `name` is the last capture of the
    /// path; empty if it has none. Not called if there is no such document.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: nothing is deleted, and the client receives it.
    fn before_delete(
        &self,
        context: &Context,
        name: &str,
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

    /// Calls the [`WriteHook`], if the document declares one, and returns its warnings.
    fn run_write_hook(
        &mut self,
        _context: &Context,
        _name: &str,
        _stored: Option<&Self>,
        _given: &Fields,
    ) -> impl Future<Output = Result<Vec<String>, Error>> + Send {
        std::future::ready(Ok(Vec::new()))
    }

    /// Calls the [`DeleteHook`], if the document declares one.
    fn run_delete_hook(
        &self,
        _context: &Context,
        _name: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        std::future::ready(Ok(()))
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
    warnings: Vec<String>,
}

impl<'a, D> DocumentWrite<'a, D> {
    pub(crate) fn new(context: &'a Context, name: &'a str, stored: Option<&'a D>) -> Self {
        Self { context, name, stored, warnings: Vec::new() }
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
        self.warnings.push(warning.into());
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
) -> Result<Vec<String>, Error> {
    let input = D::Input::from_fields(given).map_err(|error| Error::user(error.to_string()))?;
    let mut write = DocumentWrite::new(context, name, stored);
    document.before_write(&mut write, input).await?;
    Ok(write.warnings)
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
