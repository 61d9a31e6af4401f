//! [`TrustFile`]: the operator's list of plug-ins that may run, in a file outside of the storage.
//!
//! ```hcl
//! plugin "4f6c…64 hex digits" {
//!   command = "custom-plugin"
//!   args    = ["-region", "eu"]
//!   env     = ["HTTPS_PROXY", "LOG_LEVEL=info"]
//! }
//! ```
//!
//! A block allows one binary, by its SHA-256, with exactly these arguments and with variables that
//! are listed by name, or by name and value. Several blocks may name the same binary. The file is
//! read at each launch: a plug-in that is removed from it does not start again.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use strongroom_hcl::{HclBlock, HclValue, ParseError, ParseLimits, parse_bytes};

use crate::binary::check_owner;
use crate::error::Error;
use crate::spec::LaunchSpec;
use crate::system_errors::system_error_text;
use crate::variable_rules::refused_class;

/// The location of the trust file, as configured with `plugin_trust`.
#[derive(Clone, Debug)]
pub struct TrustFile(PathBuf);

/// A parsed trust file: the plug-ins that it allows to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustList(Vec<TrustedPlugin>);

/// One block of a trust file: a binary with its arguments and variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedPlugin {
    sha256: String,
    command: Option<String>,
    args: Vec<String>,
    env: Vec<String>,
}

const TRUST_SETTINGS: [&str; 3] = ["command", "args", "env"];
const DIGEST_DIGITS: usize = 64;

impl TrustFile {
    /// Remembers the path. The file is not read yet. A missing or invalid file is therefore not
    /// noticed here.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Reads and parses the file. The file and its folder must belong to root or the server's user
    /// and be writable by no one else. Blocks on file access.
    pub fn read(&self) -> Result<TrustList, Error> {
        let bytes = self.read_bytes().map_err(|reason| self.trust_file_error(&reason))?;
        TrustList::parse(&bytes).map_err(|error| Error::TrustFile {
            file: self.0.clone(),
            reason: format!("{}:{error}", self.0.display()),
        })
    }

    fn read_bytes(&self) -> Result<Vec<u8>, String> {
        let text = |error: std::io::Error| system_error_text(&error);
        let path = fs::canonicalize(&self.0).map_err(text)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        check_owner(&fs::metadata(folder).map_err(text)?)
            .map_err(|reason| format!("its folder can't be trusted: {reason}"))?;
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from(flags).unwrap_or_default())
            .open(&path)
            .map_err(text)?;
        let metadata = file.metadata().map_err(text)?;
        if !metadata.is_file() {
            return Err("it is not a file".to_owned());
        }
        check_owner(&metadata)?;
        let most = ParseLimits::default().max_bytes as u64;
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes).map_err(text)?;
        Ok(bytes)
    }

    fn trust_file_error(&self, reason: &str) -> Error {
        let reason = format!("{}: {reason}", self.0.display());
        Error::TrustFile { file: self.0.clone(), reason }
    }
}

impl TrustList {
    /// Parses HCL or JSON. Errors begin with line and column. Keys other than `plugin`, and keys
    /// that are set twice, are errors.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = |error: ParseError| error.to_string();
        let body = parse_bytes(bytes, &ParseLimits::default()).map_err(text)?;
        if let Some(item) = body.unknown_items(&["plugin"]).next() {
            return Err(format!(
                "{}: {:?} is no setting of a trust file",
                item.key.position, item.key.text
            ));
        }
        if let Some(again) = body.duplicate_keys().first() {
            return Err(format!("{}: {:?} is set twice", again.again, again.key));
        }
        let blocks = body.blocks::<1>("plugin").map_err(text)?;
        blocks.iter().map(TrustedPlugin::read).collect::<Result<_, _>>().map(Self)
    }

    /// The first block that allows a plug-in to run as it was registered; an error if none does.
    pub fn allowing_block(&self, spec: &LaunchSpec) -> Result<&TrustedPlugin, Error> {
        let refused = |reason: String| Error::Untrusted { plugin: spec.display_name(), reason };
        let mut reason = format!("it names no plugin {:?}", spec.sha256);
        for allowed in self.0.iter().filter(|it| it.sha256.eq_ignore_ascii_case(&spec.sha256)) {
            match allowed.check_spec(spec) {
                Ok(()) => return Ok(allowed),
                Err(why) => reason = why,
            }
        }
        Err(refused(reason))
    }
}

impl TrustedPlugin {
    fn read(block: &HclBlock<'_, 1>) -> Result<Self, String> {
        let [digest] = block.labels;
        if digest.text.len() != DIGEST_DIGITS
            || !digest.text.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(format!(
                "{}: a plugin is named by the SHA-256 of its file, 64 hexadecimal digits",
                digest.position
            ));
        }
        let body = block.body;
        if let Some(item) = body.unknown_items(&TRUST_SETTINGS).next() {
            return Err(format!(
                "{}: {:?} is no setting of a plugin",
                item.key.position, item.key.text
            ));
        }
        let text = |error: ParseError| error.to_string();
        let list = |name| {
            let words = body.read(name, HclValue::as_str_list).map_err(text)?.unwrap_or_default();
            Ok::<_, String>(words.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        let env = list("env")?;
        for entry in &env {
            let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name);
            if let Some(class) = refused_class(name).filter(|class| !class.trust_file_may_allow) {
                let position =
                    body.last_item("env").map_or(digest.position, |item| item.key.position);
                return Err(format!(
                    "{position}: env: {name} configures {} and can't be allowed",
                    class.configures
                ));
            }
        }
        Ok(Self {
            sha256: digest.text.clone(),
            command: body.read("command", HclValue::as_str).map_err(text)?.map(str::to_owned),
            args: list("args")?,
            env,
        })
    }

