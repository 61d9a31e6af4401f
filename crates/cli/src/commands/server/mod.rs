//! `server`
//!
//! - [`settings`]: builds the configuration from flags, environment and files
//! - [`banner`]: what is printed at the start; scripts search for some of it
//! - [`pid_file`]: the file with the process id

mod banner;
mod pid_file;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use strongroom_config::Config;
use strongroom_crypto::SystemEntropy;
use strongroom_server::dev::{self, DevKvVersion};
use strongroom_server::dev_tls::DevTls;
use strongroom_server::{Options, RunningServer};
use strongroom_telemetry::MetricsExporter;
use strongroom_telemetry::log::{self, LogLevelHandle};
use strongroom_telemetry::log_file::LogFile;
use strongroom_types::{Clock, Secret, SystemClock, chain};

use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;
use crate::output::fixed_text::SHUTDOWN_TRIGGERED;
use crate::signals::{ShutdownSignal, SignalListener};
use crate::version;

use self::pid_file::PidFile;

/// Run a server
#[derive(Args)]
#[command(after_help = "\
SIGTERM and SIGINT seal the server and stop it; a SIGINT during the shutdown stops it immediately.
SIGHUP reloads the certificates and the log level, and reopens the log file.

Examples:
  strongroom server -config=/etc/strongroom
  strongroom server -dev")]
