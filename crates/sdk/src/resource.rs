//! [`Resource`]: objects at a path that an engine stores in its own way.
//!
//! An object that can be created needs an existence check; without one policies can't distinguish
//! `create` from `update`. A [`Document`](crate::Document) has one built in. A resource is
//! constructed from one, so it can't be forgotten:
//!
//! ```
//! # use strongroom_sdk::{Blueprint, Context, Error, Input, Listing, Response, Resource};
//! # use strongroom_sdk::records::RecordKey;
//! /// Which note.
//! #[derive(Input)]
//! struct Named {
//!     /// Its name; taken from the path.
//!     name: String,
//! }
//!
//! async fn exists(context: Context, name: String) -> Result<bool, Error> {
//!     Ok(context.records().get(&RecordKey::new("note", &name)).await?.is_some())
//! }
//!
//! async fn list(context: Context, listing: Listing) -> Result<Response, Error> {
//!     let Listing { folder, after, limit } = listing;
//!     let names = context.records().list("note", &folder, after.as_deref(), limit).await?;
//!     Ok(Response::keys(&names))
//! }
//! # async fn write(_: Context, _: Named) -> Result<Response, Error> { Ok(Response::no_content()) }
//!
//! let notes = Resource::new(exists).write(write).list(list);
//! let blueprint = Blueprint::new("notes", "1.0.0").resource("notes/{name..}", "A note.", notes);
//! # drop(blueprint);
//! ```

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_engine::{EngineError, EngineResponse, Operation};
use strongroom_schema::field::{Field, FieldSpec, InvalidInput};
use strongroom_types::Fields;

use crate::action::{ActionHandler, ErasedAction, Input, Response, read_input};
use crate::{Context, Error};

/// The actions of a path with an existence check. Operations without an action are unsupported.
#[derive(Clone)]
pub struct Resource(pub(crate) RouteActions);

/// The actions of one path, one per operation.
#[derive(Clone, Default)]
pub(crate) struct RouteActions {
    pub(crate) exists: Option<Arc<dyn ErasedExistenceCheck>>,
    pub(crate) read: Option<Arc<dyn ErasedAction>>,
    pub(crate) write: Option<Arc<dyn ErasedAction>>,
    /// Whether `write` gets the request's body unparsed.
    pub(crate) takes_raw_body: bool,
    pub(crate) patch: Option<Arc<dyn ErasedAction>>,
    pub(crate) delete: Option<Arc<dyn ErasedAction>>,
    pub(crate) list: Option<Arc<dyn ErasedListAction>>,
    /// The action for lists of the path itself, not of the folder that its last capture is in.
    pub(crate) list_here: Option<Arc<dyn ErasedAction>>,
}

/// The parameters of a list request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The listed folder, relative to the declared path: empty, or ending in a slash.
    pub folder: String,
    /// Return only names that sort after this one.
    pub after: Option<String>,
    /// The maximum number of names to return.
    pub limit: usize,
}

/// The maximum number of names in one response, also if the request sets no limit.
const LIST_LIMIT: usize = 1_000_000;

impl Listing {
    /// Parses `after` and `limit` of a list request. A limit of zero or less means no limit.
    pub(crate) fn read(folder: &str, fields: &Fields) -> Result<Self, EngineError> {
        let limit = match fields.get("limit").filter(|raw| raw.get() != "null") {
            None => 0,
            Some(raw) => i64::read(raw).map_err(|reason| {
                let field = "limit";
                EngineError::user(InvalidInput::Invalid { field, reason }.to_string())
            })?,
        };
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
        Ok(Self {
            folder: folder.to_owned(),
            after: fields.text("after").filter(|after| !after.is_empty()),
            limit: limit.unwrap_or(LIST_LIMIT).min(LIST_LIMIT),
        })
    }
}

impl Resource {
    /// A resource with this existence check. The function receives the value of the path's first
    /// capture and returns whether an object of that name exists.
    pub fn new<F, Fut>(exists: F) -> Self
    where
        F: Fn(Context, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, Error>> + Send + 'static,
    {
        Self(RouteActions {
            exists: Some(Arc::new(ExistenceHandler(exists))),
            ..RouteActions::default()
        })
    }

    /// Sets the action for reads.
    #[must_use]
    pub fn read<I, F, Fut>(mut self, action: F) -> Self
    where
        I: Input,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        self.0.read = Some(Arc::new(ActionHandler::new(action)));
        self
    }

