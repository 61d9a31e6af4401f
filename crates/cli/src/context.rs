//! What every command is given: the environment, the printer, standard input, and a client
//! configured from flags and environment.

use std::cell::OnceCell;
use std::io::{self, IsTerminal, Read};
use std::time::Duration;

use strongroom_client::config::{DEFAULT_ADDRESS, DEFAULT_TIMEOUT};
use strongroom_client::{Client, ClientConfig, ClientTlsConfig, PemSource};
use strongroom_types::Secret;
use strongroom_types::duration::parse_nanos;

use crate::environment::Environment;
use crate::error::{CliError, CliResult};
use crate::flags::{FormatFlag, HttpFlags};
use crate::output::dry_run::DryRunOutput;
use crate::output::{OutputFormat, Printer, raw_not_supported};
use crate::token_helper::TokenHelper;

/// The shared state of a command that runs.
pub(crate) struct CommandContext {
    pub(crate) environment: Environment,
    pub(crate) printer: Printer,
    /// The name of the command as it was typed, without arguments, such as `kv get`.
    pub(crate) command: String,
    /// How to show the request instead of sending it, if a dry-run flag is set.
    pub(crate) dry_run: OnceCell<DryRunOutput>,
}

impl CommandContext {
    /// The context with this process's environment and output.
    pub(crate) fn from_process() -> Self {
        let environment = Environment::from_process();
        let printer = Printer::from_process(&environment);
        Self { environment, printer, command: String::new(), dry_run: OnceCell::new() }
    }

    /// Sets the output format, from the flag or else from the environment.
    pub(crate) fn set_format(&mut self, flag: &FormatFlag) -> CliResult {
        let of_environment = || self.environment.setting("FORMAT");
        let chosen = flag.format.clone().or_else(of_environment).unwrap_or_default();
        self.printer.format = OutputFormat::parse(&chosen)?;
        Ok(())
    }

    /// The same for a command whose output can't be in the format `raw`.
    pub(crate) fn set_format_except_raw(&mut self, flag: &FormatFlag) -> CliResult {
        self.set_format(flag)?;
        if self.printer.format == OutputFormat::Raw { Err(raw_not_supported()) } else { Ok(()) }
    }

    /// A client that uses the token from the environment or the token helper.
    pub(crate) fn client(&self, http: &HttpFlags) -> CliResult<Client> {
        let client = self.client_without_token(http)?;
        let token = self.token(http)?;
        client.with_token(token.as_ref()).map_err(|error| CliError::remote(error.to_string()))
    }

    /// A client without a token, for commands that need none or have their own.
    pub(crate) fn client_without_token(&self, http: &HttpFlags) -> CliResult<Client> {
        let config = client_config(&self.environment, http).map_err(CliError::remote)?;
        let rehearsed = DryRunOutput::new(http, &config)?;
        let client = Client::new(config).map_err(|error| CliError::remote(error.to_string()))?;
        let Some(rehearsed) = rehearsed else { return Ok(client) };
        Ok(client.with_dry_run(self.dry_run.get_or_init(|| rehearsed).dry_run()))
    }

    /// The client token: that of the environment, else the one stored by the token helper.
    pub(crate) fn token(&self, http: &HttpFlags) -> CliResult<Option<Secret<String>>> {
        if let Some(token) = self.environment.setting("TOKEN") {
            return Ok(Some(Secret::new(token)));
        }
        let failed = |error| CliError::remote(format!("the stored token can't be read: {error}"));
        self.token_helper(http)?.get().map_err(failed)
    }

    /// The token helper that the user has configured.
    pub(crate) fn token_helper(&self, http: &HttpFlags) -> CliResult<TokenHelper> {
        let address = server_address(&self.environment, http);
        TokenHelper::from_environment(&self.environment, &address)
            .map_err(|error| CliError::remote(format!("the token helper can't be used: {error}")))
    }

    /// Standard input; empty with `-non-interactive`.
    pub(crate) fn stdin(&self, http: &HttpFlags) -> Box<dyn Read> {
        if http.non_interactive { Box::new(io::empty()) } else { Box::new(io::stdin()) }
    }

    /// Reads a secret from standard input.
    pub(crate) fn read_secret(&self, http: &HttpFlags) -> CliResult<Secret<String>> {
        let mut text = Secret::new(String::new());
        let read = self.stdin(http).read_to_string(text.expose_secret_mut());
        read.map_err(|error| CliError::local(format!("stdin can't be read: {error}")))?;
        Ok(Secret::from_text(text.expose_secret().trim()))
    }

    /// The address of the server that the command talks to.
    pub(crate) fn server_address(&self, http: &HttpFlags) -> String {
        server_address(&self.environment, http)
    }

