//! `list`

use std::collections::BTreeSet;

use clap::Args;
use strongroom_client::{Page, SecretAnswer};

use super::clean_path;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};
use crate::output::table::table;
use crate::output::text::{duration, is_duration};
use crate::output::value::Value;
use crate::output::{Format, Printer};

/// List what is below a path
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom list secret/my-app")]
pub(crate) struct List {
    /// Show what is known of each key, where the server says it [env: VAULT_DETAILED]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    detailed: Option<bool>,
    /// Begin after this key, where the server can
    #[arg(long, value_name = "KEY")]
    after: Option<String>,
    /// Most keys to list, where the server can
    #[arg(long, value_name = "COUNT")]
    limit: Option<i64>,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "PATH", help = "Where to list")]
    arguments: Vec<String>,
}

impl List {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 1, 1)?;
        let path = clean_path(&self.arguments.concat());
        context.printer.detailed = match self.detailed {
            Some(flag) => flag,
            None => context.environment.flag("DETAILED").ok().flatten().unwrap_or(false),
        };
        let limit = self.limit.filter(|limit| *limit > 0);
        let page = Page {
            after: self.after.unwrap_or_default(),
            limit: limit.and_then(|limit| u32::try_from(limit).ok()),
        };
        let client = context.client(&self.http)?;
        let answer = client.list(&path, &page).await;
        let answer = answer.map_err(Failure::call(&format!("Error listing {path}")))?;
        show(&mut context.printer, &path, answer)
    }
}

/// Shows the keys that are listed at a path.
pub(super) fn show(printer: &mut Printer, path: &str, answer: Option<SecretAnswer>) -> Outcome {
    let keys = answer.as_ref().and_then(|answer| answer.data.as_ref()?.get("keys"));
    let keys = keys.map(|raw| Value::parse(raw.get()));
    match (answer, keys) {
        (Some(answer), _) if answer.wrap_info.is_some() => printer.secret(&answer),
        (Some(answer), Some(Value::List(keys))) => print(printer, &answer, keys),
        (_, _) if printer.format != Format::Table => {
            printer.data(&Value::Object(Vec::new()))?;
            Err(Failure::silent(2))
        }
        (None, _) => Err(Failure::nothing_at(path)),
        (Some(answer), _) if answer.data.is_none() => printer.secret(&answer),
        (Some(_), _) => Err(Failure::remote(format!("No entries found at {path}"))),
    }
}

fn print(printer: &mut Printer, answer: &SecretAnswer, keys: Vec<Value>) -> Outcome {
    if printer.format != Format::Table {
        return match printer.detailed {
            true => printer.secret(answer),
            false => printer.data(&Value::List(keys)),
        };
    }
    printer.warnings(answer);
    if keys.is_empty() {
        return Ok(());
    }
    let mut keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    keys.sort();
    let info = answer.data.as_ref().and_then(|data| data.get("key_info"));
    let info = info.map(|raw| Value::parse(raw.get())).filter(|_| printer.detailed);
    let shown = match &info {
        Some(info) => detailed(&keys, info),
        None => table(&["Keys"], &keys.into_iter().map(|key| vec![key]).collect::<Vec<_>>()),
    };
    printer.table(&shown);
    Ok(())
}

/// A column for everything that is known of any key.
fn detailed(keys: &[String], info: &Value) -> String {
    let mut names = BTreeSet::new();
    for key in keys {
        if let Some(Value::Object(pairs)) = info.get(key) {
            names.extend(pairs.iter().map(|(name, _)| name.as_str()));
        }
    }
    let row = |key: &String| {
        let of_key = |name: &&str| match info.get(key).and_then(|known| known.get(name)) {
            Some(Value::Number(digits)) if is_duration(name) => {
                digits.parse().map_or_else(|_| digits.clone(), duration)
            }
            Some(value) => value.to_string(),
            None => "n/a".to_owned(),
        };
        std::iter::once(key.clone()).chain(names.iter().map(of_key)).collect()
    };
    let headers: Vec<&str> = std::iter::once("Keys").chain(names.iter().copied()).collect();
    table(&headers, &keys.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_keys_is_columns() {
        let info = Value::parse(r#"{"a":{"id":"1","ttl":3600},"b":{"id":"2"}}"#);
        let keys = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let expected = "Keys    id     ttl\n----    --     ---\na       1      1h\nb       2      n/a\nc       n/a    n/a";
        assert_eq!(detailed(&keys, &info), expected);
    }
}