    /// Sets the action for writes. They need the `create` or `update` capability, as the existence
    /// check decides.
    #[must_use]
    pub fn write<I, F, Fut>(mut self, action: F) -> Self
    where
        I: Input,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        self.0.write = Some(Arc::new(ActionHandler::new(action)));
        self
    }

    /// Sets the action for patches: fields that are sent replace the stored ones, and `null`
    /// removes one (see [`NullableField`](crate::NullableField)).
    #[must_use]
    pub fn patch<I, F, Fut>(mut self, action: F) -> Self
    where
        I: Input,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        self.0.patch = Some(Arc::new(ActionHandler::new(action)));
        self
    }

    /// Sets the action for deletes.
    #[must_use]
    pub fn delete<I, F, Fut>(mut self, action: F) -> Self
    where
        I: Input,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        self.0.delete = Some(Arc::new(ActionHandler::new(action)));
        self
    }

    /// Sets the action for lists of the path's folder and of the folders below it.
    #[must_use]
    pub fn list<F, Fut>(mut self, action: F) -> Self
    where
        F: Fn(Context, Listing) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Error>> + Send + 'static,
    {
        self.0.list = Some(Arc::new(ListHandler(action)));
        self
    }
}

impl RouteActions {
    /// The declared fields of all actions, each name once.
    pub(crate) fn all_fields(&self) -> Vec<&'static FieldSpec> {
        let all = self.all_actions();
        let mut fields: Vec<&'static FieldSpec> = Vec::new();
        for spec in all.flat_map(|action| action.fields()) {
            if !fields.iter().any(|known| known.name == spec.name) {
                fields.push(spec);
            }
        }
        fields
    }

    /// Parses the defaults of all actions' fields.
    pub(crate) fn check_defaults(&self) -> Result<(), InvalidInput> {
        self.all_actions().try_for_each(|action| action.check_defaults())
    }

    fn all_actions(&self) -> impl Iterator<Item = &Arc<dyn ErasedAction>> {
        let all = [&self.read, &self.write, &self.patch, &self.delete, &self.list_here];
        all.into_iter().flatten()
    }

    /// The action for an operation, if there is one.
    pub(crate) fn for_operation(&self, operation: Operation) -> Option<&Arc<dyn ErasedAction>> {
        match operation {
            Operation::Read => self.read.as_ref(),
            Operation::Create | Operation::Update => self.write.as_ref(),
            Operation::Patch => self.patch.as_ref(),
            Operation::Delete => self.delete.as_ref(),
            _ => None,
        }
    }
}

/// An existence check with its type erased.
#[async_trait]
pub(crate) trait ErasedExistenceCheck: Send + Sync {
    async fn exists(&self, context: Context, name: String) -> Result<bool, EngineError>;
}

struct ExistenceHandler<F>(F);

#[async_trait]
impl<F, Fut> ErasedExistenceCheck for ExistenceHandler<F>
where
    F: Fn(Context, String) -> Fut + Send + Sync,
    Fut: Future<Output = Result<bool, Error>> + Send,
{
    async fn exists(&self, context: Context, name: String) -> Result<bool, EngineError> {
        Ok((self.0)(context, name).await?)
    }
}

/// A list action with its type erased.
#[async_trait]
pub(crate) trait ErasedListAction: Send + Sync {
    async fn list(&self, context: Context, listing: Listing)
    -> Result<EngineResponse, EngineError>;
}

pub(crate) struct ListHandler<F>(pub(crate) F);

#[async_trait]
impl<F, Fut> ErasedListAction for ListHandler<F>
where
    F: Fn(Context, Listing) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Response, Error>> + Send,
{
    async fn list(
        &self,
        context: Context,
        listing: Listing,
    ) -> Result<EngineResponse, EngineError> {
        (self.0)(context, listing).await?.into_engine_response(Operation::List)
    }
}

/// A list action of a path with captures, which are its input.
pub(crate) struct ListHereHandler<I, F> {
    function: F,
    input: PhantomData<fn() -> I>,
}

impl<I, F> ListHereHandler<I, F> {
    pub(crate) fn new(function: F) -> Self {
        Self { function, input: PhantomData }
    }
}

#[async_trait]
impl<I, F, Fut> ErasedAction for ListHereHandler<I, F>
where
    I: Input,
    F: Fn(Context, I, Listing) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Response, Error>> + Send,
{
    fn fields(&self) -> Vec<&'static FieldSpec> {
        I::FIELDS.iter().collect()
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
        let listing = Listing::read("", fields)?;
        let input = read_input(fields)?;
        (self.function)(context, input, listing).await?.into_engine_response(operation)
    }
}
