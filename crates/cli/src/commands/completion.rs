//! `completion`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::completion::Shell;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};

/// Print the completion script of a shell, or install it in the shell's start-up file
#[derive(Args)]
#[command(after_help = "\
Examples:
  strongroom completion bash >> ~/.bashrc
  strongroom completion zsh >> ~/.zshrc
  strongroom completion fish > ~/.config/fish/completions/strongroom.fish
  strongroom completion -install")]
pub(crate) struct CompletionCommand {
    /// Install it into those of ~/.bashrc, ~/.zshrc and fish's folder that exist
    #[arg(long)]
    install: bool,
    /// Remove it from these files
    #[arg(long)]
    uninstall: bool,
    #[arg(value_name = "SHELL", help = "bash, zsh or fish")]
    arguments: Vec<String>,
}

impl CompletionCommand {
    pub(super) fn run(self, context: &mut CommandContext) -> CliResult {
        if self.install || self.uninstall {
            check_argument_count(&self.arguments, 0, 0)?;
            if self.install && self.uninstall {
                let text = "-install and -uninstall cannot be used together";
                return Err(CliError::usage(text));
            }
            return update_all_shells(context, self.install);
        }
        check_argument_count(&self.arguments, 1, 1)?;
        let name = self.arguments.concat();
        let Some((_, shell)) = Shell::ALL.into_iter().find(|(known, _)| *known == name) else {
            let text = format!("there is no completion for {name:?}: use bash, zsh or fish");
            return Err(CliError::usage(text));
        };
        context.printer.line(shell.script());
        Ok(())
    }
}

/// Writes the scripts where shells read them, or removes them.
fn update_all_shells(context: &mut CommandContext, install: bool) -> CliResult {
    let home = context.environment.home_dir();
    let home = home.ok_or_else(|| CliError::local("there is no home folder: HOME is not set"))?;
    let mut found = false;
    for (_, shell) in Shell::ALL {
        let Some(path) = script_path(shell, Path::new(&home)) else { continue };
        found = true;
        let changed = update_script_file(shell, &path, install);
        let changed =
            changed.map_err(|error| CliError::local(format!("{}: {error}", path.display())))?;
        let done = match (install, changed) {
            (true, true) => "Success! Completion is available in new shells:",
            (true, false) => "Completion is already installed:",
            (false, true) => "Success! Completion was removed from",
            (false, false) => "Completion is not installed in",
        };
        context.printer.success(&format!("{done} {}", path.display()));
    }
    if found {
        return Ok(());
    }
    Err(CliError::local(
        "there is neither ~/.bashrc nor ~/.zshrc nor ~/.config/fish: make the one that your shell \
         reads, or use \"strongroom completion bash\"",
    ))
}

/// The file that a shell reads; `None` if the shell doesn't seem to be used.
fn script_path(shell: Shell, home: &Path) -> Option<PathBuf> {
    match shell {
        Shell::Bash => Some(home.join(".bashrc")).filter(|path| path.exists()),
        Shell::Zsh => Some(home.join(".zshrc")).filter(|path| path.exists()),
        Shell::Fish => {
            let folder = home.join(".config/fish");
            folder.is_dir().then(|| folder.join("completions/strongroom.fish"))
        }
    }
}

/// Updates a file and returns whether anything changed. Fish's file is our own; in the others,
/// lines are appended in place, so that links and permissions stay as they are.
fn update_script_file(shell: Shell, path: &Path, install: bool) -> io::Result<bool> {
    let script = format!("{}\n", shell.script());
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    match (install, text.contains(&script)) {
        (true, true) | (false, false) => return Ok(false),
        (true, false) => {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            fs::write(path, format!("{text}{gap}{script}"))?;
        }
        (false, true) => fs::write(path, text.replace(&script, ""))?,
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_is_idempotent_and_reversible() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".bashrc");
        fs::write(&file, "alias x=y").unwrap();
        assert_eq!(script_path(Shell::Zsh, home.path()), None);
        assert!(update_script_file(Shell::Bash, &file, true).unwrap());
        assert!(!update_script_file(Shell::Bash, &file, true).unwrap());
        let expected = format!("alias x=y\n{}\n", Shell::Bash.script());
        assert_eq!(fs::read_to_string(&file).unwrap(), expected);
        assert!(update_script_file(Shell::Bash, &file, false).unwrap());
        assert!(!update_script_file(Shell::Bash, &file, false).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "alias x=y\n");

        fs::create_dir_all(home.path().join(".config/fish")).unwrap();
        let fish = script_path(Shell::Fish, home.path()).unwrap();
        assert!(update_script_file(Shell::Fish, &fish, true).unwrap());
        assert!(fish.exists());
    }
}
