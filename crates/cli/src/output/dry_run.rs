//! Shows a request instead of sending it: as a curl command, or as the policy it needs.

use strongroom_client::{ClientConfig, DryRun, DryRunRequest, PemSource};

use super::Printer;
use crate::error::{CliError, CliResult};
use crate::flags::HttpFlags;

/// The dry run of a command, whose first request is shown instead of sent.
pub(crate) struct DryRunOutput {
    dry_run: DryRun,
    format: DryRunFormat,
}

/// How to show the request.
enum DryRunFormat {
    /// As a curl command, with these connection options.
    Curl(Vec<String>),
    Policy,
}

impl DryRunOutput {
    /// The dry run that the flags ask for, if any.
    pub(crate) fn new(http: &HttpFlags, config: &ClientConfig) -> CliResult<Option<Self>> {
        let shown = match (http.output_curl_string, http.output_policy) {
            (false, false) => return Ok(None),
            (true, false) => DryRunFormat::Curl(curl_connection_options(config)?),
            (false, true) => DryRunFormat::Policy,
            (true, true) => {
                let text = "-output-curl-string and -output-policy cannot be used together";
                return Err(CliError::usage(text));
            }
        };
        Ok(Some(Self { dry_run: DryRun::default(), format: shown }))
    }

    pub(crate) fn dry_run(&self) -> &DryRun {
        &self.dry_run
    }

    /// Prints the recorded request. The command's own outcome is then ignored, since it got no
    /// response; if the command failed before its first request, that error is returned.
    pub(crate) fn print_request(&self, outcome: CliResult, printer: &mut Printer) -> CliResult {
        let Some(call) = self.dry_run.request() else {
            if let Err(CliError { text: Some(text), .. }) = &outcome {
                printer.error(text);
            }
            let what = match self.format {
                DryRunFormat::Curl(_) => "curl command",
                DryRunFormat::Policy => "policy",
            };
            let text =
                format!("the command ended before its first request: there is no {what} to show");
            return Err(CliError {
                text: Some(text),
                ..outcome.err().unwrap_or(CliError::silent(1))
            });
        };
        printer.line(&match &self.format {
            DryRunFormat::Curl(connection) => curl_command(call, connection),
            DryRunFormat::Policy => required_policy(call),
        });
        Ok(())
    }
}

/// Refuses the dry-run flags on a command that sends no request.
pub(crate) fn refuse_dry_run_flags(http: &HttpFlags) -> CliResult {
    if http.output_curl_string || http.output_policy {
        let text = "this command sends no request: there is neither a curl command nor a policy";
        return Err(CliError::usage(text));
    }
    Ok(())
}

/// The curl options for address, certificates and proxy.
fn curl_connection_options(config: &ClientConfig) -> CliResult<Vec<String>> {
    let tls = &config.tls;
    if tls.server_name.is_some() {
        let text = "-output-curl-string can't show a TLS server name: leave -tls-server-name out";
        return Err(CliError::usage(text));
    }
    let mut arguments = Vec::new();
    if let Some(socket) = config.address.strip_prefix("unix://") {
        arguments.push(format!("--unix-socket {}", shell_quote(socket)));
    }
    if tls.skip_verify {
        arguments.push("--insecure".to_owned());
    }
    let mut add = |flag: &str, path: &std::path::Path| {
        arguments.push(format!("--{flag} {}", shell_quote(&path.to_string_lossy())));
    };
    for (flag, pem) in [("cacert", &tls.ca), ("cert", &tls.client_cert), ("key", &tls.client_key)] {
        if let Some(PemSource::File(path)) = pem {
            add(flag, path);
        }
    }
    if let (None, Some(folder)) = (&tls.ca, &tls.ca_folder) {
        add("capath", folder);
    }
    Ok(arguments)
}

