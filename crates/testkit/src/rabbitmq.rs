//! [`RabbitMq`]: a real RabbitMQ with its management API, from Debian's package `rabbitmq-server`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::programs::skip_test;
use crate::wait::wait_until;

/// A running RabbitMQ, shared by the tests of a binary. It has a node name, a cookie and data of its
/// own, and the ports that it opens are free ones of this machine, so that it doesn't meet another.
/// When the test process ends, however it ends, the server is stopped and its data is removed.
pub struct RabbitMq {
    /// Its script ends the server when the pipe to its standard input is closed, at the latest by
    /// the end of this process.
    _script: Child,
    url: String,
}

/// Where Debian's package installs the program. The one in `/usr/sbin` changes the user.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Starting takes about ten seconds; more when tests are compiled meanwhile.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const ADMIN: &str = "admin";
const ADMIN_PASSWORD: &str = "password-of-the-admin";

/// `$1` is the program and `$2` the folder of the server. `epmd` finds Erlang's nodes; it is started
/// here, since Erlang would start one that never ends. The server is killed, because one that is still
/// starting ignores the request to stop, and because nobody needs its data.
const SCRIPT: &str = r#"
epmd & epmd=$!
"$1" & server=$!
cat > /dev/null
kill -KILL "$server"; wait "$server"
kill -KILL "$epmd"; wait "$epmd"
rm -rf "$2"
"#;

impl RabbitMq {
    /// The server of this test binary, which the first call starts. `None` if RabbitMQ isn't
    /// installed, with a message; with `STRONGROOM_REQUIRE_INTEROP=1` that fails the test instead.
    pub async fn shared(test: &str) -> Option<&'static Self> {
        static SHARED: OnceCell<RabbitMq> = OnceCell::const_new();
        if !Path::new(PROGRAM).exists() {
            skip_test(test, "the Debian package rabbitmq-server is not installed");
            return None;
        }
        Some(SHARED.get_or_init(Self::start).await)
    }

    async fn start() -> Self {
        // The script removes the folder.
        let folder = tempfile::tempdir().unwrap().keep();
        let [management, epmd, distribution] = free_ports();
        let path = |name: &str| folder.join(name);
        let config = format!(
            "listeners.tcp = none\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n\
             default_user = {ADMIN}\ndefault_pass = {ADMIN_PASSWORD}\n"
        );
        fs::write(path("rabbitmq.conf"), config).unwrap();
        fs::write(path("enabled_plugins"), "[rabbitmq_management].").unwrap();
        let log = fs::File::create(path("log")).unwrap();
        let erlang = format!(
            "-noinput -setcookie cookie-{distribution} -start_epmd false +S 1:1 \
             -kernel inet_dist_use_interface {{127,0,0,1}}"
        );
        let script = Command::new("sh")
            .args(["-c", SCRIPT, "rabbitmq", PROGRAM])
            .arg(&folder)
            .env("HOME", &folder)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", epmd.to_string())
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("RABBITMQ_NODENAME", format!("test-{distribution}@localhost"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang)
            // With this the program becomes the server, instead of waiting for it as its child.
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_CONFIG_FILES", path("conf.d"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", path("generated"))
            .env("RABBITMQ_MNESIA_BASE", path("data"))
            .env("RABBITMQ_LOG_BASE", path("logs"))
            .env("RABBITMQ_LOGS", "-")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { _script: script, url: format!("http://127.0.0.1:{management}") };
        let log = path("log");
        wait_until(&format!("RabbitMQ runs, see {}", log.display()), START_TIMEOUT, || async {
            (server.try_get(ADMIN, ADMIN_PASSWORD, "whoami").await?.0 == 200).then_some(())
        })
        .await;
        server
    }

    /// The base URL of the management API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The fields of the engine's `config/connection` with this server's administrator.
    pub fn connection(&self) -> Value {
        json!({ "connection_uri": self.url, "username": ADMIN, "password": ADMIN_PASSWORD })
    }

    /// Reads from the management API as the administrator: the status, and the JSON of the body.
    /// `path` has no leading slash and is below `/api/`.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.get_as(ADMIN, ADMIN_PASSWORD, path).await
    }

    /// As [`RabbitMq::get`], as another user.
    pub async fn get_as(&self, user: &str, password: &str, path: &str) -> (u16, Value) {
        self.try_get(user, password, path).await.expect("RabbitMQ responds")
    }

    async fn try_get(&self, user: &str, password: &str, path: &str) -> Option<(u16, Value)> {
        let request = http_client().get(format!("{}/api/{path}", self.url));
        let response = request.basic_auth(user, Some(password)).send().await.ok()?;
        let status = response.status().as_u16();
        let body = response.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// Writes to the management API as `user` and returns the status.
    pub async fn put_as(&self, user: &str, password: &str, path: &str, body: &Value) -> u16 {
        let request = http_client().put(format!("{}/api/{path}", self.url));
        let request = request.basic_auth(user, Some(password)).body(body.to_string());
        let response = request.header("content-type", "application/json").send().await;
        response.expect("RabbitMQ responds").status().as_u16()
    }

    /// Creates an administrator with a name that no other has, for a test that changes its password.
    /// Returns the fields of the engine's `config/connection` with it.
    pub async fn create_administrator(&self, name: &str) -> Value {
        let body = json!({ "password": ADMIN_PASSWORD, "tags": "administrator,monitoring" });
        let status = self.put_as(ADMIN, ADMIN_PASSWORD, &format!("users/{name}"), &body).await;
        assert_eq!(status, 201, "{name} exists already");
        json!({ "connection_uri": self.url, "username": name, "password": ADMIN_PASSWORD })
    }

    /// The names of the users whose names begin with `prefix`, sorted.
    pub async fn user_names(&self, prefix: &str) -> Vec<String> {
        let (status, users) = self.get("users").await;
        assert_eq!(status, 200, "{users}");
        let users = users.as_array().unwrap();
        let names = users.iter().map(|user| user["name"].as_str().unwrap().to_owned());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        names
    }
}

/// A client for one request, since each test has a runtime of its own.
fn http_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Different ports that were free just now.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
