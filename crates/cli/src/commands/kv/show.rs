//! Displays secrets, versions and metadata on a terminal.

use strongroom_client::SecretResponse;
use strongroom_types::Fields;

use super::documents::data_object;
use crate::error::CliResult;
use crate::output::fixed_text::DATA_WRITTEN;
use crate::output::secret::map_table;
use crate::output::value::OutputValue;
use crate::output::{OutputFormat, Printer};

/// Prints a version: its path, its metadata and its data. Without a path it is a secret of version
/// 1 of the engine, which has data only.
pub(super) fn print_version(
    printer: &mut Printer,
    path: Option<&str>,
    answer: &SecretResponse,
) -> CliResult {
    if printer.format != OutputFormat::Table || answer.wrap_info.is_some() {
        return printer.print_response(answer);
    }
    printer.print_warnings(answer);
    let Some(path) = path else {
        if let Some(data) = &answer.data {
            print_section(printer, "Data", &OutputValue::from_fields(data));
        }
        return Ok(());
    };
    print_path(printer, "Secret Path", path);
    if let Some(metadata) = data_object(answer, "metadata") {
        print_section(printer, "Metadata", &OutputValue::from_fields(&metadata));
        printer.line("");
    }
    if let Some(data) = data_object(answer, "data") {
        print_section(printer, "Data", &OutputValue::from_fields(&data));
    }
    Ok(())
}

/// Prints the requested field of the response to a write, or else the path and the version that
/// was written.
pub(super) fn print_written_version(
    printer: &mut Printer,
    path: &str,
    response: Option<SecretResponse>,
    field: Option<&str>,
) -> CliResult {
    match (response, field) {
        (Some(response), Some(field)) => printer.print_response_or_field(&response, Some(field)),
        (Some(response), None) => print_new_version(printer, path, &response),
        (None, _) => {
            printer.success_for_people(&format!("{DATA_WRITTEN}{path}"));
            Ok(())
        }
    }
}

fn print_new_version(printer: &mut Printer, path: &str, answer: &SecretResponse) -> CliResult {
    let (OutputFormat::Table, None, Some(data)) = (printer.format, &answer.wrap_info, &answer.data)
    else {
        return printer.print_response(answer);
    };
    printer.print_warnings(answer);
    print_path(printer, "Secret Path", path);
    print_section(printer, "Metadata", &OutputValue::from_fields(data));
    Ok(())
}

/// Prints the metadata of a key and of each of its versions.
pub(super) fn print_metadata(printer: &mut Printer, path: &str, data: &Fields) {
    print_path(printer, "Metadata Path", path);
    let mut of_key = data.clone();
    let versions = of_key.remove("versions").map(|raw| OutputValue::parse(raw.get()));
    print_section(printer, "Metadata", &OutputValue::from_fields(&of_key));
    let Some(OutputValue::Object(mut versions)) = versions else { return };
    versions.sort_by_key(|(number, _)| number.parse().unwrap_or(u64::MAX));
    for (number, version) in versions {
        printer.line("");
        print_section(printer, &format!("Version {number}"), &version);
    }
}

fn print_path(printer: &mut Printer, title: &str, path: &str) {
    printer.heading(&framed_title(title, path.chars().count()));
    printer.line(path);
    printer.line("");
}

/// Prints a table below its title.
fn print_section(printer: &mut Printer, title: &str, map: &OutputValue) {
    let longest = match map {
        OutputValue::Object(pairs) => {
            pairs.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0)
        }
        _ => 0,
    };
    // The width of the table: the key column, the gap, and the heading of the values.
    printer.heading(&framed_title(title, longest + 4 + "Value".len()));
    match map_table(map) {
        Some(table) => printer.table(&table),
        None => printer.table(&crate::output::table::key_value_table(&[])),
    }
}

/// A title between equals signs, at least as wide as the table below it.
fn framed_title(title: &str, width: usize) -> String {
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
    fn titles_are_as_wide_as_their_section() {
        for (title, width, expected) in [
            ("Secret Path", 15, "= Secret Path ="),
            ("Secret Path", 11, "== Secret Path =="),
            ("Data", 10, "== Data =="),
            ("Metadata", 24, "======= Metadata ======="),
            ("Version 6", 22, "====== Version 6 ======"),
            ("Version 10", 22, "===== Version 10 ====="),
        ] {
            assert_eq!(framed_title(title, width), expected);
        }
    }
}
