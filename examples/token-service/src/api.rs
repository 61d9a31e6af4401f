//! The HTTP API: which request does what, and the format of errors.

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
use crate::store::{CreateTokenBody, ServiceStats, StoreError, TokenDetails};

pub(crate) fn router(service: Arc<Service>) -> Router {
    let with_key = Router::new()
        .route("/tokens", post(create_token).get(list_tokens))
        .route("/tokens/{id}", get(read_token).delete(delete_token))
        .route("/tokens/{id}/renew", post(renew_token))
        .route("/stats", get(read_stats))
        .route_layer(middleware::from_fn_with_state(service.clone(), require_key));
    Router::new()
        .route("/self", get(whoami))
        .merge(with_key)
        .fallback(|| async { api_error(StatusCode::NOT_FOUND, "no such path") })
        .method_not_allowed_fallback(|| async {
            api_error(StatusCode::METHOD_NOT_ALLOWED, "no such method here")
        })
        .layer(DefaultBodyLimit::max(16 * 1024))
        .with_state(service)
}

type ApiResult<T> = Result<Json<T>, TokenServiceError>;

/// `POST /tokens {name, permissions, ttl}`
async fn create_token(
    State(service): State<Arc<Service>>,
    JsonObjectBody(wish): JsonObjectBody<CreateTokenBody>,
) -> Result<Response, TokenServiceError> {
    let (shown, plain) = service.commit_change(move |store, now| store.create(wish, now)).await?;
    let made = Json(NewTokenBody { shown, token: plain.expose_secret() });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], made).into_response())
}

/// `GET /tokens`, `GET /tokens?name=`
async fn list_tokens(
    State(service): State<Arc<Service>>,
    filter: Result<Query<TokenListQuery>, QueryRejection>,
) -> ApiResult<TokenListBody> {
    let Query(TokenListQuery { name }) =
        filter.map_err(|error| api_error(error.status(), error.body_text()))?;
    let store = service.store.lock().await;
    let now = service.now();
    let tokens = match name {
        Some(name) => store.find_by_name(&name, now).into_iter().cloned().collect(),
        None => store.live_tokens(now).cloned().collect(),
    };
    Ok(Json(TokenListBody { tokens }))
}

/// `GET /tokens/{id}`
async fn read_token(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> ApiResult<TokenDetails> {
    Ok(Json(service.store.lock().await.get(&id, service.now())?.clone()))
}

/// `POST /tokens/{id}/renew {ttl}`
async fn renew_token(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    JsonObjectBody(RenewTokenBody { ttl }): JsonObjectBody<RenewTokenBody>,
) -> ApiResult<TokenDetails> {
    Ok(Json(service.commit_change(move |store, now| store.renew(&id, ttl, now)).await?))
}

/// `DELETE /tokens/{id}`
async fn delete_token(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<StatusCode, TokenServiceError> {
    service.commit_change(move |store, now| store.delete(&id, now)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /stats`
async fn read_stats(State(service): State<Arc<Service>>) -> Json<ServiceStats> {
    Json(service.stats().await)
}

/// `GET /self`
async fn whoami(State(service): State<Arc<Service>>, headers: HeaderMap) -> ApiResult<Value> {
    let store = service.store.lock().await;
    let token =
        bearer_credential(&headers).and_then(|plain| store.find_by_secret(plain, service.now()));
    let token = token.ok_or_else(|| {
        api_error(StatusCode::UNAUTHORIZED, "a valid token is required as bearer")
    })?;
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
) -> Result<Response, TokenServiceError> {
    match bearer_credential(request.headers()) {
        Some(key) if service.api_key.ct_eq(key.as_bytes()) => Ok(next.run(request).await),
        _ => Err(api_error(StatusCode::UNAUTHORIZED, "the API key is required as bearer")),
    }
}

/// The credential in `Authorization: Bearer …`; the scheme is case-insensitive (RFC 9110, 11.1).
fn bearer_credential(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credential.trim())
}

/// The response to the creation of a token, the only one that contains the token itself.
#[derive(Serialize)]
struct NewTokenBody<'a> {
    #[serde(flatten)]
    shown: TokenDetails,
    token: &'a str,
}

#[derive(Serialize)]
struct TokenListBody {
    tokens: Vec<TokenDetails>,
}

/// The query of `GET /tokens`. Other parameters are refused: with a misspelt filter the list would
/// have all tokens, and callers delete what they find.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenListQuery {
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RenewTokenBody {
    #[serde(default)]
    ttl: u64,
}

/// A JSON object, whatever the content type says. An empty body is an empty object.
struct JsonObjectBody<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonObjectBody<T> {
    type Rejection = TokenServiceError;

    async fn from_request(request: Request, state: &S) -> Result<Self, TokenServiceError> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error| api_error(error.status(), error.body_text()))?;
        let json = if bytes.is_empty() { b"{}".as_slice() } else { &bytes };
        // Parse into a map first, since a struct could also be read from an array.
        let body = serde_json::from_slice::<Map<String, Value>>(json)
            .and_then(|object| serde_json::from_value(object.into()));
        // The error may quote the body, which contains no secret.
        body.map(Self)
            .map_err(|error| api_error(StatusCode::BAD_REQUEST, format!("invalid body: {error}")))
    }
}

/// The error response, `{"error": "…"}`.
pub(crate) struct TokenServiceError(StatusCode, String);

fn api_error(status: StatusCode, reason: impl Into<String>) -> TokenServiceError {
    TokenServiceError(status, reason.into())
}

impl IntoResponse for TokenServiceError {
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

impl From<StoreError> for TokenServiceError {
    fn from(error: StoreError) -> Self {
        let status = match error {
            StoreError::Invalid(_) => StatusCode::BAD_REQUEST,
            StoreError::NotFound => StatusCode::NOT_FOUND,
            StoreError::NameTaken => StatusCode::CONFLICT,
            // Not 429: retrying doesn't help until someone deletes a token.
            StoreError::Full => StatusCode::INSUFFICIENT_STORAGE,
            StoreError::NoEntropy | StoreError::NotSaved(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}
