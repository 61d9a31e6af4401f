//! The auth methods that `login` supports: their login paths and parameters.

use strongroom_types::Fields;

use super::authentication_error;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult};
use crate::flags::HttpFlags;
use crate::output::text::wrap_text;

/// An auth method that `login` supports.
pub(crate) struct LoginMethod {
    /// Its type, which is also its default mount path.
    pub(crate) name: &'static str,
    pub(super) flow: LoginFlow,
    description: &'static str,
    /// The names and descriptions of its parameters.
    parameters: &'static [(&'static str, &'static str)],
    example: &'static str,
}

/// How to log in with a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginFlow {
    /// With an existing token; there is no login request.
    Token,
    /// At `login/<username>` with a password, which is prompted for if it isn't given.
    Password,
    /// At `login` with parameters as fields; the ones named here are required.
    Fields(&'static [&'static str]),
    /// This command doesn't support the method.
    Unsupported,
}

const USERNAME: (&str, &str) = ("username", "the user name; by default that of the local user");
const PASSWORD: (&str, &str) = ("password", "the password; prompted for by default");
const ROLE: (&str, &str) = ("role", "the role to log in as");

pub(crate) const LOGIN_METHODS: [LoginMethod; 9] = [
    LoginMethod {
        name: "token",
        flow: LoginFlow::Token,
        description: "Verifies an existing token, and stores it.",
        parameters: &[
            ("token", "the token; prompted for by default"),
            ("lookup", "false to store it without looking it up on the server"),
        ],
        example: "login",
    },
    LoginMethod {
        name: "userpass",
        flow: LoginFlow::Password,
        description: "User names and passwords stored by the server.",
        parameters: &[("username", "the user name"), PASSWORD],
        example: "login -method=userpass username=sally",
    },
    LoginMethod {
        name: "ldap",
        flow: LoginFlow::Password,
        description: "User names and passwords of an LDAP directory.",
        parameters: &[USERNAME, PASSWORD],
        example: "login -method=ldap username=sally",
    },
    LoginMethod {
        name: "radius",
        flow: LoginFlow::Password,
        description: "User names and passwords of a RADIUS server.",
        parameters: &[USERNAME, PASSWORD],
        example: "login -method=radius username=sally",
    },
    LoginMethod {
        name: "cert",
        flow: LoginFlow::Fields(&[]),
        description: "The TLS certificate of this client, from -client-cert and -client-key.",
        parameters: &[("name", "the certificate role; by default any that matches")],
        example: "login -method=cert -client-cert=cert.pem -client-key=key.pem",
    },
    LoginMethod {
        name: "approle",
        flow: LoginFlow::Fields(&["role_id"]),
        description: "A role's id and a secret id, for machines.",
        parameters: &[
            ("role_id", "the role's id"),
            (
                "secret_id",
                "a secret id of the role; @FILE or - (standard input) keeps it out of the process list",
            ),
        ],
        example: "login -method=approle role_id=… secret_id=@secret-id",
    },
    LoginMethod {
        name: "jwt",
        flow: LoginFlow::Fields(&["jwt"]),
        description: "A signed token (JWT) of another issuer.",
        parameters: &[ROLE, ("jwt", "the signed token")],
        example: "login -method=jwt role=ci jwt=@token",
    },
    LoginMethod {
        name: "kubernetes",
        flow: LoginFlow::Fields(&["role", "jwt"]),
        description: "The token of a Kubernetes service account.",
        parameters: &[ROLE, ("jwt", "the service account's token")],
        example: "login -method=kubernetes role=app \
                  jwt=@/var/run/secrets/kubernetes.io/serviceaccount/token",
    },
    LoginMethod {
        name: "oidc",
        flow: LoginFlow::Unsupported,
        description: "A login page in a browser. This program doesn't open one: get a token elsewhere, and \
                store it with \"strongroom login\".",
        parameters: &[],
        example: "login",
    },
];

impl LoginMethod {
    pub(in super::super) fn by_name(name: &str) -> Option<&'static Self> {
        LOGIN_METHODS.iter().find(|method| method.name == name)
    }

    /// The path below `auth/` to log in at. `fields` is changed to what has to be sent there.
    pub(super) fn prepare_request(
        &self,
        mount: &str,
        fields: &mut Fields,
        context: &mut CommandContext,
        http: &HttpFlags,
    ) -> CliResult<String> {
        match self.flow {
            LoginFlow::Token | LoginFlow::Unsupported => {
                Err(CliError::local(wrap_text(self.description)))
            }
            LoginFlow::Password => {
                let named = fields.text("username");
                fields.remove("username");
                let of_machine = || {
                    let names =
                        ["LOGNAME", "USER"].map(|name| context.environment.raw_variable(name));
                    names.into_iter().flatten().find(|name| !name.is_empty())
                };
                // The server's own users don't correspond to this machine's, so there is no default
                // name.
                let name = if self.name == "userpass" { named } else { named.or_else(of_machine) };
                let name = name.filter(|name| !name.is_empty());
                let name = name.ok_or_else(|| {
                    authentication_error("there is no user name: give it as username=NAME")
                })?;
                self.add_password(fields, context, http)?;
                Ok(format!("{mount}/login/{name}"))
            }
            LoginFlow::Fields(needed) => {
                for name in needed {
                    if fields.text(name).is_none_or(|value| value.is_empty()) {
                        return Err(authentication_error(format!(
                            "{name} is missing: give it as {name}=VALUE"
                        )));
                    }
                }
                Ok(format!("{mount}/login"))
            }
        }
    }

    fn add_password(
        &self,
        fields: &mut Fields,
        context: &mut CommandContext,
        http: &HttpFlags,
    ) -> CliResult {
        if fields.contains("password") {
            return Ok(());
        }
        let of_environment = context
            .environment
            .setting(&format!("{}_PASSWORD", self.name.to_uppercase()))
            .filter(|_| self.name != "userpass");
        if let Some(password) = of_environment {
            fields.set("password", &password);
            return Ok(());
        }
        if http.non_interactive {
            let text = "there is no password: give it as password=- and pass it on standard input";
            return Err(authentication_error(text));
        }
        let password =
            context.prompt_secret("Password (not shown): ").map_err(authentication_error)?;
        fields.set("password", password.expose_secret());
        Ok(())
    }

    /// The text that `auth help` prints.
    pub(in super::super) fn help_text(&self) -> String {
        let usage = match self.flow {
            LoginFlow::Token => "strongroom login [TOKEN]".to_owned(),
            LoginFlow::Unsupported => String::new(),
            _ => format!("strongroom login -method={} [-path=PATH] [K=V]", self.name),
        };
        let mut text = if usage.is_empty() { String::new() } else { format!("Usage: {usage}\n\n") };
        text.push_str(&wrap_text(self.description));
        if !self.parameters.is_empty() {
            text.push_str("\n\nParameters:\n");
            let width = self.parameters.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, meaning) in self.parameters {
                text.push_str(&format!("  {name:<width$}  {meaning}\n"));
            }
            text.push_str(&format!("\nExample:\n  strongroom {}", self.example));
        }
        text
    }
}
