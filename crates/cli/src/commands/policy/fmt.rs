//! `policy fmt`

use std::io::Write;
use std::path::Path;

use clap::Args;
use strongroom_hcl::ParseLimits;
use strongroom_policy::Policy;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};

/// Format a policy file; comments are kept
#[derive(Args)]
#[command(after_help = "\
The file is rewritten only if it contains a valid policy.

Example:
  strongroom policy fmt my-app.hcl")]
pub(crate) struct PolicyFmt {
    #[arg(value_name = "FILE", help = "The policy's file")]
    arguments: Vec<String>,
}

impl PolicyFmt {
    pub(super) fn run(&self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 1, 1)?;
        let name = self.arguments.concat();
        let path = super::super::paths::expand_home(&name, &context.environment);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let reason = match error.kind() {
                std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                _ => error.to_string(),
            };
            CliError::local(format!("{name} can't be read: {reason}"))
        })?;
        let laid_out = strongroom_hcl::format(&text, &ParseLimits::default())
            .map_err(|error| CliError::local(format!("not a policy: {name}:{error}")))?;
        Policy::parse(&text).map_err(|error| CliError::local(format!("{name}: {error}")))?;
        if laid_out != text {
            replace_file(&path, &laid_out)
                .map_err(|error| CliError::local(format!("{name} can't be written: {error}")))?;
        }
        context.printer.success(&format!("Success! Formatted policy: {name}"));
        Ok(())
    }
}

/// Replaces a file atomically, so that an interruption loses nothing. Links are followed, and the
/// file's permissions are kept.
fn replace_file(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(path.metadata()?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}
