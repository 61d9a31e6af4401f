//! How versions and their data look on a terminal.

use strongroom_client::SecretAnswer;
use strongroom_types::Fields;

use crate::failure::Outcome;
use crate::output::secret::map_table;
use crate::output::value::Value;
use crate::output::{Format, Printer};

/// Shows an answer about a version: where it is, what is known of it, its data. Without a path it
/// is a key without versions, and the data is all there is.
pub(super) fn version(printer: &mut Printer, path: Option<&str>, answer: &SecretAnswer) -> Outcome {
    if printer.format != Format::Table || answer.wrap_info.is_some() {
        return printer.secret(answer);
    }
    printer.warnings(answer);
    let Some(path) = path else {
        if let Some(data) = &answer.data {
            section(printer, "Data", &Value::fields(data));
        }
        return Ok(());
    };
    place(printer, "Secret Path", path);
    if let Some(metadata) = super::object(answer, "metadata") {
        section(printer, "Metadata", &Value::fields(&metadata));
        printer.line("");
    }
    if let Some(data) = super::object(answer, "data") {
        section(printer, "Data", &Value::fields(&data));
    }
    Ok(())
}

/// Shows what was just written.
pub(super) fn written(printer: &mut Printer, path: &str, answer: &SecretAnswer) -> Outcome {
    let (Format::Table, None, Some(data)) = (printer.format, &answer.wrap_info, &answer.data)
    else {
        return printer.secret(answer);
    };
    printer.warnings(answer);
    place(printer, "Secret Path", path);
    section(printer, "Metadata", &Value::fields(data));
    Ok(())
}

/// Shows what is known of a key and of each of its versions.
pub(super) fn metadata(printer: &mut Printer, path: &str, data: &Fields) {
    place(printer, "Metadata Path", path);
    let mut of_key = data.clone();
    let versions = of_key.remove("versions").map(|raw| Value::parse(raw.get()));
    section(printer, "Metadata", &Value::fields(&of_key));
    let Some(Value::Object(mut versions)) = versions else { return };
    versions.sort_by_key(|(number, _)| number.parse().unwrap_or(u64::MAX));
    for (number, version) in versions {
        printer.line("");
        section(printer, &format!("Version {number}"), &version);
    }
}

fn place(printer: &mut Printer, title: &str, path: &str) {
    printer.heading(&framed(title, path.chars().count()));
    printer.line(path);
    printer.line("");
}

/// A table under its title.
fn section(printer: &mut Printer, title: &str, map: &Value) {
    let longest = match map {
        Value::Object(pairs) => pairs.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0),
        _ => 0,
    };
    // A column of keys, the gap, and the word over the values.
    printer.heading(&framed(title, longest + 4 + "Value".len()));
    match map_table(map) {
        Some(table) => printer.table(&table),
        None => printer.table(&crate::output::table::key_value(&[])),
    }
}

/// A title between equals signs, as wide as what is below it, where it isn't wider itself.
fn framed(title: &str, width: usize) -> String {
    let signs = match width.saturating_sub(title.chars().count() + 2) {
        0 => 4,
        signs => signs,
    };
    let side = "=".repeat(signs.div_ceil(2));
    format!("{side} {title} {side}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_as_wide_as_what_is_below() {
        for (title, width, expected) in [
            ("Secret Path", 15, "= Secret Path ="),
            ("Secret Path", 11, "== Secret Path =="),
            ("Data", 10, "== Data =="),
            ("Metadata", 24, "======= Metadata ======="),
            ("Version 6", 22, "====== Version 6 ======"),
            ("Version 10", 22, "===== Version 10 ====="),
        ] {
            assert_eq!(framed(title, width), expected);
        }
    }
}
