//! [`ApiClient`]: sends JSON requests to a server under test.

use serde_json::Value;

/// A client of one server that sends one token. Requests go to paths below `/v1/` and ignore the
/// proxy variables of the environment.
#[derive(Clone, Debug)]
pub struct ApiClient {
    http: reqwest::Client,
    address: String,
    token: String,
    headers: Vec<(String, String)>,
}

/// The status and body of a response.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// The HTTP status code of the response.
    pub status: u16,
    /// The whole body as JSON; `null` if it isn't JSON.
    pub body: Value,
}

impl ApiResponse {
    /// A field of the envelope's `data`; `null` if it is missing. The name is looked up as a JSON
    /// pointer, so `a/b` reads a nested field.
    pub fn data_field(&self, name: &str) -> &Value {
        self.body.pointer(&format!("/data/{name}")).unwrap_or(&Value::Null)
    }

    /// The string at a `/`-separated path in the body, such as `data/value`; fails the test if there
    /// is none.
    pub fn text_at(&self, pointer: &str) -> String {
        let found = self.body.pointer(&format!("/{pointer}")).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no {pointer} in {self:?}")).to_owned()
    }

    /// Returns the response, or fails the test if its status is an error, which is 300 or above;
    /// the message shows the response.
    pub fn assert_ok(self) -> Self {
        assert!(self.status < 300, "the request failed: {self:?}");
        self
    }

    /// The keys of a list response; empty for status 404. Entries that are not strings are left
    /// out; the server's order is kept.
    pub fn list_keys(&self) -> Vec<String> {
        let names = self.data_field("keys").as_array().map(Vec::as_slice).unwrap_or_default();
        names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

impl ApiClient {
    /// A client for `http://host:port`; an empty token sends none. It ignores the proxy variables
    /// of the environment, since the server runs locally.
    pub fn new(address: &str, token: &str) -> Self {
        // The server runs on this machine, so ignore the proxy variables of the environment.
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, address: address.to_owned(), token: token.to_owned(), headers: Vec::new() }
    }

    /// A client of the same server with another token. Additional headers are kept; an empty token
    /// sends no token header.
    pub fn as_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// A client that also sends this header in every request. Headers that were added before are
    /// kept, also those of the same name.
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut all = self.clone();
        all.headers.push((name.to_owned(), value.to_owned()));
        all
    }

    /// The server's address as given to [`ApiClient::new`], such as `http://host:port`, without the
    /// prefix `/v1` of API paths.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The token that is sent.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Sends one request. Returns an error if no complete response arrives. A body that is not JSON
    /// becomes `null`; error statuses are returned as responses.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<ApiResponse, reqwest::Error> {
        let method = method.parse().unwrap();
        let mut call = self.http.request(method, format!("{}/v1/{path}", self.address));
        if !self.token.is_empty() {
            call = call.header("X-Vault-Token", &self.token);
        }
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        if let Some(body) = body {
            call = call.json(&body);
        }
        let answer = call.send().await?;
        let status = answer.status().as_u16();
        let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null);
        Ok(ApiResponse { status, body })
    }

    /// Sends `GET`; fails the test if no complete response arrives. An error status does not fail
    /// it; see [`ApiResponse::assert_ok`].
    pub async fn read(&self, path: &str) -> ApiResponse {
        self.send("GET", path, None).await.unwrap()
    }

    /// Sends `LIST`; fails the test if no complete response arrives. An error status does not fail
    /// it; see [`ApiResponse::assert_ok`].
    pub async fn list(&self, path: &str) -> ApiResponse {
        self.send("LIST", path, None).await.unwrap()
    }

    /// Sends `DELETE`; fails the test if no complete response arrives. An error status does not
    /// fail it; see [`ApiResponse::assert_ok`].
    pub async fn delete(&self, path: &str) -> ApiResponse {
        self.send("DELETE", path, None).await.unwrap()
    }

    /// Sends `PUT` with a JSON body; fails the test if no complete response arrives. An error
    /// status does not fail it.
    pub async fn write(&self, path: &str, body: Value) -> ApiResponse {
        self.send("PUT", path, Some(body)).await.unwrap()
    }
}
