//! What every command gets: the environment, a printer, standard input, and a client made from
//! flags and environment.

use std::cell::OnceCell;
use std::io::{self, IsTerminal, Read};
use std::time::Duration;

use strongroom_client::config::{DEFAULT_ADDRESS, DEFAULT_TIMEOUT};
use strongroom_client::{Client, ClientConfig, Pem, TlsConfig};
use strongroom_types::Secret;
use strongroom_types::duration::parse_nanos;

use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http};
use crate::output::unsent::Rehearsed;
use crate::output::{Format, Printer, no_raw};
use crate::token_helper::TokenHelper;

/// What every command gets.
pub(crate) struct Context {
    pub(crate) environment: Environment,
    pub(crate) printer: Printer,
    /// The command as it was typed, without its arguments: `kv get`.
    pub(crate) command: String,
    /// What is shown instead of being sent, if the person wants that.
    pub(crate) rehearsed: OnceCell<Rehearsed>,
}

impl Context {
    /// The process's own.
    pub(crate) fn of_process() -> Self {
        let environment = Environment::of_process();
        let printer = Printer::of_process(&environment);
        Self { environment, printer, command: String::new(), rehearsed: OnceCell::new() }
    }

    /// Sets how results look: as the flag says, else as the environment says.
    pub(crate) fn set_format(&mut self, flag: &Formatted) -> Outcome {
        let of_environment = || self.environment.setting("FORMAT");
        let chosen = flag.format.clone().or_else(of_environment).unwrap_or_default();
        self.printer.format = Format::parse(&chosen)?;
        Ok(())
    }

    /// The same for a command that has no result to keep as it was received.
    pub(crate) fn set_format_but_raw(&mut self, flag: &Formatted) -> Outcome {
        self.set_format(flag)?;
        if self.printer.format == Format::Raw { Err(no_raw()) } else { Ok(()) }
    }

    /// A client that asks with the token of the environment or the token helper.
    pub(crate) fn client(&self, http: &Http) -> Outcome<Client> {
        let client = self.client_without_token(http)?;
        let token = self.token(http)?;
        client.with_token(token.as_ref()).map_err(|error| Failure::remote(error.to_string()))
    }

    /// A client for commands that need no token, or have their own.
    pub(crate) fn client_without_token(&self, http: &Http) -> Outcome<Client> {
        let config = config(&self.environment, http).map_err(Failure::remote)?;
        let rehearsed = Rehearsed::new(http, &config)?;
        let client = Client::new(config).map_err(|error| Failure::remote(error.to_string()))?;
        let Some(rehearsed) = rehearsed else { return Ok(client) };
        Ok(client.rehearsing(self.rehearsed.get_or_init(|| rehearsed).calls()))
    }

    /// The token that is asked with: the environment's, else the one that the helper keeps.
    pub(crate) fn token(&self, http: &Http) -> Outcome<Option<Secret<String>>> {
        if let Some(token) = self.environment.setting("TOKEN") {
            return Ok(Some(Secret::new(token)));
        }
        let failed = |error| Failure::remote(format!("the stored token can't be read: {error}"));
        self.token_helper(http)?.get().map_err(failed)
    }

    /// Where the token is kept.
    pub(crate) fn token_helper(&self, http: &Http) -> Outcome<TokenHelper> {
        let address = address(&self.environment, http);
        TokenHelper::choose(&self.environment, &address)
            .map_err(|error| Failure::remote(format!("the token helper can't be used: {error}")))
    }

    /// Standard input; empty if nobody is to be asked.
    pub(crate) fn stdin(&self, http: &Http) -> Box<dyn Read> {
        if http.non_interactive { Box::new(io::empty()) } else { Box::new(io::stdin()) }
    }

    /// A secret from standard input.
    pub(crate) fn read_secret(&self, http: &Http) -> Outcome<Secret<String>> {
        let mut text = Secret::new(String::new());
        let read = self.stdin(http).read_to_string(text.expose_secret_mut());
        read.map_err(|error| Failure::local(format!("stdin can't be read: {error}")))?;
        Ok(Secret::from_text(text.expose_secret().trim()))
    }

    /// The address that is meant.
    pub(crate) fn address(&self, http: &Http) -> String {
        address(&self.environment, http)
    }

    /// Asks for a secret on the terminal, without echo.
    pub(crate) fn ask_secret(&mut self, question: &str) -> io::Result<Secret<String>> {
        self.printer.ask(question);
        let answer = if io::stdin().is_terminal() {
            rpassword::read_password().map(Secret::new)
        } else {
            Err(io::Error::other("standard input is not a terminal"))
        };
        self.printer.warn("");
        answer
    }
}

/// The address that is meant.
fn address(environment: &Environment, http: &Http) -> String {
    let given = |flag: &Option<String>| flag.clone().filter(|value| !value.is_empty());
    let agent = given(&http.agent_address).or_else(|| environment.setting("AGENT_ADDR"));
    agent
        .or_else(|| given(&http.address))
        .or_else(|| environment.setting("ADDR"))
        .unwrap_or_else(|| DEFAULT_ADDRESS.to_owned())
}

