//! The files of a new crate.

use std::io;
use std::path::Path;

/// What kind of plug-in a crate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PluginKind {
    /// A secrets engine.
    Secrets,
    /// An auth method.
    Auth,
}

/// The variables of the templates.
#[derive(Debug)]
pub(super) struct NewCrate<'a> {
    /// The name of the package and of the plug-in.
    pub(super) name: &'a str,
    /// Which template is used.
    pub(super) kind: PluginKind,
    /// The absolute folder of the SDK's crate; `None` for the published one.
    pub(super) sdk_path: Option<&'a Path>,
}

/// The name of a file in the crate, and its template.
type TemplateFile = (&'static str, &'static str);

const SHARED_FILES: [TemplateFile; 6] = [
    ("Cargo.toml", include_str!("template/both/Cargo.toml.in")),
    ("clippy.toml", include_str!("template/both/clippy.toml.in")),
    ("rustfmt.toml", include_str!("template/both/rustfmt.toml.in")),
    (".gitignore", include_str!("template/both/gitignore.in")),
    (".github/workflows/ci.yml", include_str!("template/both/ci.yml.in")),
    ("src/main.rs", include_str!("template/both/main.rs.in")),
];
const SECRETS_FILES: [TemplateFile; 4] = [
    ("README.md", include_str!("template/secrets/README.md.in")),
    ("src/lib.rs", include_str!("template/secrets/lib.rs.in")),
    ("tests/engine.rs", include_str!("template/secrets/engine.rs.in")),
    ("tests/service/mod.rs", include_str!("template/secrets/service.rs.in")),
];
const AUTH_FILES: [TemplateFile; 3] = [
    ("README.md", include_str!("template/auth/README.md.in")),
    ("src/lib.rs", include_str!("template/auth/lib.rs.in")),
    ("tests/method.rs", include_str!("template/auth/method.rs.in")),
];

/// The version of the SDK that the templates are written for: the one built with this command.
const SDK_VERSION: &str = env!("CARGO_PKG_VERSION");

impl NewCrate<'_> {
    /// The name and the content of each file.
    ///
    /// # Errors
    ///
    /// If the path of the SDK is not UTF-8.
    pub(super) fn files(&self) -> io::Result<Vec<(&'static str, String)>> {
        let sdk = match self.sdk_path {
            None => format!("version = \"{SDK_VERSION}\""),
            Some(path) => {
                let path = path.to_str().ok_or_else(|| {
                    io::Error::other("the path of the SDK can't be written into Cargo.toml")
                })?;
                format!("path = {}", serde_json::to_string(path)?)
            }
        };
        let (files, description, dependencies) = match self.kind {
            PluginKind::Secrets => (
                &SECRETS_FILES[..],
                "A secrets engine that issues tokens of a service",
                format!(
                    "serde = {{ version = \"1\", features = [\"derive\"] }}\nserde_json = \"1\"\n\
                     strongroom-sdk = {{ {sdk} }}"
                ),
            ),
            PluginKind::Auth => (
                &AUTH_FILES[..],
                "An auth method for machines that log in with a key",
                // The HTTP client is not used.
                format!(
                    "strongroom-sdk = {{ {sdk}, default-features = false, \
                     features = [\"serve\"] }}"
                ),
            ),
        };
        let variables = [
            ("{{name}}", self.name),
            ("{{crate}}", &self.name.replace('-', "_")),
            ("{{description}}", description),
            ("{{dependencies}}", &dependencies),
            ("{{sdk}}", &sdk),
        ];
        let fill = |template: &str| {
            variables
                .iter()
                .fold(template.to_owned(), |text, (variable, value)| text.replace(variable, value))
        };
        let all = SHARED_FILES.iter().chain(files);
        Ok(all.map(|(name, template)| (*name, fill(template))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variable_of_a_template_is_left_unfilled() {
        for kind in [PluginKind::Secrets, PluginKind::Auth] {
            for sdk_path in [None, Some(Path::new("/sdk \"of mine\""))] {
                let new_crate = NewCrate { name: "acme-tokens", kind, sdk_path };
                for (name, text) in new_crate.files().unwrap() {
                    assert!(!text.contains("{{"), "{name}: {text}");
                    assert!(text.ends_with('\n') && !text.contains('\t'), "{name}");
                }
            }
        }
    }

    #[test]
    fn the_sdk_is_a_version_or_a_path() {
        let manifest = |sdk_path| {
            let kind = PluginKind::Secrets;
            let files = NewCrate { name: "acme-tokens", kind, sdk_path }.files().unwrap();
            files.into_iter().find(|(name, _)| *name == "Cargo.toml").unwrap().1
        };
        let published = format!("strongroom-sdk = {{ version = \"{SDK_VERSION}\" }}");
        assert!(manifest(None).contains(&published));
        let local = manifest(Some(Path::new("/a \"b\"")));
        assert!(local.contains(r#"strongroom-sdk = { path = "/a \"b\"" }"#), "{local}");
    }
}
