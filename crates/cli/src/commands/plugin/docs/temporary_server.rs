//! A server in this process, in memory, that only runs one plug-in.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use strongroom_client::sys::help::PathHelpResponse;
use strongroom_client::sys::mounts::{MountRequest, MountTableKind};
use strongroom_client::{Client, ClientConfig};
use strongroom_config::{Config, ListenerConfig, ListenerEndpoint, UnixSocketConfig};
use strongroom_crypto::SystemEntropy;
use strongroom_server::dev::{self, DevKvVersion};
use strongroom_server::{Options, RunningServer, Server};
use strongroom_telemetry::MetricsExporter;
use strongroom_types::{Clock, Secret, SystemClock};

use crate::version;

/// What a program said about itself.
pub(super) struct DescribedProgram {
    /// The name of its file.
    pub(super) name: String,
    /// Whether it is an auth method, and else a secrets engine.
    pub(super) is_auth_method: bool,
    /// The help of its mount.
    pub(super) help: PathHelpResponse,
}

/// The time limit of each request to the temporary server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts a server with a copy of the program, mounts it and queries its help. Everything is removed
/// before this returns. The error is the reason of a failure.
pub(super) async fn describe_plugin(program: &Path) -> Result<DescribedProgram, String> {
    let name = program.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| "its name is not UTF-8".to_owned())?;
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let plugins = place.path().join("plugins");
    fs::create_dir(&plugins).map_err(|error| error.to_string())?;
    fs::copy(program, plugins.join(name)).map_err(|error| error.to_string())?;
    // Only this user can reach the folder of the socket, and no proxy is involved.
    let socket = place.path().join("server");
    let endpoint = ListenerEndpoint::Unix(UnixSocketConfig {
        path: socket.clone(),
        mode: 0o600,
        user: None,
        group: None,
    });
    let mut config = Config {
        listeners: vec![ListenerConfig { endpoint, ..ListenerConfig::default() }],
        ..Config::default()
    };
    config.plugin.directory = Some(plugins.clone());
    config.plugin.group_may_write = true;
    // The user named this file, so it may be a script.
    config.plugin.allow_scripts = true;
    let exporter =
        MetricsExporter::install(SystemClock.now()).map_err(|error| error.to_string())?;
    let options = Options {
        config,
        version: version::API_VERSION.to_owned(),
        build_date: String::new(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        exporter,
    };
    let running = Server::start(options).await.map_err(|error| error.to_string())?;
    let described = describe_in(&running, name, &plugins, &socket).await;
    running.stop().await;
    described
}

async fn describe_in(
    running: &RunningServer,
    name: &str,
    plugins: &Path,
    socket: &Path,
) -> Result<DescribedProgram, String> {
    let keys = dev::set_up(running, None, DevKvVersion::None, Some(plugins)).await;
    let keys = keys.map_err(|error| error.to_string())?;
    if keys.plugins.is_empty() {
        return Err("it is not an executable program".to_owned());
    }
    let client = Client::new(ClientConfig {
        address: format!("unix://{}", socket.display()),
        token: Some(Secret::from_text(keys.root_token.expose_secret())),
        timeout: REQUEST_TIMEOUT,
        ..ClientConfig::default()
    });
    let client = client.map_err(|error| error.to_string())?;
    let request = MountRequest { engine: name.to_owned(), ..MountRequest::default() };
    let as_engine = client.mount(MountTableKind::Secrets, name, &request).await;
    let is_auth_method = as_engine.is_err();
    if is_auth_method {
        let as_method = client.mount(MountTableKind::Auth, name, &request).await;
        as_method.map_err(|error| error.to_string())?;
    }
    let path = if is_auth_method { format!("auth/{name}/") } else { format!("{name}/") };
    let help = client.path_help(&path).await.map_err(|error| error.to_string())?;
    Ok(DescribedProgram { name: name.to_owned(), is_auth_method, help })
}
