//! The auth methods that `login` knows: where they are asked, and what they take.

use strongroom_types::Fields;

use super::failed;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::Http;
use crate::output::text::wrap;

/// An auth method.
pub(in super::super) struct Method {
    /// Its type, under which it is mounted by default.
    pub(in super::super) name: &'static str,
    pub(super) kind: Kind,
    about: &'static str,
    /// Names and meanings of what it takes.
    takes: &'static [(&'static str, &'static str)],
    example: &'static str,
}

/// How a method logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A token is there already.
    Token,
    /// At `login/<username>`, with a password that is asked for if it isn't given.
    Password,
    /// At `login`, with these fields; the named ones must be there.
    Fields(&'static [&'static str]),
    /// Not from here.
    Elsewhere,
}

const USERNAME: (&str, &str) = ("username", "who logs in; by default the user of this machine");
const PASSWORD: (&str, &str) = ("password", "by default it is asked for, unseen");
const ROLE: (&str, &str) = ("role", "the role to log in as");

pub(in super::super) const METHODS: [Method; 9] = [
    Method {
        name: "token",
        kind: Kind::Token,
        about: "Checks a token that is there already, and keeps it.",
        takes: &[
            ("token", "the token; by default it is asked for, unseen"),
            ("lookup", "false to keep it without asking the server about it"),
        ],
        example: "login",
    },
    Method {
        name: "userpass",
        kind: Kind::Password,
        about: "Names and passwords that the server keeps.",
        takes: &[("username", "who logs in"), PASSWORD],
        example: "login -method=userpass username=sally",
    },
    Method {
        name: "ldap",
        kind: Kind::Password,
        about: "Names and passwords of an LDAP directory.",
        takes: &[USERNAME, PASSWORD],
        example: "login -method=ldap username=sally",
    },
    Method {
        name: "radius",
        kind: Kind::Password,
        about: "Names and passwords of a RADIUS server.",
        takes: &[USERNAME, PASSWORD],
        example: "login -method=radius username=sally",
    },
    Method {
        name: "cert",
        kind: Kind::Fields(&[]),
        about: "The TLS certificate of this client, from -client-cert and -client-key.",
        takes: &[("name", "the certificate role; by default any that fits")],
        example: "login -method=cert -client-cert=cert.pem -client-key=key.pem",
    },
    Method {
        name: "approle",
        kind: Kind::Fields(&["role_id"]),
        about: "A role's id and a secret id, for machines.",
        takes: &[("role_id", "the role's id"), ("secret_id", "a secret id of the role")],
        example: "login -method=approle role_id=… secret_id=@secret-id",
    },
    Method {
        name: "jwt",
        kind: Kind::Fields(&["jwt"]),
        about: "A signed token (JWT) of another issuer.",
        takes: &[ROLE, ("jwt", "the signed token")],
        example: "login -method=jwt role=ci jwt=@token",
    },
    Method {
        name: "kubernetes",
        kind: Kind::Fields(&["role", "jwt"]),
        about: "The token of a Kubernetes service account.",
        takes: &[ROLE, ("jwt", "the service account's token")],
        example: "login -method=kubernetes role=app \
                  jwt=@/var/run/secrets/kubernetes.io/serviceaccount/token",
    },
    Method {
        name: "oidc",
        kind: Kind::Elsewhere,
        about: "A login page in a browser. This program doesn't open one: get a token elsewhere, and \
                keep it with \"strongroom login\".",
        takes: &[],
        example: "login",
    },
];

impl Method {
    pub(in super::super) fn named(name: &str) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.name == name)
    }

    /// The path below `auth/` at which to log in; `fields` become what is sent there.
    pub(super) fn prepare(
        &self,
        mount: &str,
        fields: &mut Fields,
        context: &mut Context,
        http: &Http,
    ) -> Outcome<String> {
        match self.kind {
            Kind::Token | Kind::Elsewhere => Err(Failure::local(wrap(self.about))),
            Kind::Password => {
                let named = fields.text("username");
                fields.remove("username");
                let of_machine = || {
                    let names = ["LOGNAME", "USER"].map(|name| context.environment.exact(name));
                    names.into_iter().flatten().find(|name| !name.is_empty())
                };
                // Users of the server's own have nothing to do with those of this machine.
                let name = if self.name == "userpass" { named } else { named.or_else(of_machine) };
                let name = name.filter(|name| !name.is_empty());
                let name =
                    name.ok_or_else(|| failed("there is no user name: give it as username=NAME"))?;
                self.password(fields, context, http)?;
                Ok(format!("{mount}/login/{name}"))
            }
            Kind::Fields(needed) => {
                for name in needed {
                    if fields.text(name).is_none_or(|value| value.is_empty()) {
                        return Err(failed(format!("{name} is missing: give it as {name}=VALUE")));
                    }
                }
                Ok(format!("{mount}/login"))
            }
        }
    }

    fn password(&self, fields: &mut Fields, context: &mut Context, http: &Http) -> Outcome {
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
            return Err(failed(text));
        }
        let password = context.ask_secret("Password (not shown): ").map_err(failed)?;
        fields.set("password", password.expose_secret());
        Ok(())
    }

    /// What `auth help` prints.
    pub(in super::super) fn help(&self) -> String {
        let usage = match self.kind {
            Kind::Token => "strongroom login [TOKEN]".to_owned(),
            Kind::Elsewhere => String::new(),
            _ => format!("strongroom login -method={} [-path=PATH] [K=V]", self.name),
        };
        let mut text = if usage.is_empty() { String::new() } else { format!("Usage: {usage}\n\n") };
        text.push_str(&wrap(self.about));
        if !self.takes.is_empty() {
            text.push_str("\n\nTakes:\n");
            let width = self.takes.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, meaning) in self.takes {
                text.push_str(&format!("  {name:<width$}  {meaning}\n"));
            }
            text.push_str(&format!("\nExample:\n  strongroom {}", self.example));
        }
        text
    }
}
