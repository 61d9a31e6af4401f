//! Actions: paths that do something other than storing a document or issuing a credential.
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
use strongroom_engine::{
    DataResponse, EngineError, EngineResponse, Operation, RawRequestBody, RawResponse,
    RedirectTarget,
};
use strongroom_schema::field::{FieldSpec, InvalidInput, ObjectWriter, build_object};
#[doc(inline)]
pub use strongroom_schema::input::Input;
use strongroom_types::{Fields, Ttl};

use crate::{CommaList, Context, Error};

/// The `data` of an action's or a credential's response. Derive it.
pub trait ResponseData: Send + 'static {
    /// The declared fields, in the order in which they are written.
    const FIELDS: &'static [FieldSpec];

    /// Whether a field is a [`Secret`](crate::Secret): [`WithSecrets`] or [`WithoutSecrets`].
    type Secrecy: 'static;

    /// Writes all fields, including secrets.
    fn write(&self, out: &mut ObjectWriter);
}

/// The [`ResponseData::Secrecy`] of a response without secrets.
#[derive(Debug)]
pub struct WithoutSecrets;

/// The [`ResponseData::Secrecy`] of a response with at least one field that is a
/// [`Secret`](crate::Secret). A credential returns it with a lease, which revokes it;
/// [`Response::unleased_secret`] says that there is none.
#[derive(Debug)]
pub struct WithSecrets;

/// The secrecy of responses that need no lease: that of [`WithoutSecrets`].
#[diagnostic::on_unimplemented(
    message = "this response contains a secret, and nothing revokes it",
    label = "a secret without a lease",
    note = "issue it by a `Credential`, whose lease revokes it",
    note = "or call `Response::unleased_secret` if it belongs to no lease, as a password that the \
            engine rotates itself"
)]
pub trait NeedsNoLease {}

impl NeedsNoLease for WithoutSecrets {}

/// The result of a successful action. It can't carry a lease: that takes a [`crate::Credential`],
/// which can also revoke what it issued.
#[derive(Debug)]
pub struct Response {
    kind: ResponseKind,
    /// The lifetime of the wrapping token, if the response is to be wrapped.
    wrap_ttl: Option<Ttl>,
}

#[derive(Debug)]
enum ResponseKind {
    NotFound,
    NoContent,
    Data(DataResponse),
    NotFoundWithData(DataResponse),
    Raw(RawResponse),
    Redirect(RedirectTarget),
}

impl Response {
    fn of_kind(kind: ResponseKind) -> Self {
        Self { kind, wrap_ttl: None }
    }

    /// 404: the object that the path names doesn't exist.
    pub fn not_found() -> Self {
        Self::of_kind(ResponseKind::NotFound)
    }

    /// 204: the action succeeded and returns no data.
    pub fn no_content() -> Self {
        Self::of_kind(ResponseKind::NoContent)
    }

    /// A response with data: 200, with warnings if [`warn`](Self::warn) adds any.
    /// Data with a [`Secret`](crate::Secret) doesn't compile; see
    /// [`unleased_secret`](Self::unleased_secret).
    pub fn data<T: ResponseData<Secrecy: NeedsNoLease>>(answer: &T) -> Self {
        Self::unleased_secret(answer)
    }

    /// A response with data that contains a secret for which there is no lease: nothing revokes it
    /// when the client's token ends. Use it for a secret that the engine rotates itself, or that
    /// clients delete by a request of their own. For others declare a
    /// [`Credential`](crate::Credential).
    pub fn unleased_secret(answer: &impl ResponseData) -> Self {
        Self::of_kind(ResponseKind::Data(DataResponse::new(build_object(|out| answer.write(out)))))
    }

    /// 404 with data: the object no longer exists, but there is something to report about it.
    pub fn not_found_with_data(answer: &impl ResponseData) -> Self {
        let object = build_object(|out| answer.write(out));
        Self::of_kind(ResponseKind::NotFoundWithData(DataResponse::new(object)))
    }

    /// The response to a list: the given names, which the caller has sorted. An empty list is 404,
    /// as in Vault.
    pub fn keys(names: &[String]) -> Self {
        if names.is_empty() {
            return Self::not_found();
        }
        let mut fields = Fields::new();
        fields.set("keys", &names);
        Self::of_kind(ResponseKind::Data(DataResponse::new(fields.to_object())))
    }