    /// Prompts for a secret on the terminal, without echo.
    pub(crate) fn prompt_secret(&mut self, question: &str) -> io::Result<Secret<String>> {
        self.printer.prompt(question);
        let answer = if io::stdin().is_terminal() {
            rpassword::read_password().map(Secret::new)
        } else {
            Err(io::Error::other("standard input is not a terminal"))
        };
        self.printer.warn("");
        answer
    }
}

/// The server address from flags and environment.
fn server_address(environment: &Environment, http: &HttpFlags) -> String {
    let given = |flag: &Option<String>| flag.clone().filter(|value| !value.is_empty());
    let agent = given(&http.agent_address).or_else(|| environment.setting("AGENT_ADDR"));
    agent
        .or_else(|| given(&http.address))
        .or_else(|| environment.setting("ADDR"))
        .unwrap_or_else(|| DEFAULT_ADDRESS.to_owned())
}

/// The client configuration from flags and environment.
fn client_config(environment: &Environment, http: &HttpFlags) -> Result<ClientConfig, String> {
    if environment.bool_setting("SRV_LOOKUP")? == Some(true) {
        return Err(
            "VAULT_SRV_LOOKUP is not supported: name the server's host in VAULT_ADDR".to_owned()
        );
    }
    let must_be = |name, what| format!("VAULT_{name} must be {what}");
    let timeout = match environment.setting("CLIENT_TIMEOUT") {
        Some(text) => parse_nanos(&text)
            .ok()
            .and_then(|nanos| u64::try_from(nanos).ok())
            .map(Duration::from_nanos)
            .ok_or_else(|| must_be("CLIENT_TIMEOUT", "a duration, such as 90s or 500ms"))?,
        None => DEFAULT_TIMEOUT,
    };
    let max_retries = match environment.setting("MAX_RETRIES") {
        Some(text) => text.parse().map_err(|_| must_be("MAX_RETRIES", "a whole number"))?,
        // No retries by default: the user sees the failure and can try again.
        None => 0,
    };
    let disable_redirects = match http.disable_redirects {
        Some(flag) => flag,
        None => environment.bool_setting("DISABLE_REDIRECTS")?.unwrap_or(false),
    };
    let mut mfa = http.mfa.clone();
    if mfa.is_empty() {
        mfa.extend(environment.setting("MFA"));
    }
    Ok(ClientConfig {
        address: server_address(environment, http),
        namespace: client_namespace(environment, http),
        wrap_ttl: wrap_ttl(environment, http)?,
        headers: http.header.clone(),
        mfa: mfa.into_iter().map(Secret::new).collect(),
        policy_override: http.policy_override,
        tls: tls_config(environment, http)?,
        proxy: environment.setting("PROXY_ADDR").or_else(|| environment.setting("HTTP_PROXY")),
        timeout: if timeout.is_zero() { DEFAULT_TIMEOUT } else { timeout },
        max_retries,
        follow_redirect: !disable_redirects,
        ..ClientConfig::default()
    })
}

fn client_namespace(environment: &Environment, http: &HttpFlags) -> Option<String> {
    let given = http.namespace.clone().or_else(|| environment.setting("NAMESPACE"))?;
    let name = given.trim_matches('/');
    (!name.is_empty() && name != "root").then(|| format!("{name}/"))
}

fn wrap_ttl(environment: &Environment, http: &HttpFlags) -> Result<Option<String>, String> {
    if http.wrap_ttl.is_some_and(|ttl| ttl.non_negative().is_none()) {
        return Err("-wrap-ttl must not be negative".to_owned());
    }
    match (http.wrap_ttl, environment.setting("WRAP_TTL")) {
        (Some(flag), _) => Ok(flag.to_api_or_default()),
        (None, Some(text)) => {
            let ttl = crate::flags::parse_non_negative_duration(&text);
            Ok(ttl.map_err(|reason| format!("VAULT_WRAP_TTL {reason}"))?.to_api_or_default())
        }
        (None, None) => Ok(None),
    }
}

