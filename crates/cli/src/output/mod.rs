//! Everything is printed through one [`Printer`].
//!
//! - [`value`]: the value to print, independent of the format
//! - [`json`], [`yaml`], [`table`]: the formats
//! - [`secret`]: the envelope of API responses
//! - [`seal_status`]: seal status and HA status
//! - [`dry_run`]: a request that is shown instead of sent
//! - [`text`]: line wrapping and durations
//! - [`fixed_text`]: the texts that other programs search for
//!
//! Results go to standard output. Warnings and errors go to standard error, so that pipes get
//! results only.

pub(crate) mod dry_run;
pub(crate) mod fixed_text;
pub(crate) mod json;
pub(crate) mod seal_status;
pub(crate) mod secret;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod value;
pub(crate) mod yaml;

use std::io::{self, IsTerminal, Write};

use strongroom_client::SecretResponse;

use crate::environment::Environment;
use crate::error::{CliError, CliResult};
use value::OutputValue;

/// The output formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    #[default]
    Table,
    Json,
    Yaml,
    /// A format for people other than the table, which few commands support.
    Pretty,
    /// The response body as received.
    Raw,
}

impl OutputFormat {
    pub(crate) fn parse(text: &str) -> Result<Self, CliError> {
        match text.to_lowercase().as_str() {
            "" | "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "yaml" | "yml" => Ok(Self::Yaml),
            "pretty" => Ok(Self::Pretty),
            "raw" => Ok(Self::Raw),
            other => Err(CliError::local(format!(
                "there is no format {other:?}: use table, json, yaml or raw"
            ))),
        }
    }
}

/// Prints results and messages in the selected format.
pub(crate) struct Printer {
    pub(crate) format: OutputFormat,
    /// Whether lists show the metadata of each key.
    pub(crate) detailed: bool,
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// Whether standard output is a terminal.
    stdout_is_terminal: bool,
    /// Whether standard error is a terminal.
    stderr_is_terminal: bool,
    /// Whether colours may be used on a terminal.
    colour: bool,
}

/// Terminal styles (ECMA-48).
#[derive(Clone, Copy)]
enum TextStyle {
    Bold,
    Faint,
    Green,
    Red,
    Yellow,
}

