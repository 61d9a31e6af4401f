//! Actions: paths that do something else than keep a document or issue a credential.
//!
//! ```
//! use strongroom_sdk::{ResponseData, Blueprint, Context, Error, Input, Response};
//!
//! /// What to greet.
//! #[derive(Input)]
//! struct Who {
//!     /// A name; taken from the path.
//!     name: String,
//! }
//!
//! #[derive(ResponseData)]
//! struct Greeting {
//!     greeting: String,
//! }
//!
//! async fn greet(_: Context, who: Who) -> Result<Response, Error> {
//!     Ok(Response::data(&Greeting { greeting: format!("hello, {}", who.name) }))
//! }
//!
//! let blueprint = Blueprint::new("greeter", "1.0.0").read("greet/{name}", "Greets.", greet);
//! # drop(blueprint);
//! ```

use std::marker::PhantomData;

use async_trait::async_trait;
use strongroom_types::{Fields, RawObject};

use crate::engine::{DataResponse, EngineError, EngineResponse, Operation, RawResponse};
use crate::field::{FieldSpec, InvalidInput, ObjectWriter};
use crate::{Context, Error};

/// What a client sends to an action. Derive it; captures of the path are fields like the others.
pub trait Input: Sized + Send + 'static {
    /// Its fields.
    const FIELDS: &'static [FieldSpec];

    /// Reads what the client sent.
    fn from_fields(fields: &Fields) -> Result<Self, InvalidInput>;

    /// Reads each field's default; see [`Document`](crate::Document).
    #[doc(hidden)]
    fn check_defaults() -> Result<(), InvalidInput> {
        Ok(())
    }
}

/// No input at all.
impl Input for () {
    const FIELDS: &'static [FieldSpec] = &[];

    fn from_fields(_: &Fields) -> Result<Self, InvalidInput> {
        Ok(())
    }
}

/// What a client gets. Derive it.
pub trait ResponseData: Send + 'static {
    /// Its fields.
    const FIELDS: &'static [FieldSpec];

    /// Writes it, secrets included.
    fn write(&self, out: &mut ObjectWriter);
}

/// How an action ends when nothing went wrong. A credential can't be given this way: it needs a
/// [`crate::Credential`], which knows how to take it back.
#[derive(Debug)]
pub struct Response(ResponseKind);

#[derive(Debug)]
enum ResponseKind {
    NotFound,
    NoContent,
    Data(RawObject, Vec<String>),
    NotFoundWithData(RawObject, Vec<String>),
    Raw(RawResponse),
}

impl Response {
    /// What the path names isn't there (404).
    pub fn not_found() -> Self {
        Self(ResponseKind::NotFound)
    }

    /// Done, with nothing to say (204).
    pub fn no_content() -> Self {
        Self(ResponseKind::NoContent)
    }

    /// Data (200).
    pub fn data(answer: &impl ResponseData) -> Self {
        let mut out = ObjectWriter::new();
        answer.write(&mut out);
        Self(ResponseKind::Data(out.into_object(), Vec::new()))
    }

    /// What the path names isn't there any more, and this is known of it (404, with data).
    pub fn not_found_with_data(answer: &impl ResponseData) -> Self {
        let mut out = ObjectWriter::new();
        answer.write(&mut out);
        Self(ResponseKind::NotFoundWithData(out.into_object(), Vec::new()))
    }

    /// Names, sorted by the caller, as lists answer them. None is "not found", as in Vault.
    pub fn keys(names: &[String]) -> Self {
        if names.is_empty() {
            return Self::not_found();
        }
        let mut fields = Fields::new();
        fields.set("keys", &names);
        Self(ResponseKind::Data(fields.to_object(), Vec::new()))
    }

    /// A complete HTTP answer outside the usual envelope.
    pub fn raw(raw: RawResponse) -> Self {
        Self(ResponseKind::Raw(raw))
    }

    /// Adds a warning for the client to an answer with data.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        if let ResponseKind::Data(_, warnings) | ResponseKind::NotFoundWithData(_, warnings) =
            &mut self.0
        {
            warnings.push(warning.into());
        }
        self
    }

    pub(crate) fn into_engine_response(self, operation: Operation) -> EngineResponse {
        match self.0 {
            ResponseKind::NoContent if operation.is_read() => empty_response(204),
            ResponseKind::NotFound if !operation.is_read() => empty_response(404),
            ResponseKind::NoContent | ResponseKind::NotFound => EngineResponse::Nothing,
            ResponseKind::Data(object, warnings) => {
                EngineResponse::Data(DataResponse { warnings, ..DataResponse::new(object) })
            }
            ResponseKind::NotFoundWithData(object, warnings) => {
                EngineResponse::NotFound(DataResponse { warnings, ..DataResponse::new(object) })
            }
            ResponseKind::Raw(raw) => EngineResponse::Raw(raw),
        }
    }
}

/// An answer that the plain "nothing" would not say for this operation.
fn empty_response(status: u16) -> EngineResponse {
    let content_type = if status == 204 { "" } else { "application/json" };
    EngineResponse::Raw(RawResponse {
        status,
        content_type: content_type.to_owned(),
        body: Vec::new(),
        headers: std::collections::BTreeMap::new(),
    })
}

/// An action behind a path, its types forgotten.
#[async_trait]
pub(crate) trait ErasedAction: Send + Sync {
    fn fields(&self) -> &'static [FieldSpec];
    fn check_defaults(&self) -> Result<(), InvalidInput>;
    async fn handle(
        &self,
        context: Context,
        operation: Operation,
        fields: &Fields,
    ) -> Result<EngineResponse, EngineError>;
}

/// An async function with its input type.
pub(crate) struct ActionHandler<I, F> {
    function: F,
    input: PhantomData<fn() -> I>,
}

impl<I, F> ActionHandler<I, F> {
    pub(crate) fn new(function: F) -> Self {
        Self { function, input: PhantomData }
    }
}

#[async_trait]
impl<I, F, Fut> ErasedAction for ActionHandler<I, F>
where
    I: Input,
    F: Fn(Context, I) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Response, Error>> + Send,
{
    fn fields(&self) -> &'static [FieldSpec] {
        I::FIELDS
    }

    fn check_defaults(&self) -> Result<(), InvalidInput> {
        I::check_defaults()
    }

    async fn handle(
        &self,
        context: Context,
        operation: Operation,
        fields: &Fields,
    ) -> Result<EngineResponse, EngineError> {
        let input = I::from_fields(fields).map_err(|error| EngineError::user(error.to_string()))?;
        Ok((self.function)(context, input).await?.into_engine_response(operation))
    }
}