/// The request as a shell command, without the token.
fn curl_command(call: &DryRunRequest, connection: &[String]) -> String {
    let mut words = vec!["curl".to_owned()];
    if call.method != "GET" {
        words.push(format!("-X {}", call.method));
    }
    words.extend(connection.iter().cloned());
    let known = |name: &str| name == "X-Vault-Request";
    let header =
        |name: &str, value: &str| format!("-H {}", shell_quote(&format!("{name}: {value}")));
    let (first, rest): (Vec<_>, Vec<_>) = call.headers.iter().partition(|(name, _)| known(name));
    words.extend(first.iter().map(|(name, value)| header(name, value)));
    if call.has_token {
        words.push("-H \"X-Vault-Token: $(strongroom print token)\"".to_owned());
    }
    words.extend(rest.iter().map(|(name, value)| header(name, value)));
    if let Some(body) = &call.body {
        let body = String::from_utf8_lossy(body);
        words.push(format!("-d '{}'", body.replace('\'', r#"'"'"'"#)));
    }
    words.push(shell_quote(&call.url));
    words.join(" ")
}

/// Quotes a word for a shell, in double quotes.
fn shell_quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

fn required_policy(call: &DryRunRequest) -> String {
    let mut capabilities = match call.method.as_str() {
        _ if call.is_list => vec!["list"],
        "DELETE" => vec!["delete"],
        "PATCH" => vec!["patch"],
        "POST" | "PUT" => vec!["create", "update"],
        _ => vec!["read"],
    };
    if needs_sudo(call) {
        capabilities.push("sudo");
    }
    let capabilities: Vec<_> = capabilities.iter().map(|name| format!("\"{name}\"")).collect();
    let path = call.path.replace('\\', "\\\\").replace('"', "\\\"");
    format!("path \"{path}\" {{\n  capabilities = [{}]\n}}", capabilities.join(", "))
}

/// Whether a path requires the capability `sudo`. An entry that ends in `/` covers all paths below
/// it.
///
/// Source: <https://developer.hashicorp.com/vault/docs/concepts/policies#root-protected-api-endpoints>
fn needs_sudo(call: &DryRunRequest) -> bool {
    const SUDO_PATHS: [&str; 26] = [
        "auth/token/accessors",
        "auth/token/revoke-orphan",
        "sys/audit",
        "sys/audit/",
        "sys/auth/",
        "sys/config/auditing/",
        "sys/config/cors",
        "sys/config/ui/headers",
        "sys/config/ui/headers/",
        "sys/internal/inspect/",
        "sys/leases",
        "sys/leases/lookup/",
        "sys/leases/revoke-force/",
        "sys/leases/revoke-prefix/",
        "sys/plugins/catalog/",
        "sys/plugins/runtimes/catalog",
        "sys/raw",
        "sys/raw/",
        "sys/remount",
        "sys/revoke-force/",
        "sys/revoke-prefix/",
        "sys/rotate",
        "sys/rotate/keyring",
        "sys/rotate/root",
        "sys/seal",
        "sys/step-down",
    ];
    // Leases are listed at paths below the one for looking up a lease.
    let lists_leases = call.is_list && call.path == "sys/leases/lookup";
    lists_leases
        || SUDO_PATHS.iter().any(|path| match path.strip_suffix('/') {
            Some(_) => call.path.starts_with(path),
            None => call.path == *path,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dry_run_request(method: &str, path: &str) -> DryRunRequest {
        DryRunRequest {
            method: method.to_owned(),
            url: format!("http://h/v1/{path}"),
            path: path.to_owned(),
            is_list: false,
            headers: vec![("X-Vault-Request".to_owned(), "true".to_owned())],
            has_token: true,
            body: None,
        }
    }

    #[test]
    fn curl_command_is_quoted_for_the_shell() {
        let mut call = dry_run_request("PUT", "secret/a$b");
        call.headers.insert(0, ("Odd".to_owned(), "`x` \"$y\" \\".to_owned()));
        call.body = Some(r#"{"a":"it's"}"#.into());
        assert_eq!(
            curl_command(&call, &["--insecure".to_owned()]),
            r#"curl -X PUT --insecure -H "X-Vault-Request: true" -H "X-Vault-Token: $(strongroom print token)" -H "Odd: \`x\` \"\$y\" \\" -d '{"a":"it'"'"'s"}' "http://h/v1/secret/a\$b""#
        );
    }

    #[test]
    fn a_policy_has_the_capability_and_sudo_where_it_is_needed() {
        for (method, path, expected) in [
            ("GET", "secret/a", r#"["read"]"#),
            ("PUT", "secret/a", r#"["create", "update"]"#),
            ("PATCH", "secret/a", r#"["patch"]"#),
            ("DELETE", "sys/auth/x", r#"["delete", "sudo"]"#),
            ("GET", "sys/auth", r#"["read"]"#),
            ("PUT", "sys/seal", r#"["create", "update", "sudo"]"#),
            ("PUT", "sys/leases/lookup", r#"["create", "update"]"#),
        ] {
            let expected = format!("path \"{path}\" {{\n  capabilities = {expected}\n}}");
            assert_eq!(required_policy(&dry_run_request(method, path)), expected);
        }
        let list = DryRunRequest { is_list: true, ..dry_run_request("GET", "sys/leases/lookup") };
        assert!(required_policy(&list).contains(r#"["list", "sudo"]"#));
        assert!(
            required_policy(&dry_run_request("GET", "a\"b\\c")).starts_with(r#"path "a\"b\\c" {"#)
        );
    }
}
