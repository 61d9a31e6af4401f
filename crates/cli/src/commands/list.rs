//! `list`

use std::collections::BTreeSet;

use clap::Args;
use strongroom_client::{ListPage, SecretResponse};

use super::paths::clean_path;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};
use crate::output::table::format_table;
use crate::output::text::{format_duration, is_duration_field};
use crate::output::value::OutputValue;
use crate::output::{OutputFormat, Printer};

/// List the keys below a path
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom list secret/my-app")]
pub(crate) struct ListCommand {
    /// Show the metadata of each key, if the server returns it [env: VAULT_DETAILED]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    detailed: Option<bool>,
    /// Begin after this key, if the server supports it
    #[arg(long, value_name = "KEY")]
    after: Option<String>,
    /// Maximum number of keys to list, if the server supports it
    #[arg(long, value_name = "COUNT")]
    limit: Option<i64>,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "PATH", help = "The path to list")]
    arguments: Vec<String>,
}

impl ListCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 1, 1)?;
        let path = clean_path(&self.arguments.concat());
        context.printer.detailed = match self.detailed {
            Some(flag) => flag,
            None => context.environment.bool_setting("DETAILED").ok().flatten().unwrap_or(false),
        };
        let limit = self.limit.filter(|limit| *limit > 0);
        let page = ListPage {
            after: self.after.unwrap_or_default(),
            limit: limit.and_then(|limit| u32::try_from(limit).ok()),
        };
        let client = context.client(&self.http)?;
        let answer = client.list(&path, &page).await;
        let answer = answer.map_err(CliError::from_api(&format!("Error listing {path}")))?;
        print_list(&mut context.printer, &path, answer)
    }
}

/// Prints the keys listed at a path.
pub(super) fn print_list(
    printer: &mut Printer,
    path: &str,
    answer: Option<SecretResponse>,
) -> CliResult {
    let keys = answer.as_ref().and_then(|answer| answer.data.as_ref()?.get("keys"));
    let keys = keys.map(|raw| OutputValue::parse(raw.get()));
    match (answer, keys) {
        (Some(answer), _) if answer.wrap_info.is_some() => printer.print_response(&answer),
        (Some(answer), Some(OutputValue::List(keys))) => print_keys(printer, &answer, keys),
        (_, _) if printer.format != OutputFormat::Table => {
            printer.print_value(&OutputValue::Object(Vec::new()))?;
            Err(CliError::silent(2))
        }
        (None, _) => Err(CliError::not_found(path)),
        (Some(answer), _) if answer.data.is_none() => printer.print_response(&answer),
        (Some(_), _) => Err(CliError::remote(format!("No entries found at {path}"))),
    }
}

fn print_keys(printer: &mut Printer, answer: &SecretResponse, keys: Vec<OutputValue>) -> CliResult {
    if printer.format != OutputFormat::Table {
        return match printer.detailed {
            true => printer.print_response(answer),
            false => printer.print_value(&OutputValue::List(keys)),
        };
    }
    printer.print_warnings(answer);
    if keys.is_empty() {
        return Ok(());
    }
    let mut keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    keys.sort();
    let info = answer.data.as_ref().and_then(|data| data.get("key_info"));
    let info = info.map(|raw| OutputValue::parse(raw.get())).filter(|_| printer.detailed);
    let shown = match &info {
        Some(info) => detailed_table(&keys, info),
        None => format_table(&["Keys"], &keys.into_iter().map(|key| vec![key]).collect::<Vec<_>>()),
    };
    printer.table(&shown);
    Ok(())
}

/// A table with one column for each metadata field that any key has.
fn detailed_table(keys: &[String], info: &OutputValue) -> String {
    let mut names = BTreeSet::new();
    for key in keys {
        if let Some(OutputValue::Object(pairs)) = info.get(key) {
            names.extend(pairs.iter().map(|(name, _)| name.as_str()));
        }
    }
    let row = |key: &String| {
        let of_key = |name: &&str| match info.get(key).and_then(|known| known.get(name)) {
            Some(OutputValue::Number(digits)) if is_duration_field(name) => {
                digits.parse().map_or_else(|_| digits.clone(), format_duration)
            }
            Some(value) => value.to_string(),
            None => "n/a".to_owned(),
        };
        std::iter::once(key.clone()).chain(names.iter().map(of_key)).collect()
    };
    let headers: Vec<&str> = std::iter::once("Keys").chain(names.iter().copied()).collect();
    format_table(&headers, &keys.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detailed_keys_become_columns() {
        let info = OutputValue::parse(r#"{"a":{"id":"1","ttl":3600},"b":{"id":"2"}}"#);
        let keys = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let expected = "Keys    id     ttl\n----    --     ---\na       1      1h\nb       2      n/a\nc       n/a    n/a";
        assert_eq!(detailed_table(&keys, &info), expected);
    }
}
