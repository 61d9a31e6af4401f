//! [`ApiClient`]: requests in JSON.

use serde_json::Value;

/// A server as one token sees it.
#[derive(Clone, Debug)]
pub struct ApiClient {
    http: reqwest::Client,
    address: String,
    token: String,
    headers: Vec<(String, String)>,
}

/// Status and body. A body that isn't JSON is null.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Value,
}

impl ApiResponse {
    /// The envelope's `data`.
    pub fn data_field(&self, name: &str) -> &Value {
        self.body.pointer(&format!("/data/{name}")).unwrap_or(&Value::Null)
    }

    /// A text at the top or in `data`, `/`-separated.
    pub fn text_at(&self, pointer: &str) -> String {
        let found = self.body.pointer(&format!("/{pointer}")).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no {pointer} in {self:?}")).to_owned()
    }

    /// The answer of a request that must not fail.
    pub fn assert_ok(self) -> Self {
        assert!(self.status < 300, "the request failed: {self:?}");
        self
    }

    /// The names of a list; none for 404.
    pub fn list_keys(&self) -> Vec<String> {
        let names = self.data_field("keys").as_array().map(Vec::as_slice).unwrap_or_default();
        names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

impl ApiClient {
    /// A server at `http://host:port`.
    pub fn new(address: &str, token: &str) -> Self {
        // A server of this machine is asked directly, whatever the environment says of proxies.
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, address: address.to_owned(), token: token.to_owned(), headers: Vec::new() }
    }

    /// The same server with another token.
    pub fn as_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The same with a header in each request.
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut all = self.clone();
        all.headers.push((name.to_owned(), value.to_owned()));
        all
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Who asks.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// One request. An error says that no whole answer came.
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

    /// `GET`.
    pub async fn read(&self, path: &str) -> ApiResponse {
        self.send("GET", path, None).await.unwrap()
    }

    /// `LIST`.
    pub async fn list(&self, path: &str) -> ApiResponse {
        self.send("LIST", path, None).await.unwrap()
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> ApiResponse {
        self.send("DELETE", path, None).await.unwrap()
    }

    /// `PUT`.
    pub async fn write(&self, path: &str, body: Value) -> ApiResponse {
        self.send("PUT", path, Some(body)).await.unwrap()
    }
}
