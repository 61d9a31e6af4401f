//! Actions: paths that do something else than keep a document or issue a credential.
//!
//! ```
//! use strongroom_sdk::{Answer, Blueprint, Context, Error, Input, Reply};
//!
//! /// What to greet.
//! #[derive(Input)]
//! struct Who {
//!     /// A name; taken from the path.
//!     name: String,
//! }
//!
//! #[derive(Answer)]
//! struct Greeting {
//!     greeting: String,
//! }
//!
//! async fn greet(_: Context, who: Who) -> Result<Reply, Error> {
//!     Ok(Reply::data(&Greeting { greeting: format!("hello, {}", who.name) }))
//! }
//!
//! let blueprint = Blueprint::new("greeter", "1.0.0").read("greet/{name}", "Greets.", greet);
//! # drop(blueprint);
//! ```

use std::marker::PhantomData;

use async_trait::async_trait;
use strongroom_types::{Fields, RawObject};

use crate::engine::{Data, EngineError, Operation, Raw, Response};
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
pub trait Answer: Send + 'static {
    /// Its fields.
    const FIELDS: &'static [FieldSpec];

    /// Writes it, secrets included.
    fn write(&self, out: &mut ObjectWriter);
}

/// How an action ends when nothing went wrong. A credential can't be given this way: it needs a
/// [`crate::Credential`], which knows how to take it back.
#[derive(Debug)]
pub struct Reply(ReplyKind);

#[derive(Debug)]
enum ReplyKind {
    NotFound,
    NoContent,
    Data(RawObject, Vec<String>),
    Missing(RawObject, Vec<String>),
    Raw(Raw),
}

impl Reply {
    /// What the path names isn't there (404).
    pub fn not_found() -> Self {
        Self(ReplyKind::NotFound)
    }

    /// Done, with nothing to say (204).
    pub fn no_content() -> Self {
        Self(ReplyKind::NoContent)
    }

    /// Data (200).
    pub fn data(answer: &impl Answer) -> Self {
        let mut out = ObjectWriter::new();
        answer.write(&mut out);
        Self(ReplyKind::Data(out.finish(), Vec::new()))
    }

    /// What the path names isn't there any more, and this is known of it (404, with data).
    pub fn gone(answer: &impl Answer) -> Self {
        let mut out = ObjectWriter::new();
        answer.write(&mut out);
        Self(ReplyKind::Missing(out.finish(), Vec::new()))
    }

    /// Names, sorted by the caller, as lists answer them. None is "not found", as in Vault.
    pub fn keys(names: &[String]) -> Self {
        if names.is_empty() {
            return Self::not_found();
        }
        let mut fields = Fields::new();
        fields.set("keys", &names);
        Self(ReplyKind::Data(fields.to_object(), Vec::new()))
    }

    /// A complete HTTP answer outside the usual envelope.
    pub fn raw(raw: Raw) -> Self {
        Self(ReplyKind::Raw(raw))
    }

    /// Adds a warning for the client to an answer with data.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        if let ReplyKind::Data(_, warnings) | ReplyKind::Missing(_, warnings) = &mut self.0 {
            warnings.push(warning.into());
        }
        self
    }

    pub(crate) fn into_response(self, operation: Operation) -> Response {
        match self.0 {
            ReplyKind::NoContent if operation.is_read() => status_only(204),
            ReplyKind::NotFound if !operation.is_read() => status_only(404),
            ReplyKind::NoContent | ReplyKind::NotFound => Response::Nothing,
            ReplyKind::Data(object, warnings) => {
                Response::Data(Data { warnings, ..Data::new(object) })
            }
            ReplyKind::Missing(object, warnings) => {
                Response::Missing(Data { warnings, ..Data::new(object) })
            }
            ReplyKind::Raw(raw) => Response::Raw(raw),
        }
    }
}

/// An answer that the plain "nothing" would not say for this operation.
fn status_only(status: u16) -> Response {
    let content_type = if status == 204 { "" } else { "application/json" };
    Response::Raw(Raw {
        status,
        content_type: content_type.to_owned(),
        body: Vec::new(),
        headers: std::collections::BTreeMap::new(),
    })
}

/// An action behind a path, its types forgotten.
#[async_trait]
pub(crate) trait ActionPath: Send + Sync {
    fn fields(&self) -> &'static [FieldSpec];
    fn check_defaults(&self) -> Result<(), InvalidInput>;
    async fn run(
        &self,
        context: Context,
        operation: Operation,
        fields: &Fields,
    ) -> Result<Response, EngineError>;
}

/// An async function with its input type.
pub(crate) struct Handler<I, F> {
    function: F,
    input: PhantomData<fn() -> I>,
}

impl<I, F> Handler<I, F> {
    pub(crate) fn new(function: F) -> Self {
        Self { function, input: PhantomData }
    }
}

#[async_trait]
impl<I, F, Fut> ActionPath for Handler<I, F>
where
    I: Input,
    F: Fn(Context, I) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Reply, Error>> + Send,
{
    fn fields(&self) -> &'static [FieldSpec] {
        I::FIELDS
    }

    fn check_defaults(&self) -> Result<(), InvalidInput> {
        I::check_defaults()
    }

    async fn run(
        &self,
        context: Context,
        operation: Operation,
        fields: &Fields,
    ) -> Result<Response, EngineError> {
        let input = I::from_fields(fields).map_err(|error| EngineError::user(error.to_string()))?;
        Ok((self.function)(context, input).await?.into_response(operation))
    }
}
