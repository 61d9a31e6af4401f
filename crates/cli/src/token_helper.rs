//! Where the token is stored between commands: a file that only its owner can read, or a program
//! that the user has configured.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use strongroom_types::Secret;

use crate::environment::Environment;

/// A place to store the token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TokenHelper {
    /// A file with mode 0600 that holds the token without a line end.
    File(PathBuf),
    /// A program that is run with `get` or `store`.
    Program {
        /// The path of the program.
        path: PathBuf,
        /// The server's address, so that the program can keep a token for each server.
        address: String,
    },
}

/// The maximum length of a token in bytes, wherever it comes from.
const MAX_TOKEN_BYTES: u64 = 64 << 10;

impl TokenHelper {
    /// The helper that the file in `BAO_CONFIG_PATH`, or else `~/.bao` or `~/.vault`, names;
    /// otherwise the file in `BAO_TOKEN_PATH`, by default `~/.vault-token`. Both variables have
    /// `VAULT_` names as well.
    pub(crate) fn from_environment(
        environment: &Environment,
        address: &str,
    ) -> Result<Self, String> {
        if let Some(program) = configured_program(environment)? {
            let path = PathBuf::from(&program);
            if !path.is_absolute() {
                return Err("token_helper must be an absolute path".to_owned());
            }
            return Ok(Self::Program { path, address: address.to_owned() });
        }
        if let Some(path) = environment.setting("TOKEN_PATH") {
            return Ok(Self::File(PathBuf::from(path)));
        }
        let home = environment.home_dir().ok_or("there is no home folder: HOME is not set")?;
        Ok(Self::File(Path::new(&home).join(".vault-token")))
    }