pub(crate) struct ServerCommand {
    /// Configuration file or folder; repeatable, the last value of a setting wins
    #[arg(long, value_name = "PATH")]
    config: Vec<PathBuf>,
    /// Development mode: in memory, initialised and unsealed. Never use it in production
    #[arg(long)]
    dev: bool,
    /// The root token of -dev [env: BAO_DEV_ROOT_TOKEN_ID, VAULT_DEV_ROOT_TOKEN_ID]
    #[arg(long, value_name = "TOKEN")]
    dev_root_token_id: Option<String>,
    /// Where -dev listens [env: VAULT_DEV_LISTEN_ADDRESS] [default: 127.0.0.1:8200]
    #[arg(long, value_name = "ADDRESS")]
    dev_listen_address: Option<String>,
    /// Like -dev, with TLS: certificates are created for it, and removed at the end
    #[arg(long)]
    dev_tls: bool,
    /// Folder for the certificates of -dev-tls [default: a temporary one]
    #[arg(long, value_name = "FOLDER")]
    dev_tls_cert_dir: Option<PathBuf>,
    /// Folder whose files -dev registers as plug-ins under their names
    #[arg(long, value_name = "FOLDER")]
    dev_plugin_dir: Option<PathBuf>,
    /// With -dev, mount version 1 of KV at secret/ instead of version 2
    #[arg(long)]
    dev_kv_v1: bool,
    /// With -dev, mount nothing at secret/
    #[arg(long)]
    dev_no_kv: bool,
    /// Don't store the root token of -dev for other commands
    #[arg(long)]
    dev_no_store_token: bool,
    /// trace, debug, info, warn or error [env: VAULT_LOG_LEVEL]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// standard or json [env: VAULT_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// File to write the log to, in addition to standard error
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl ServerCommand {
    pub(super) async fn run(mut self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 0, 0)?;
        disable_core_dumps();
        self.dev |= self.dev_tls;
        let mut config =
            settings::read_config(&self, &context.environment).map_err(CliError::local)?;
        let (log_file, level) = install_logging(&config)?;
        let exporter = MetricsExporter::install(SystemClock.now());
        let exporter = exporter.map_err(|error| CliError::local(error.to_string()))?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        if !self.dev && settings::dev_root_token(&self, &context.environment).is_some() {
            tracing::warn!("-dev-root-token-id only applies with -dev; it is ignored");
        }
        let dev_tls = self.make_dev_certificates(&mut config)?;
        let mut lifecycle = SignalListener::install()
            .map_err(|error| CliError::local(format!("signals can't be listened for: {error}")))?;
        let options = Options {
            config: config.clone(),
            version: version::API_VERSION.to_owned(),
            build_date: String::new(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            exporter,
        };
        let starting = strongroom_server::Server::start(options).await;
        let running = starting.map_err(|error| CliError::local(error.to_string()))?;
        let pid_file = match config.pid_file.as_deref().map(PidFile::write).transpose() {
            Ok(file) => file,
            Err(failure) => {
                running.stop().await;
                return Err(failure);
            }
        };
        banner::print_configuration(&mut context.printer, &config, running.addresses());
        if self.dev {
            if let Err(failure) = self.set_up_dev(context, &running, dev_tls.as_ref()).await {
                running.stop().await;
                return Err(failure);
            }
        } else {
            banner::print_server_started(&mut context.printer);
        }
        self.wait_for_shutdown(context, &mut lifecycle, &running, &level, log_file.as_ref()).await;
        context.printer.line(SHUTDOWN_TRIGGERED);
        let stopped = lifecycle.unless_interrupted(running.stop()).await;
        drop(pid_file);
        match stopped {
            Some(true) => Ok(()),
            Some(false) => Err(CliError::local("the shutdown did not complete in time")),
            None => Err(CliError::local("interrupted before the server was sealed")),
        }
    }

    /// Creates the certificates for `-dev-tls` and sets them in the configuration.
    fn make_dev_certificates(&self, config: &mut Config) -> CliResult<Option<DevTls>> {
        let Some(listener) = config.listeners.first_mut().filter(|_| self.dev_tls) else {
            return Ok(None);
        };
        let address = listener.endpoint.to_string();
        let host = address.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_matches(['[', ']']);
        let made = DevTls::generate(self.dev_tls_cert_dir.as_deref(), host, &SystemClock)
            .map_err(|error| CliError::local(format!("certificates can't be made: {error}")))?;
        listener.tls = Some(made.listener_config());
        Ok(Some(made))
    }

    /// Waits until the server has to stop, and reloads its files on SIGHUP until then.
    async fn wait_for_shutdown(
        &self,
        context: &mut CommandContext,
        lifecycle: &mut SignalListener,
        running: &RunningServer,
        level: &LogLevelHandle,
        log_file: Option<&LogFile>,
    ) {
        while lifecycle.next_signal().await == ShutdownSignal::Reload {
            context.printer.line("==> Reload triggered");
            if let Some(Err(error)) = log_file.map(LogFile::reopen) {
                tracing::error!(error = %chain(&error), "the log file can't be reopened; the old one is still used");
            }
            let certificates = running.reload_certificates();
            match settings::read_config(self, &context.environment) {
                Ok(config) => {
                    level.set_level(config.log_level);
                    if certificates {
                        tracing::info!("certificates and log level were reloaded");
                    }
                }
                Err(error) => {
                    tracing::error!(
                        error,
                        "the configuration can't be reloaded; the old one is still used"
                    );
                }
            }
        }
    }

    async fn set_up_dev(
        &self,
        context: &mut CommandContext,
        running: &RunningServer,
        tls: Option<&DevTls>,
    ) -> CliResult {
        let failed = |error: String| {
            CliError::local(format!("the development server can't be set up: {error}"))
        };
        let token = settings::dev_root_token(self, &context.environment).map(Secret::new);
        let kv = match (self.dev_no_kv, self.dev_kv_v1) {
            (true, _) => DevKvVersion::None,
            (false, true) => DevKvVersion::Version1,
            (false, false) => DevKvVersion::Version2,
        };
        let plugins = self.dev_plugin_dir.as_deref();
        let keys = dev::set_up(running, token, kv, plugins).await;
        let keys = keys.map_err(|error| failed(error.to_string()))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = running.addresses().first().map(|address| format!("{scheme}://{address}"));
        let address = address.unwrap_or_default();
        if !self.dev_no_store_token {
            let http = HttpFlags { address: Some(address.clone()), ..HttpFlags::default() };
            context.token_helper(&http)?.store(&keys.root_token).map_err(failed)?;
        }
        let plugins = keys.plugins.clone();
        banner::print_server_started(&mut context.printer);
        let stored = !self.dev_no_store_token;
        let ca_file = tls.map(DevTls::ca_file);
        let dev = banner::DevBanner {
            address: &address,
            ca_file,
            keys: &keys,
            token_stored: stored,
            plugins: &plugins,
        };
        banner::print_dev_banner(&mut context.printer, &dev);
        Ok(())
    }
}

/// Sets up logging; returns the log file, and the handle that changes the level.
fn install_logging(config: &Config) -> CliResult<(Option<LogFile>, LogLevelHandle)> {
    let failed = |error: String| CliError::local(format!("logging can't be set up: {error}"));
    let file = config.log_file.as_deref().map(LogFile::open).transpose();
    let file = file.map_err(|error| failed(error.to_string()))?;
    let level = log::install(config.log_level, config.log_format, file.clone());
    Ok((file, level.map_err(|error| failed(error.to_string()))?))
}

/// Disables core dumps, which would contain the keys.
fn disable_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Lowering a limit is always permitted.
    let _ = setrlimit(Resource::Core, none);
}