    /// The response to a list with details: `keys`, and beside it `key_info` with an object for each
    /// name that has data, if any has; folders usually have none. The caller has sorted the names.
    /// An empty list is 404, as in Vault.
    ///
    /// ```
    /// use strongroom_sdk::{Response, ResponseData};
    ///
    /// #[derive(ResponseData)]
    /// struct IssuerInfo {
    ///     issuer_name: String,
    /// }
    ///
    /// let info = IssuerInfo { issuer_name: "root".to_owned() };
    /// let entries = [("1f2e".to_owned(), Some(info)), ("old/".to_owned(), None)];
    /// let response = Response::keys_with_info(&entries);
    /// # drop(response);
    /// ```
    pub fn keys_with_info<T: ResponseData<Secrecy: NeedsNoLease>>(
        entries: &[(String, Option<T>)],
    ) -> Self {
        if entries.is_empty() {
            return Self::not_found();
        }
        let names = entries.iter().map(|(name, _)| name.clone()).collect();
        let object = build_object(|out| {
            out.field("keys", &CommaList(names));
            let mut infos = entries.iter().filter_map(|(name, info)| Some((name, info.as_ref()?)));
            if let Some(first) = infos.next() {
                out.write_object("key_info", |out| {
                    for (name, info) in std::iter::once(first).chain(infos) {
                        out.write_object(name, |out| info.write(out));
                    }
                });
            }
        });
        Self::from_data(DataResponse::new(object))
    }

    pub(crate) fn from_data(data: DataResponse) -> Self {
        Self::of_kind(ResponseKind::Data(data))
    }

    /// 202 with a warning: the request was accepted, and the work goes on in the background.
    pub fn accepted(context: &Context, warning: impl Into<String>) -> Self {
        // Servers offer engines no other way to choose the status of a success, so the engine writes
        // the envelope itself, as engines in Go do.
        let mut envelope = Fields::new();
        envelope.set("request_id", &context.request_id());
        envelope.set("lease_id", &"");
        envelope.set("renewable", &false);
        envelope.set("lease_duration", &0);
        for name in ["data", "wrap_info", "auth"] {
            envelope.set(name, &());
        }
        envelope.set("warnings", &[warning.into()]);
        Self::raw(RawResponse {
            status: 202,
            content_type: "application/json".to_owned(),
            body: envelope.to_object().into_bytes().to_vec(),
            headers: std::collections::BTreeMap::new(),
        })
    }

    /// 404 with a message in `data.error`, as some of Vault's engines answer. It must not contain
    /// secrets. Usually [`Error::not_found`] is right.
    pub fn not_found_with_error(message: impl Into<String>) -> Self {
        let mut data = Fields::new();
        data.set("error", &message.into());
        Self::of_kind(ResponseKind::NotFoundWithData(DataResponse::new(data.to_object())))
    }

    /// A complete HTTP response outside the usual envelope.
    pub fn raw(raw: RawResponse) -> Self {
        Self::of_kind(ResponseKind::Raw(raw))
    }

    /// 307: sends the client to another URL, which has to be absolute with the scheme `http` or
    /// `https`, to contain only characters that RFC 3986 permits in URLs, and to have at most 4096
    /// bytes.
    ///
    /// The client repeats the request there with the same method and body, and many clients send
    /// their headers along, the one with the token included. So redirect only to systems that the
    /// operator configured, or on an [unauthenticated](crate::Blueprint::unauthenticated) path.
    /// Strongroom refuses the redirect of a plug-in with 500 if the request has a token. If
    /// the client asks for response wrapping, Strongroom refuses the response with 400, since a
    /// wrapped redirect could not be followed.
    ///
    /// # Errors
    ///
    /// A user error, without the URL, if it isn't one that clients can be redirected to.
    ///
    /// # Examples
    ///
    /// ```
    /// use strongroom_sdk::{BaseUrl, Context, Document, Error, Response};
    ///
    /// /// The identity provider.
    /// #[derive(Document)]
    /// #[document(path = "config")]
    /// struct Config {
    ///     /// Base URL of the provider.
    ///     #[field(required)]
    ///     provider: BaseUrl,
    /// }
    ///
    /// async fn begin(context: Context, (): ()) -> Result<Response, Error> {
    ///     let config = context.config::<Config>().await?;
    ///     Response::redirect(config.provider.join("/authorize?response_type=code"))
    /// }
    /// # let _ = begin;
    /// ```
    pub fn redirect(url: impl Into<String>) -> Result<Self, Error> {
        let target = RedirectTarget::parse(url);
        let target = target.map_err(|error| Error::user(error.to_string()))?;
        Ok(Self::of_kind(ResponseKind::Redirect(target)))
    }