    /// The stored token, if there is one.
    pub(crate) fn get(&self) -> Result<Option<Secret<String>>, String> {
        let mut token = Secret::new(String::new());
        match self {
            Self::File(path) => match std::fs::File::open(path) {
                Ok(file) => {
                    let read = file.take(MAX_TOKEN_BYTES).read_to_string(token.expose_secret_mut());
                    read.map_err(|error| path_error(path, &error))?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(path_error(path, &error)),
            },
            Self::Program { .. } => token = self.run_program("get", None)?,
        }
        let trimmed = token.expose_secret().trim();
        Ok((!trimmed.is_empty()).then(|| Secret::from_text(trimmed)))
    }

    /// Stores a token in place of the previous one. The file is replaced as a whole, so that it
    /// belongs to the user and is unreadable to others, whatever existed before.
    pub(crate) fn store(&self, token: &Secret<String>) -> Result<(), String> {
        let path = match self {
            Self::Program { .. } => return self.run_program("store", Some(token)).map(drop),
            Self::File(path) => path,
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let write = || {
            // The temporary file has mode 0600 and an unpredictable name.
            let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
            file.write_all(token.expose_secret().as_bytes())?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(|error: io::Error| path_error(path, &error))
    }

    fn run_program(
        &self,
        verb: &str,
        token: Option<&Secret<String>>,
    ) -> Result<Secret<String>, String> {
        let Self::Program { path, address } = self else { return Ok(Secret::new(String::new())) };
        let stdin = if token.is_some() { Stdio::piped() } else { Stdio::null() };
        let run = || {
            let mut child = Command::new(path)
                .arg(verb)
                .env("VAULT_ADDR", address)
                .env("BAO_ADDR", address)
                .stdin(stdin)
                .stdout(Stdio::piped())
                .spawn()?;
            if let (Some(mut input), Some(token)) = (child.stdin.take(), token) {
                input.write_all(token.expose_secret().as_bytes())?;
            }
            let mut answer = Secret::new(String::new());
            if let Some(output) = child.stdout.take() {
                output.take(MAX_TOKEN_BYTES).read_to_string(answer.expose_secret_mut())?;
            }
            Ok((child.wait()?, answer))
        };
        let (status, answer) = run().map_err(|error: io::Error| path_error(path, &error))?;
        if status.success() {
            Ok(answer)
        } else {
            Err(format!("the token helper {} failed to {verb}: {status}", path.display()))
        }
    }
}

fn path_error(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// The program that the user has configured, if any. An unreadable configuration is an error, since
/// the token would be stored where the user doesn't want it.
fn configured_program(environment: &Environment) -> Result<Option<String>, String> {
    let home = environment.home_dir();
    let named = environment.setting("CONFIG_PATH").map(|path| expand_home(&path, home.as_deref()));
    let in_home = home.iter().flat_map(|home| [".bao", ".vault"].map(|f| Path::new(home).join(f)));
    for path in named.map_or_else(|| in_home.collect(), |path| vec![path]) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            // A directory of that name belongs to another program, so it is ignored.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::IsADirectory
                ) =>
            {
                continue;
            }
            Err(error) => return Err(path_error(&path, &error)),
        };
        let wrong = |reason: String| format!("{} can't be used: {reason}", path.display());
        let body = strongroom_hcl::parse(&text, &strongroom_hcl::ParseLimits::default())
            .map_err(|error| wrong(error.to_string()))?;
        if let Some(item) = body.unknown_items(&["token_helper"]).next() {
            let reason =
                format!("line {}: there is no setting {:?}", item.key.position.line, item.key.text);
            return Err(wrong(reason));
        }
        let program = body.read("token_helper", strongroom_hcl::HclValue::as_str);
        let program = program.map_err(|error| wrong(error.to_string()))?;
        return Ok(program.filter(|program| !program.is_empty()).map(ToOwned::to_owned));
    }
    Ok(None)
}

fn expand_home(path: &str, home: Option<&str>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn test_home() -> (tempfile::TempDir, Environment) {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::from_pairs(&[("HOME", home.path().to_str().unwrap())]);
        (home, environment)
    }

    fn stored_token(helper: &TokenHelper) -> Option<String> {
        helper.get().unwrap().map(|token| token.expose_secret().clone())
    }

    #[test]
    fn token_file_is_private_to_its_owner() {
        let (home, environment) = test_home();
        let helper = TokenHelper::from_environment(&environment, "a").unwrap();
        assert_eq!(stored_token(&helper), None);
        let path = home.path().join(".vault-token");
        // A file that others can read is replaced, not written into.
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        helper.store(&Secret::from_text("s.new")).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "s.new");
        assert_eq!(stored_token(&helper).unwrap(), "s.new");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn surrounding_white_space_is_trimmed() {
        let (home, environment) = test_home();
        std::fs::write(home.path().join(".vault-token"), " s.tok\n").unwrap();
        assert_eq!(
            stored_token(&TokenHelper::from_environment(&environment, "a").unwrap()).unwrap(),
            "s.tok"
        );
        std::fs::write(home.path().join(".vault-token"), "\n").unwrap();
        assert_eq!(stored_token(&TokenHelper::from_environment(&environment, "a").unwrap()), None);
    }

    #[test]
    fn program_helper_stores_tokens() {
        let (home, environment) = test_home();
        let program = home.path().join("helper");
        let script = "#!/bin/sh\ncase $1 in\nget) cat \"$0.$VAULT_ADDR\" ;;\nstore) cat > \"$0.$VAULT_ADDR\" ;;\n*) exit 3 ;;\nesac\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::write(home.path().join(".vault"), format!("token_helper = {program:?}")).unwrap();
        let helper = TokenHelper::from_environment(&environment, "here").unwrap();
        helper.store(&Secret::from_text("s.kept")).unwrap();
        assert_eq!(stored_token(&helper).unwrap(), "s.kept");
        assert!(home.path().join("helper.here").exists());
        assert!(!home.path().join(".vault-token").exists());
        let elsewhere = TokenHelper::from_environment(&environment, "there").unwrap();
        assert!(elsewhere.get().err().unwrap().contains("failed to get"));
    }

    #[test]
    fn unreadable_config_is_an_error() {
        let (home, environment) = test_home();
        for (text, expected) in [
            ("token_helper = ", "can't be used"),
            ("other = \"x\"", "line 1: there is no setting \"other\""),
            ("token_helper = \"relative\"", "absolute"),
        ] {
            std::fs::write(home.path().join(".bao"), text).unwrap();
            let error = TokenHelper::from_environment(&environment, "a").unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        std::fs::write(home.path().join(".bao"), "# nothing").unwrap();
        assert!(TokenHelper::from_environment(&environment, "a").is_ok());
    }

    #[test]
    fn paths_can_be_configured() {
        let environment =
            Environment::from_pairs(&[("VAULT_TOKEN_PATH", "/t"), ("HOME", "/nowhere")]);
        let chosen = TokenHelper::from_environment(&environment, "a").unwrap();
        assert_eq!(chosen, TokenHelper::File(PathBuf::from("/t")));
        assert!(TokenHelper::from_environment(&Environment::from_pairs(&[]), "a").is_err());
    }
}