/// A client's configuration from flags and environment.
fn config(environment: &Environment, http: &Http) -> Result<ClientConfig, String> {
    if environment.flag("SRV_LOOKUP")? == Some(true) {
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
        // A person sees the failure and decides.
        None => 0,
    };
    let disable_redirects = match http.disable_redirects {
        Some(flag) => flag,
        None => environment.flag("DISABLE_REDIRECTS")?.unwrap_or(false),
    };
    let mut mfa = http.mfa.clone();
    if mfa.is_empty() {
        mfa.extend(environment.setting("MFA"));
    }
    Ok(ClientConfig {
        address: address(environment, http),
        namespace: namespace(environment, http),
        wrap_ttl: wrap_ttl(environment, http)?,
        headers: http.header.clone(),
        mfa: mfa.into_iter().map(Secret::new).collect(),
        policy_override: http.policy_override,
        tls: tls(environment, http)?,
        proxy: environment.setting("PROXY_ADDR").or_else(|| environment.setting("HTTP_PROXY")),
        timeout: if timeout.is_zero() { DEFAULT_TIMEOUT } else { timeout },
        max_retries,
        follow_redirect: !disable_redirects,
        ..ClientConfig::default()
    })
}

fn namespace(environment: &Environment, http: &Http) -> Option<String> {
    let given = http.namespace.clone().or_else(|| environment.setting("NAMESPACE"))?;
    let name = given.trim_matches('/');
    (!name.is_empty() && name != "root").then(|| format!("{name}/"))
}

fn wrap_ttl(environment: &Environment, http: &Http) -> Result<Option<String>, String> {
    if http.wrap_ttl.is_some_and(|ttl| ttl.not_negative().is_none()) {
        return Err("-wrap-ttl must not be negative".to_owned());
    }
    match (http.wrap_ttl, environment.setting("WRAP_TTL")) {
        (Some(flag), _) => Ok(flag.to_api()),
        (None, Some(text)) => {
            let ttl = crate::flags::lifetime(&text);
            Ok(ttl.map_err(|reason| format!("VAULT_WRAP_TTL {reason}"))?.to_api())
        }
        (None, None) => Ok(None),
    }
}

fn tls(environment: &Environment, http: &Http) -> Result<TlsConfig, String> {
    let path = |flag: &Option<String>, name: &str| {
        let given = flag.clone().filter(|path| !path.is_empty());
        given.or_else(|| environment.setting(name))
    };
    let text = |name| environment.setting(name).map(|text| Pem::Text(Secret::new(text)));
    let file = |path: String| Pem::File(path.into());
    let skip_verify = match http.tls_skip_verify {
        Some(flag) => flag,
        None => environment.flag("SKIP_VERIFY")?.unwrap_or(false),
    };
    Ok(TlsConfig {
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

    fn read(variables: &[(&str, &str)], http: &Http) -> Result<ClientConfig, String> {
        config(&Environment::of(variables), http)
    }

    /// Starts of plug-ins are given up in time for clients that wait so long.
    #[test]
    fn the_configuration_knows_how_long_clients_wait() {
        let known = strongroom_config::plugin::CLIENT_TIMEOUT.as_duration();
        assert_eq!(known, DEFAULT_TIMEOUT);
    }

    #[test]
    fn flags_come_before_the_environment() {
        let variables =
            [("VAULT_ADDR", "http://vault"), ("BAO_ADDR", "http://bao"), ("VAULT_NAMESPACE", "a")];
        let none = read(&variables, &Http::default()).unwrap();
        assert_eq!(none.address, "http://bao");
        assert_eq!(none.namespace.as_deref(), Some("a/"));
        let http = Http {
            address: Some("http://flag".to_owned()),
            namespace: Some("/b/c/".to_owned()),
            tls_skip_verify: Some(false),
            ..Http::default()
        };
        let flags = read(&[&variables[..], &[("VAULT_SKIP_VERIFY", "1")]].concat(), &http).unwrap();
        assert_eq!(flags.address, "http://flag");
        assert_eq!(flags.namespace.as_deref(), Some("b/c/"));
        assert!(!flags.tls.skip_verify);
        let agent = read(&[("VAULT_AGENT_ADDR", "http://agent")], &http).unwrap();
        assert_eq!(agent.address, "http://agent");
    }

    #[test]
    fn without_any_word_the_defaults_hold() {
        let config = read(&[], &Http::default()).unwrap();
        assert_eq!(config.address, "https://127.0.0.1:8200");
        assert_eq!(config.timeout, Duration::from_secs(60));
        assert_eq!(config.max_retries, 0);
        assert!(config.follow_redirect && !config.tls.skip_verify && config.wrap_ttl.is_none());
    }

    #[test]
    fn the_environment_sets_the_rest() {
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
        let config = read(&variables, &Http::default()).unwrap();
        assert_eq!(config.timeout, Duration::from_secs(5));
        assert_eq!(config.max_retries, 3);
        assert!(!config.follow_redirect);
        assert_eq!(config.wrap_ttl.as_deref(), Some("300s"));
        assert_eq!(config.mfa.len(), 1);
        assert!(matches!(config.tls.ca, Some(Pem::Text(_))));
        assert_eq!(config.proxy.as_deref(), Some("http://proxy"));
    }

    #[test]
    fn what_cannot_be_read_or_honoured_is_an_error() {
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
            let error = read(&[(name, value)], &Http::default()).err().unwrap();
            assert!(error.starts_with(name), "{error}");
        }
        let wrapped = read(&[("VAULT_WRAP_TTL", "500ms")], &Http::default()).unwrap();
        assert_eq!(wrapped.wrap_ttl.as_deref(), Some("1s"), "as everywhere, rounded up");
        // A limit below a second is a limit.
        let short = read(&[("VAULT_CLIENT_TIMEOUT", "500ms")], &Http::default()).unwrap();
        assert_eq!(short.timeout, Duration::from_millis(500));
    }

    #[test]
    fn the_root_namespace_is_none() {
        for name in ["", "/", "root", "root/"] {
            let http = Http { namespace: Some(name.to_owned()), ..Http::default() };
            assert_eq!(read(&[("VAULT_NAMESPACE", "a")], &http).unwrap().namespace, None);
        }
    }
}