    /// Whether the block lists this variable, by name alone or with a value.
    pub fn names_variable(&self, name: &str) -> bool {
        self.env.iter().any(|it| it.split_once('=').map_or(it.as_str(), |(name, _)| name) == name)
    }

    /// Checks a registration. Errors name a variable but not its value, which may be secret.
    fn check_spec(&self, spec: &LaunchSpec) -> Result<(), String> {
        if self.command.as_ref().is_some_and(|command| *command != spec.command) {
            return Err(format!("it allows its file under another name than {:?}", spec.command));
        }
        if self.args != spec.args {
            return Err(
                "it allows other arguments; list those of the registration in args".to_owned()
            );
        }
        for entry in &spec.env {
            let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name);
            if !self.env.iter().any(|it| it == name || it == entry) {
                return Err(format!("it does not allow the variable {name} with this value"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn test_spec(args: &[&str], env: &[&str]) -> LaunchSpec {
        let owned = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect();
        LaunchSpec {
            name: "custom".to_owned(),
            kind: "secret",
            version: String::new(),
            command: "custom".to_owned(),
            args: owned(args),
            env: owned(env),
            sha256: "ab".repeat(32),
        }
    }

    fn parse_list(text: &str) -> Result<TrustList, String> {
        TrustList::parse(text.replace("DIGEST", &"AB".repeat(32)).as_bytes())
    }

    #[test]
    fn only_what_is_named_is_allowed() {
        let both = parse_list(
            r#"plugin "DIGEST" {
                 command = "custom"
                 args    = ["-region", "eu"]
                 env     = ["HTTPS_PROXY", "LEVEL=info", "SSL_CERT_FILE"]
               }
               plugin "DIGEST" {}"#,
        )
        .unwrap();
        let args = ["-region", "eu"];
        for (args, env) in [
            (&args[..], &["HTTPS_PROXY=x", "LEVEL=info", "SSL_CERT_FILE=/x"][..]),
            (&args[..], &[]),
            (&[], &[]),
        ] {
            both.allowing_block(&test_spec(args, env)).unwrap();
        }
        for (args, env, said) in [
            (&["-region"][..], &[][..], "other arguments"),
            (&["eu", "-region"], &[], "other arguments"),
            (&args[..], &["LEVEL=hunter2"], "other arguments"),
            (&[], &["HTTPS_PROXY=hunter2"], "the variable HTTPS_PROXY"),
        ] {
            let error = both.allowing_block(&test_spec(args, env)).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("hunter2"), "{error}");
        }
        let mut other = test_spec(&args, &[]);
        other.sha256 = "00".repeat(32);
        let error = both.allowing_block(&other).unwrap_err().to_string();
        assert!(error.contains(&format!("it names no plugin {:?}", other.sha256)), "{error}");
        let one = parse_list(r#"plugin "DIGEST" { command = "other" }"#).unwrap();
        assert!(
            one.allowing_block(&test_spec(&[], &[]))
                .unwrap_err()
                .to_string()
                .contains("another name")
        );
        assert!(TrustList::default().allowing_block(&test_spec(&[], &[])).is_err());
    }

    #[test]
    fn the_example_of_the_documentation_is_read() {
        let page = include_str!("../../../docs/src/howto/plugins.md");
        let example = page.split("```hcl\n").nth(1).unwrap().split("```").next().unwrap();
        assert_eq!(parse_list(example).unwrap().0.len(), 1);
    }

    #[test]
    fn json_is_read_too() {
        let json = parse_list(r#"{"plugin": {"DIGEST": {"args": ["-x"]}}}"#).unwrap();
        json.allowing_block(&test_spec(&["-x"], &[])).unwrap();
    }

    #[test]
    fn what_is_wrong_names_its_line() {
        for (text, said) in [
            ("plugin \"DIGEST\" {\n  arguments = []\n}", "2:3: \"arguments\" is no setting"),
            ("\nplug-in \"x\" {}", "2:1: \"plug-in\" is no setting"),
            ("\nplugin \"abc\" {}", "2:8: a plugin is named by the SHA-256"),
            ("plugin \"DIGEST\" {\n  env = [\"LD_PRELOAD\"]\n}", "2:3: env: LD_PRELOAD configures"),
            ("plugin \"DIGEST\" {\n  args = \"x\"\n}", "2:"),
            ("plugin \"DIGEST\" {\n", "1:75: "),
            ("plugin \"DIGEST\" {\n args = []\n args = []\n}", "3:2: \"args\" is set twice"),
        ] {
            let error = parse_list(text).unwrap_err();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_may_write_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trust.hcl");
        let set_mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let file = TrustFile::new(path.clone());
        let refusal = || {
            let error = file.read().unwrap_err();
            assert!(!error.to_string().contains(path.to_str().unwrap()), "{error}");
            error.details()
        };
        assert!(refusal().ends_with("trust.hcl: it is not there (NotFound)"), "{}", refusal());
        fs::write(&path, "plugin {").unwrap();
        set_mode(&path, 0o644);
        assert!(refusal().contains("trust.hcl:1:"));
        fs::write(&path, "").unwrap();
        assert_eq!(file.read().unwrap(), TrustList::default());
        set_mode(&path, 0o664);
        assert!(refusal().contains("may write to it"));
        set_mode(&path, 0o644);
        set_mode(folder.path(), 0o777);
        assert!(refusal().contains("its folder can't be trusted"));
        set_mode(folder.path(), 0o700);
        file.read().unwrap();
    }
}