    /// Adds a warning for the client. Only responses with data can carry one; others ignore it.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        if let ResponseKind::Data(data) | ResponseKind::NotFoundWithData(data) = &mut self.kind {
            data.warnings.push(warning.into());
        }
        self
    }

    /// Adds a value of a response header. Clients receive it only if the mount allows the header
    /// (`allowed_response_headers`); headers that belong to the connection or to the server can't be
    /// allowed. Responses without content and redirects ignore it; with status 404 a plug-in's headers
    /// are lost. A [raw](Self::raw) response has one value of each header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        match &mut self.kind {
            ResponseKind::Data(data) | ResponseKind::NotFoundWithData(data) => {
                data.headers.entry(name.to_owned()).or_default().push(value.into());
            }
            ResponseKind::Raw(raw) => {
                raw.headers.insert(name.to_ascii_lowercase(), value.into());
            }
            ResponseKind::NotFound | ResponseKind::NoContent | ResponseKind::Redirect(_) => {}
        }
        self
    }

    /// Has the server wrap the response: the client gets a wrapping token of this lifetime, with which
    /// it or somebody else gets the response, once. If the client asked for wrapping too, the shorter
    /// lifetime counts; the mount's and the server's maximum lifetimes limit it. A response without
    /// content isn't wrapped. On an unauthenticated path Strongroom wraps only logins, and answers 400
    /// otherwise. To wrap a part of the response, see [`Context::wrap_data`].
    ///
    /// The request fails with an internal error if the lifetime is zero, or the response is
    /// [raw](Self::raw), a [redirect](Self::redirect) or a 404 with data, rather than going out
    /// unwrapped.
    ///
    /// ```
    /// # use strongroom_sdk::{Response, ResponseData, Secret, Ttl};
    /// #[derive(ResponseData)]
    /// struct BootstrapResponse {
    ///     bootstrap_key: Secret<String>,
    /// }
    ///
    /// let answer = BootstrapResponse { bootstrap_key: Secret::from_text("k-1") };
    /// let response = Response::unleased_secret(&answer).wrapped(Ttl::from_secs(300));
    /// # drop(response);
    /// ```
    #[must_use]
    pub fn wrapped(mut self, ttl: Ttl) -> Self {
        self.wrap_ttl = Some(ttl);
        self
    }

    pub(crate) fn into_engine_response(
        mut self,
        operation: Operation,
    ) -> Result<EngineResponse, EngineError> {
        if let Some(ttl) = self.wrap_ttl {
            match &mut self.kind {
                ResponseKind::Data(data) => {
                    data.wrap_ttl = Some(checked_wrap_ttl(ttl)?);
                }
                ResponseKind::NotFound | ResponseKind::NoContent => {}
                ResponseKind::NotFoundWithData(_)
                | ResponseKind::Raw(_)
                | ResponseKind::Redirect(_) => {
                    let text = "an engine can have only data wrapped, and no status of its own";
                    return Err(EngineError::internal(text));
                }
            }
        }
        Ok(match self.kind {
            ResponseKind::NoContent if operation.is_read() => empty_response(204),
            ResponseKind::NotFound if !operation.is_read() => empty_response(404),
            ResponseKind::NoContent | ResponseKind::NotFound => EngineResponse::Nothing,
            ResponseKind::Data(data) => EngineResponse::Data(data),
            ResponseKind::NotFoundWithData(data) => EngineResponse::NotFound(data),
            ResponseKind::Raw(raw) => EngineResponse::Raw(raw),
            ResponseKind::Redirect(target) => EngineResponse::Redirect(target),
        })
    }
}

/// The lifetime of a wrapping token that an engine asks for. Zero would mean no wrapping.
pub(crate) fn checked_wrap_ttl(ttl: Ttl) -> Result<Ttl, EngineError> {
    match ttl.is_zero() {
        true => Err(EngineError::internal("a wrapped response needs a lifetime")),
        false => Ok(ttl),
    }
}

/// A raw response, for operations where [`EngineResponse::Nothing`] would mean another status.
fn empty_response(status: u16) -> EngineResponse {
    let content_type = if status == 204 { "" } else { "application/json" };
    EngineResponse::Raw(RawResponse {
        status,
        content_type: content_type.to_owned(),
        body: Vec::new(),
        headers: std::collections::BTreeMap::new(),
    })
}

/// Reads an input from the fields of a request; a user error says what is wrong with it.
pub(crate) fn read_input<I: Input>(fields: &Fields) -> Result<I, Error> {
    I::from_fields(fields).map_err(|error| Error::user(error.to_string()))
}

/// An action with its types erased.
#[async_trait]
pub(crate) trait ErasedAction: Send + Sync {
    fn fields(&self) -> Vec<&'static FieldSpec>;
    fn check_defaults(&self) -> Result<(), InvalidInput>;
    async fn handle(
        &self,
        context: Context,
        operation: Operation,
        fields: &Fields,
    ) -> Result<EngineResponse, EngineError>;
}

/// An async function as an action, with its input type.
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
        let input = read_input(fields)?;
        (self.function)(context, input).await?.into_engine_response(operation)
    }
}

/// An async function that takes the request's body unparsed.
pub(crate) struct RawBodyHandler<I, F> {
    function: F,
    input: PhantomData<fn() -> I>,
}

impl<I, F> RawBodyHandler<I, F> {
    pub(crate) fn new(function: F) -> Self {
        Self { function, input: PhantomData }
    }
}

#[async_trait]
impl<I, F, Fut> ErasedAction for RawBodyHandler<I, F>
where
    I: Input,
    F: Fn(Context, I, RawRequestBody) -> Fut + Send + Sync,
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
        let body = context.request_info().and_then(|request| request.raw_body.as_deref().cloned());
        let body = body.ok_or_else(|| {
            EngineError::internal("the server parsed the body, which this path takes as it is")
        })?;
        let input = read_input(fields)?;
        (self.function)(context, input, body).await?.into_engine_response(operation)
    }
}
