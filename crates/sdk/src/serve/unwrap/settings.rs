//! TLS settings for the server from which the certificate is fetched: flags that operators add to a
//! plug-in's arguments, and the environment variables that clients of these servers use.

use std::path::PathBuf;
use strongroom_types::parse_bool;

/// The settings from flags and environment. A flag takes precedence over its variable.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct UnwrapTlsSettings {
    /// A file with the certificate authorities to trust, instead of the system's.
    pub(super) ca_cert: Option<PathBuf>,
    /// A folder of such files; the file takes precedence.
    pub(super) ca_path: Option<PathBuf>,
    /// The plug-in's own certificate for this call, and its key.
    pub(super) client_cert: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
    /// The name that the server's certificate must have, instead of the host in the address.
    pub(super) server_name: Option<String>,
    /// Whether the server's certificate isn't verified.
    pub(super) skip_verify: bool,
}

/// Why a setting is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSetting {
    #[error("the flag -{0} needs a value")]
    NoValue(&'static str),
    #[error("{0} must be true or false")]
    NotABool(&'static str),
}

/// A flag, and the environment variable used if the flag is missing.
struct SettingName {
    flag: &'static str,
    variable: &'static str,
}

const CA_CERT: SettingName = SettingName { flag: "ca-cert", variable: "CACERT" };
const CA_PATH: SettingName = SettingName { flag: "ca-path", variable: "CAPATH" };
const CLIENT_CERT: SettingName = SettingName { flag: "client-cert", variable: "CLIENT_CERT" };
const CLIENT_KEY: SettingName = SettingName { flag: "client-key", variable: "CLIENT_KEY" };
const SERVER_NAME: SettingName =
    SettingName { flag: "tls-server-name", variable: "TLS_SERVER_NAME" };
const SKIP_VERIFY: SettingName = SettingName { flag: "tls-skip-verify", variable: "SKIP_VERIFY" };

const PREFIXES: [&str; 2] = ["BAO_", "VAULT_"];

impl UnwrapTlsSettings {
    pub(crate) fn read(
        arguments: &[String],
        lookup: impl Fn(&str) -> Option<String> + Copy,
    ) -> Result<Self, InvalidSetting> {
        let text = |name: &SettingName| match flag_value(arguments, name.flag)? {
            Some(value) => Ok(Some(value)),
            None => Ok(env_value(name, lookup)),
        };
        let path = |name: &SettingName| text(name).map(|value| value.map(PathBuf::from));
        Ok(Self {
            ca_cert: path(&CA_CERT)?,
            ca_path: path(&CA_PATH)?,
            client_cert: path(&CLIENT_CERT)?,
            client_key: path(&CLIENT_KEY)?,
            server_name: text(&SERVER_NAME)?,
            skip_verify: skip_verify(arguments, lookup)?,
        })
    }
}

/// OpenBao's variable takes precedence; an empty value counts as not set.
fn env_value(name: &SettingName, lookup: impl Fn(&str) -> Option<String>) -> Option<String> {
    let named = PREFIXES.iter().filter_map(|prefix| lookup(&format!("{prefix}{}", name.variable)));
    named.into_iter().find(|value| !value.is_empty())
}

/// The last value given, either after `=` or as the next argument.
fn flag_value(arguments: &[String], name: &'static str) -> Result<Option<String>, InvalidSetting> {
    let mut found = None;
    let mut arguments = flag_arguments(arguments);
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix(name) {
            Some("") => {
                let value = arguments.rest.next().ok_or(InvalidSetting::NoValue(name))?;
                found = Some(value.clone());
            }
            Some(rest) => {
                if let Some(value) = rest.strip_prefix('=') {
                    found = Some(value.to_owned());
                }
            }
            None => {}
        }
    }
    Ok(found.filter(|value| !value.is_empty()))
}