impl TextStyle {
    fn apply_to(self, text: &str) -> String {
        let code = match self {
            Self::Bold => 1,
            Self::Faint => 2,
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

impl Printer {
    /// A printer for the standard streams of this process.
    pub(crate) fn from_process(environment: &Environment) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        Self {
            format: OutputFormat::Table,
            detailed: false,
            stdout_is_terminal: out.is_terminal(),
            stderr_is_terminal: err.is_terminal(),
            out: Box::new(out),
            err: Box::new(err),
            colour: environment.wants_colour(),
        }
    }

    /// Prints a line of results.
    pub(crate) fn line(&mut self, text: &str) {
        // Ignored: if the reader of a pipe has gone away, there is nobody to report to.
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    /// Prints a line that says that something succeeded.
    pub(crate) fn success(&mut self, text: &str) {
        let text = self.styled(text, TextStyle::Green);
        self.line(&text);
    }

    /// Prints a table whose first two lines are headers.
    pub(crate) fn table(&mut self, table: &str) {
        if !(self.colour && self.stdout_is_terminal) {
            return self.line(table);
        }
        let mut lines = table.splitn(3, '\n');
        for style in [TextStyle::Bold, TextStyle::Faint] {
            if let Some(line) = lines.next() {
                let line = style.apply_to(line);
                self.line(&line);
            }
        }
        if let Some(rest) = lines.next() {
            self.line(rest);
        }
    }

    /// Prints a heading above a table.
    pub(crate) fn heading(&mut self, text: &str) {
        let text = self.styled(text, TextStyle::Bold);
        self.line(&text);
    }

    fn styled(&self, text: &str, style: TextStyle) -> String {
        if self.colour && self.stdout_is_terminal { style.apply_to(text) } else { text.to_owned() }
    }

    /// Prints a warning to standard error.
    pub(crate) fn warn(&mut self, text: &str) {
        self.write_message(text, TextStyle::Yellow);
    }

    /// Prints an error message to standard error.
    pub(crate) fn error(&mut self, text: &str) {
        self.write_message(text, TextStyle::Red);
    }

    /// Prints a hint what to do about an error, on a terminal only.
    pub(crate) fn next_step(&mut self, text: &str) {
        if self.stderr_is_terminal {
            let _ = writeln!(self.err, "\n{text}");
        }
    }

    fn write_message(&mut self, text: &str, style: TextStyle) {
        let _ = if self.colour && self.stderr_is_terminal && !text.is_empty() {
            writeln!(self.err, "{}", style.apply_to(text))
        } else {
            writeln!(self.err, "{text}")
        };
    }

    /// Prints a question that is answered on the same line.
    pub(crate) fn prompt(&mut self, text: &str) {
        let _ = write!(self.err, "{text}").and_then(|()| self.err.flush());
    }

    /// Prints a line that says that something succeeded, only in the format `table`.
    pub(crate) fn success_for_people(&mut self, text: &str) {
        if self.format == OutputFormat::Table {
            self.success(text);
        }
    }

    /// Prints a value as JSON or YAML, or as a table of its fields.
    pub(crate) fn print_value(&mut self, value: &OutputValue) -> CliResult {
        match (self.format, value) {
            (OutputFormat::Table, OutputValue::Object(_)) => {
                if let Some(table) = secret::map_table(value) {
                    self.table(&table);
                }
                Ok(())
            }
            (OutputFormat::Table, OutputValue::List(items)) => {
                let rows: Vec<_> = items.iter().map(|item| vec![item.to_string()]).collect();
                self.table(&table::format_table(&["Keys"], &rows));
                Ok(())
            }
            (OutputFormat::Table, _) => Err(unsupported_format("table")),
            _ => self.print_machine_value(value),
        }
    }

    /// Prints a value in one of the formats for machines.
    fn print_machine_value(&mut self, value: &OutputValue) -> CliResult {
        let text = match self.format {
            OutputFormat::Json => json::to_pretty_json(value),
            OutputFormat::Yaml => yaml::to_yaml(value),
            OutputFormat::Pretty => return Err(unsupported_format("pretty")),
            OutputFormat::Raw | OutputFormat::Table => return Err(raw_not_supported()),
        };
        self.line(&text);
        Ok(())
    }

    /// Prints an API response.
    pub(crate) fn print_response(&mut self, answer: &SecretResponse) -> CliResult {
        if self.format != OutputFormat::Table {
            return self.print_machine_value(&secret::response_document(answer));
        }
        self.print_warnings(answer);
        if let Some(table) = secret::response_table(answer) {
            self.table(&table);
        }
        Ok(())
    }

    /// Prints one field of a response, or the whole response if no field is requested.
    ///
    /// If the field is missing, a response that can't be requested again (with a new token, a lease
    /// or unwrapped data) is printed as a whole.
    pub(crate) fn print_response_or_field(
        &mut self,
        answer: &SecretResponse,
        field: Option<&str>,
    ) -> CliResult {
        self.print_field_of(answer, field, secret::is_unrepeatable(answer))
    }

    /// The same for the response to a write, which may hold a new key or certificate.
    pub(crate) fn print_created_or_field(
        &mut self,
        answer: &SecretResponse,
        field: Option<&str>,
    ) -> CliResult {
        self.print_field_of(answer, field, true)
    }

    fn print_field_of(
        &mut self,
        answer: &SecretResponse,
        field: Option<&str>,
        would_be_lost: bool,
    ) -> CliResult {
        let Some(field) = field else { return self.print_response(answer) };
        let value =
            secret::response_field(answer, field).filter(|value| *value != OutputValue::Null);
        let Some(value) = value else {
            return Err(self.missing_field(answer, field, would_be_lost));
        };
        if self.format == OutputFormat::Table {
            self.print_warnings(answer);
        }
        self.print_field_value(&value)
    }

    /// The error for a missing field; prints the response first if it would otherwise be lost.
    pub(crate) fn missing_field(
        &mut self,
        answer: &SecretResponse,
        field: &str,
        would_be_lost: bool,
    ) -> CliError {
        if !would_be_lost {
            let data = answer.data.as_ref().map_or(OutputValue::Null, OutputValue::from_fields);
            return unknown_field(field, &data);
        }
        let text = format!(
            "there is no field {field:?}; all of the answer was printed, since it can't be had again"
        );
        match self.print_response(answer) {
            Ok(()) => CliError::local(text),
            Err(failure) => failure,
        }
    }

    /// Prints one field of an object, with a line end only on a terminal.
    pub(crate) fn print_field(
        &mut self,
        value: Option<&OutputValue>,
        name: &str,
        of: &OutputValue,
    ) -> CliResult {
        match value.filter(|value| **value != OutputValue::Null) {
            Some(value) => self.print_field_value(value),
            None => Err(unknown_field(name, of)),
        }
    }

    fn print_field_value(&mut self, value: &OutputValue) -> CliResult {
        let text = match self.format {
            OutputFormat::Json => json::to_pretty_json(value),
            OutputFormat::Yaml => yaml::to_yaml(value),
            OutputFormat::Pretty => return Err(unsupported_format("pretty")),
            OutputFormat::Table | OutputFormat::Raw => value.to_string(),
        };
        self.raw(text.as_bytes());
        Ok(())
    }

    /// Prints bytes unchanged, and a line end.
    pub(crate) fn raw_line(&mut self, bytes: &[u8]) {
        let _ = self.out.write_all(bytes).and_then(|()| self.out.write_all(b"\n"));
        let _ = self.out.flush();
    }

    /// Prints bytes unchanged, with a line end only on a terminal.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let end: &[u8] = if self.stdout_is_terminal { b"\n" } else { b"" };
        let _ = self.out.write_all(bytes).and_then(|()| self.out.write_all(end));
        let _ = self.out.flush();
    }

    /// Prints the warnings of a response.
    pub(crate) fn print_warnings(&mut self, answer: &SecretResponse) {
        let warnings = answer.warnings.as_deref().unwrap_or_default();
        if warnings.is_empty() {
            return;
        }
        self.warn("Warnings from the server:\n");
        for warning in warnings {
            self.warn(&text::wrap_indented(&format!("* {warning}"), 2));
            self.warn("");
        }
    }
}

/// The error for an unknown field, which lists the existing ones.
fn unknown_field(name: &str, of: &OutputValue) -> CliError {
    let names = match of {
        OutputValue::Object(pairs) => pairs.iter().map(|(name, _)| name.as_str()).collect(),
        _ => Vec::new(),
    };
    let others = match names.as_slice() {
        [] => "there are no fields".to_owned(),
        names => format!("there are: {}", names.join(", ")),
    };
    CliError::local(format!("there is no field {name:?}; {others}"))
}

/// The result can't be rendered in this format.
fn unsupported_format(format: &str) -> CliError {
    CliError::local(format!("this result can't be shown as {format}: use json or yaml"))
}

/// The command doesn't support the format `raw`.
pub(crate) fn raw_not_supported() -> CliError {
    CliError::local("-format=raw is for the command \"read\" only")
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A buffer with what was printed.
    #[derive(Clone, Default)]
    pub(crate) struct CapturedOutput(Arc<Mutex<Vec<u8>>>);

    impl CapturedOutput {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for CapturedOutput {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A printer, and the buffers of its results and messages.
    pub(crate) fn test_printer(format: OutputFormat) -> (Printer, CapturedOutput, CapturedOutput) {
        let (out, err) = (CapturedOutput::default(), CapturedOutput::default());
        let printer = Printer {
            format,
            detailed: false,
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            colour: true,
        };
        (printer, out, err)
    }

    #[test]
    fn a_terminal_gets_colours_and_advice_and_a_pipe_gets_neither() {
        let show = |person: bool, colour: bool| {
            let (mut printer, out, err) = test_printer(OutputFormat::Table);
            (printer.stdout_is_terminal, printer.stderr_is_terminal, printer.colour) =
                (person, person, colour);
            printer.table("Key\n---\na");
            printer.success("Success!");
            printer.error("no");
            printer.next_step("try");
            (out.text(), err.text())
        };
        let plain = "Key\n---\na\nSuccess!\n".to_owned();
        assert_eq!(show(false, true), (plain.clone(), "no\n".to_owned()));
        assert_eq!(show(true, false), (plain, "no\n\ntry\n".to_owned()));
        let (out, err) = show(true, true);
        let expected = "\u{1b}[1mKey\u{1b}[0m\n\u{1b}[2m---\u{1b}[0m\na\n";
        assert_eq!(out, format!("{expected}\u{1b}[32mSuccess!\u{1b}[0m\n"));
        assert_eq!(err, "\u{1b}[31mno\u{1b}[0m\n\ntry\n");
    }
}
