//! The HTTP side: which request does what, and how refusals look.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Service;
use crate::store::{Stats, StoreError, Token, Wish};

pub(crate) fn router(service: Arc<Service>) -> Router {
    let with_key = Router::new()
        .route("/tokens", post(create).get(list))
        .route("/tokens/{id}", get(read).delete(delete))
        .route("/tokens/{id}/renew", post(renew))
        .route("/stats", get(stats))
        .route_layer(middleware::from_fn_with_state(service.clone(), require_key));
    Router::new()
        .route("/self", get(whoami))
        .merge(with_key)
        .fallback(|| async { refused(StatusCode::NOT_FOUND, "no such path") })
        .method_not_allowed_fallback(|| async {
            refused(StatusCode::METHOD_NOT_ALLOWED, "no such method here")
        })
        .layer(DefaultBodyLimit::max(16 * 1024))
        .with_state(service)
}

type Answer<T> = Result<Json<T>, Refusal>;

/// `POST /tokens {name, permissions, ttl}`
async fn create(
    State(service): State<Arc<Service>>,
    Body(wish): Body<Wish>,
) -> Result<Response, Refusal> {
    let (shown, plain) = service.change(move |store, now| store.create(wish, now)).await?;
    let made = Json(Made { shown, token: plain.expose_secret() });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], made).into_response())
}

/// `GET /tokens`, `GET /tokens?name=`
async fn list(
    State(service): State<Arc<Service>>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Answer<List> {
    let Query(Filter { name }) =
        filter.map_err(|error| refused(error.status(), error.body_text()))?;
    let store = service.store.lock().await;
    let now = service.now();
    let tokens = match name {
        Some(name) => store.named(&name, now).into_iter().cloned().collect(),
        None => store.live(now).cloned().collect(),
    };
    Ok(Json(List { tokens }))
}

/// `GET /tokens/{id}`
async fn read(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Answer<Token> {
    Ok(Json(service.store.lock().await.get(&id, service.now())?.clone()))
}

/// `POST /tokens/{id}/renew {ttl}`
async fn renew(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Body(Renewal { ttl }): Body<Renewal>,
) -> Answer<Token> {
    Ok(Json(service.change(move |store, now| store.renew(&id, ttl, now)).await?))
}

/// `DELETE /tokens/{id}`
async fn delete(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    service.change(move |store, now| store.delete(&id, now)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /stats`
async fn stats(State(service): State<Arc<Service>>) -> Json<Stats> {
    Json(service.stats().await)
}

/// `GET /self`
async fn whoami(State(service): State<Arc<Service>>, headers: HeaderMap) -> Answer<Value> {
    let store = service.store.lock().await;
    let token = bearer(&headers).and_then(|plain| store.find(plain, service.now()));
    let token = token
        .ok_or_else(|| refused(StatusCode::UNAUTHORIZED, "a valid token is required as bearer"))?;
    Ok(Json(json!({
        "id": token.id,
        "name": token.name,
        "permissions": token.permissions,
        "expires_at": token.expires_at.to_rfc3339(),
    })))
}

async fn require_key(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    match bearer(request.headers()) {
        Some(key) if service.api_key.ct_eq(key.as_bytes()) => Ok(next.run(request).await),
        _ => Err(refused(StatusCode::UNAUTHORIZED, "the API key is required as bearer")),
    }
}

/// The credential of `Authorization: Bearer …`; the scheme is spelt in any case (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credential.trim())
}

/// The answer to a token's making, and the only one that holds the token itself.
#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    shown: Token,
    token: &'a str,
}

#[derive(Serialize)]
struct List {
    tokens: Vec<Token>,
}

/// `GET /tokens` takes nothing else: a misspelt filter that lists everything is a trap for callers
/// who delete what they find.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renewal {
    #[serde(default)]
    ttl: u64,
}

/// A JSON object, whatever the content type says. No body is an empty object.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error| refused(error.status(), error.body_text()))?;
        let json = if bytes.is_empty() { b"{}".as_slice() } else { &bytes };
        // Through a map, since a struct would be read from an array too.
        let body = serde_json::from_slice::<Map<String, Value>>(json)
            .and_then(|object| serde_json::from_value(object.into()));
        // The error may quote the body, which holds no secret.
        body.map(Self)
            .map_err(|error| refused(StatusCode::BAD_REQUEST, format!("invalid body: {error}")))
    }
}

/// What a caller is told when something can't be done: `{"error": "…"}`.
pub(crate) struct Refusal(StatusCode, String);

fn refused(status: StatusCode, reason: impl Into<String>) -> Refusal {
    Refusal(status, reason.into())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, reason) = self;
        let mut response = (status, Json(json!({ "error": reason }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status = match error {
            StoreError::Invalid(_) => StatusCode::BAD_REQUEST,
            StoreError::NotFound => StatusCode::NOT_FOUND,
            StoreError::NameTaken => StatusCode::CONFLICT,
            // Not 429: trying again won't help until somebody deletes a token.
            StoreError::Full => StatusCode::INSUFFICIENT_STORAGE,
            StoreError::NoEntropy | StoreError::NotSaved(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}