fn tls_config(environment: &Environment, http: &HttpFlags) -> Result<ClientTlsConfig, String> {
    let path = |flag: &Option<String>, name: &str| {
        let given = flag.clone().filter(|path| !path.is_empty());
        given.or_else(|| environment.setting(name))
    };
    let text = |name| environment.setting(name).map(|text| PemSource::Text(Secret::new(text)));
    let file = |path: String| PemSource::File(path.into());
    let skip_verify = match http.tls_skip_verify {
        Some(flag) => flag,
        None => environment.bool_setting("SKIP_VERIFY")?.unwrap_or(false),
    };
    Ok(ClientTlsConfig {
        ca: path(&http.ca_cert, "CACERT").map(file).or_else(|| text("CACERT_BYTES")),
        ca_folder: path(&http.ca_path, "CAPATH").map(Into::into),
        client_cert: path(&http.client_cert, "CLIENT_CERT")
            .map(file)
            .or_else(|| text("CLIENT_CERT_BYTES")),
        client_key: path(&http.client_key, "CLIENT_KEY")
            .map(file)
            .or_else(|| text("CLIENT_KEY_BYTES")),
        server_name: path(&http.tls_server_name, "TLS_SERVER_NAME"),
        skip_verify,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_from(variables: &[(&str, &str)], http: &HttpFlags) -> Result<ClientConfig, String> {
        client_config(&Environment::from_pairs(variables), http)
    }

    /// The server must give up starting a plug-in before a client with the default timeout does.
    #[test]
    fn config_and_client_timeouts_agree() {
        let known = strongroom_config::plugin::CLIENT_TIMEOUT.as_duration();
        assert_eq!(known, DEFAULT_TIMEOUT);
    }

    #[test]
    fn flags_come_before_the_environment() {
        let variables =
            [("VAULT_ADDR", "http://vault"), ("BAO_ADDR", "http://bao"), ("VAULT_NAMESPACE", "a")];
        let none = config_from(&variables, &HttpFlags::default()).unwrap();
        assert_eq!(none.address, "http://bao");
        assert_eq!(none.namespace.as_deref(), Some("a/"));
        let http = HttpFlags {
            address: Some("http://flag".to_owned()),
            namespace: Some("/b/c/".to_owned()),
            tls_skip_verify: Some(false),
            ..HttpFlags::default()
        };
        let flags =
            config_from(&[&variables[..], &[("VAULT_SKIP_VERIFY", "1")]].concat(), &http).unwrap();
        assert_eq!(flags.address, "http://flag");
        assert_eq!(flags.namespace.as_deref(), Some("b/c/"));
        assert!(!flags.tls.skip_verify);
        let agent = config_from(&[("VAULT_AGENT_ADDR", "http://agent")], &http).unwrap();
        assert_eq!(agent.address, "http://agent");
    }

    #[test]
    fn defaults_apply_without_settings() {
        let config = config_from(&[], &HttpFlags::default()).unwrap();
        assert_eq!(config.address, "https://127.0.0.1:8200");
        assert_eq!(config.timeout, Duration::from_secs(60));
        assert_eq!(config.max_retries, 0);
        assert!(config.follow_redirect && !config.tls.skip_verify && config.wrap_ttl.is_none());
    }

    #[test]
    fn environment_sets_the_other_options() {
        let variables = [
            ("VAULT_CLIENT_TIMEOUT", "5"),
            ("VAULT_MAX_RETRIES", "3"),
            ("VAULT_DISABLE_REDIRECTS", "true"),
            ("VAULT_WRAP_TTL", "5m"),
            ("VAULT_MFA", "m:1"),
            ("VAULT_CACERT_BYTES", "pem"),
            ("VAULT_PROXY_ADDR", "http://proxy"),
            ("VAULT_HTTP_PROXY", "http://other"),
        ];
        let config = config_from(&variables, &HttpFlags::default()).unwrap();
        assert_eq!(config.timeout, Duration::from_secs(5));
        assert_eq!(config.max_retries, 3);
        assert!(!config.follow_redirect);
        assert_eq!(config.wrap_ttl.as_deref(), Some("300s"));
        assert_eq!(config.mfa.len(), 1);
        assert!(matches!(config.tls.ca, Some(PemSource::Text(_))));
        assert_eq!(config.proxy.as_deref(), Some("http://proxy"));
    }

    #[test]
    fn unusable_settings_are_errors() {
        for (name, value) in [
            ("VAULT_CLIENT_TIMEOUT", "soon"),
            ("VAULT_MAX_RETRIES", "-1"),
            ("VAULT_SKIP_VERIFY", "perhaps"),
            ("VAULT_SRV_LOOKUP", "true"),
            ("VAULT_WRAP_TTL", "soon"),
            ("VAULT_WRAP_TTL", "-1s"),
            ("VAULT_WRAP_TTL", "system"),
            ("VAULT_CLIENT_TIMEOUT", "-1s"),
        ] {
            let error = config_from(&[(name, value)], &HttpFlags::default()).err().unwrap();
            assert!(error.starts_with(name), "{error}");
        }
        let wrapped = config_from(&[("VAULT_WRAP_TTL", "500ms")], &HttpFlags::default()).unwrap();
        assert_eq!(wrapped.wrap_ttl.as_deref(), Some("1s"), "as everywhere, rounded up");
        // A timeout below one second must not become "no limit".
        let short =
            config_from(&[("VAULT_CLIENT_TIMEOUT", "500ms")], &HttpFlags::default()).unwrap();
        assert_eq!(short.timeout, Duration::from_millis(500));
    }

    #[test]
    fn root_namespace_sends_no_header() {
        for name in ["", "/", "root", "root/"] {
            let http = HttpFlags { namespace: Some(name.to_owned()), ..HttpFlags::default() };
            assert_eq!(config_from(&[("VAULT_NAMESPACE", "a")], &http).unwrap().namespace, None);
        }
    }
}