/// A boolean flag, which is true if it has no value.
fn skip_verify(
    arguments: &[String],
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<bool, InvalidSetting> {
    let name = SKIP_VERIFY.flag;
    let given =
        flag_arguments(arguments).filter_map(|argument| match argument.strip_prefix(name)? {
            "" => Some("true"),
            rest => rest.strip_prefix('='),
        });
    match given.last() {
        Some(value) => {
            parse_bool(value).ok_or(InvalidSetting::NotABool("the flag -tls-skip-verify"))
        }
        None => match env_value(&SKIP_VERIFY, lookup) {
            Some(value) => parse_bool(&value).ok_or(InvalidSetting::NotABool("VAULT_SKIP_VERIFY")),
            None => Ok(false),
        },
    }
}

/// The arguments that begin with one dash or two, without the dashes. Others are the engine's.
fn flag_arguments(arguments: &[String]) -> FlagArguments<'_> {
    FlagArguments { rest: arguments.iter() }
}

struct FlagArguments<'a> {
    rest: std::slice::Iter<'a, String>,
}

impl<'a> Iterator for FlagArguments<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.rest.find_map(|argument| {
            let one = argument.strip_prefix('-')?;
            Some(one.strip_prefix('-').unwrap_or(one))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<UnwrapTlsSettings, InvalidSetting> {
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        UnwrapTlsSettings::read(&arguments, |name| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn flags_come_in_four_forms() {
        let expected = UnwrapTlsSettings {
            ca_cert: Some("/ca".into()),
            skip_verify: true,
            ..UnwrapTlsSettings::default()
        };
        for arguments in [
            &["-ca-cert=/ca", "-tls-skip-verify"][..],
            &["--ca-cert=/ca", "--tls-skip-verify=true"],
            &["-ca-cert", "/ca", "--tls-skip-verify"],
            &["--tls-skip-verify=1", "--ca-cert", "/ca"],
            &["run", "-tls-skip-verify", "-ca-certs=/y", "-ca-cert=/x", "--own", "-ca-cert", "/ca"],
        ] {
            assert_eq!(read(arguments, &[]).as_ref(), Ok(&expected), "{arguments:?}");
        }
        assert_eq!(read(&["-ca-cert"], &[]), Err(InvalidSetting::NoValue("ca-cert")));
        assert!(read(&["-tls-skip-verify=maybe"], &[]).is_err());
        assert!(!read(&["-tls-skip-verify", "-tls-skip-verify=false"], &[]).unwrap().skip_verify);
    }

    #[test]
    fn flags_count_before_variables_and_bao_before_vault() {
        let all = [
            ("VAULT_CACERT", "/v/ca"),
            ("VAULT_CAPATH", "/v/cas"),
            ("VAULT_CLIENT_CERT", "/v/cert"),
            ("VAULT_CLIENT_KEY", "/v/key"),
            ("VAULT_TLS_SERVER_NAME", "vault.example"),
            ("VAULT_SKIP_VERIFY", "true"),
            ("BAO_CACERT", "/b/ca"),
            ("BAO_CLIENT_CERT", ""),
        ];
        let expected = UnwrapTlsSettings {
            ca_cert: Some("/b/ca".into()),
            ca_path: Some("/v/cas".into()),
            client_cert: Some("/v/cert".into()),
            client_key: Some("/v/key".into()),
            server_name: Some("vault.example".into()),
            skip_verify: true,
        };
        assert_eq!(read(&[], &all), Ok(expected));
        let flags = ["-ca-cert=/f", "-tls-server-name", "f.example", "-tls-skip-verify=false"];
        let settings = read(&flags, &all).unwrap();
        assert_eq!(settings.ca_cert, Some("/f".into()));
        assert_eq!(settings.server_name, Some("f.example".into()));
        assert!(!settings.skip_verify);
        assert_eq!(
            read(&[], &[("VAULT_SKIP_VERIFY", "yes")]),
            Err(InvalidSetting::NotABool("VAULT_SKIP_VERIFY"))
        );
    }
}
