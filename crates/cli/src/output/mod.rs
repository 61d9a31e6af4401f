//! All that is printed goes through one [`Printer`].
//!
//! - [`value`]: what is printed, whatever the format
//! - [`json`], [`yaml`], [`table`]: the formats
//! - [`secret`]: the envelope of the API
//! - [`seal_status`]: how the server is
//! - [`unsent`]: a call that is shown instead of being sent
//! - [`text`]: prose and durations
//! - [`fixed_text`]: the texts that other programs search for
//!
//! Results go to standard output; warnings and errors go to standard error, so that pipes get
//! results only.

pub(crate) mod fixed_text;
pub(crate) mod json;
pub(crate) mod seal_status;
pub(crate) mod secret;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod unsent;
pub(crate) mod value;
pub(crate) mod yaml;

use std::io::{self, IsTerminal, Write};

use strongroom_client::SecretAnswer;

use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use value::Value;

/// How results look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
    Yaml,
    /// For the few results that have a form for people beside the table.
    Pretty,
    /// As received.
    Raw,
}

impl Format {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        match text.to_lowercase().as_str() {
            "" | "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "yaml" | "yml" => Ok(Self::Yaml),
            "pretty" => Ok(Self::Pretty),
            "raw" => Ok(Self::Raw),
            other => Err(Failure::local(format!(
                "there is no format {other:?}: use table, json, yaml or raw"
            ))),
        }
    }
}

/// Where results and messages go.
pub(crate) struct Printer {
    pub(crate) format: Format,
    /// Whether lists show what is known of each key.
    pub(crate) detailed: bool,
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// Whether a person reads the results.
    to_person: bool,
    /// Whether a person reads the messages.
    warns_person: bool,
    /// Whether what a person reads may have colours.
    colour: bool,
}

/// How a terminal shows a line (ECMA-48).
#[derive(Clone, Copy)]
enum Style {
    Bold,
    Faint,
    Green,
    Red,
    Yellow,
}

impl Style {
    fn dress(self, text: &str) -> String {
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
    /// Prints to the process's own output.
    pub(crate) fn of_process(environment: &Environment) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        Self {
            format: Format::Table,
            detailed: false,
            to_person: out.is_terminal(),
            warns_person: err.is_terminal(),
            out: Box::new(out),
            err: Box::new(err),
            colour: environment.wants_colour(),
        }
    }

    /// A line of results.
    pub(crate) fn line(&mut self, text: &str) {
        // A reader that has gone away wants no more; there is nobody left to tell.
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    /// A line that says that something is done.
    pub(crate) fn success(&mut self, text: &str) {
        let text = self.dressed(text, Style::Green);
        self.line(&text);
    }

    /// A table: its first two lines are headers.
    pub(crate) fn table(&mut self, table: &str) {
        if !(self.colour && self.to_person) {
            return self.line(table);
        }
        let mut lines = table.splitn(3, '\n');
        for style in [Style::Bold, Style::Faint] {
            if let Some(line) = lines.next() {
                let line = style.dress(line);
                self.line(&line);
            }
        }
        if let Some(rest) = lines.next() {
            self.line(rest);
        }
    }

    /// A line above a table.
    pub(crate) fn heading(&mut self, text: &str) {
        let text = self.dressed(text, Style::Bold);
        self.line(&text);
    }

    fn dressed(&self, text: &str, style: Style) -> String {
        if self.colour && self.to_person { style.dress(text) } else { text.to_owned() }
    }

    /// A line for the person, not for the pipe.
    pub(crate) fn warn(&mut self, text: &str) {
        self.message(text, Style::Yellow);
    }

    /// Why a command failed.
    pub(crate) fn fail(&mut self, text: &str) {
        self.message(text, Style::Red);
    }

    /// What to do about it. A program that reads messages isn't told.
    pub(crate) fn next_step(&mut self, text: &str) {
        if self.warns_person {
            let _ = writeln!(self.err, "\n{text}");
        }
    }

    fn message(&mut self, text: &str, style: Style) {
        let _ = if self.colour && self.warns_person && !text.is_empty() {
            writeln!(self.err, "{}", style.dress(text))
        } else {
            writeln!(self.err, "{text}")
        };
    }

    /// A question, answered on the same line.
    pub(crate) fn ask(&mut self, text: &str) {
        let _ = write!(self.err, "{text}").and_then(|()| self.err.flush());
    }

    /// A line of results that only people want.
    pub(crate) fn line_for_people(&mut self, text: &str) {
        if self.format == Format::Table {
            self.success(text);
        }
    }

    /// A value, as JSON or YAML, or as a table of its fields.
    pub(crate) fn data(&mut self, value: &Value) -> Outcome {
        match (self.format, value) {
            (Format::Table, Value::Object(_)) => {
                if let Some(table) = secret::map_table(value) {
                    self.table(&table);
                }
                Ok(())
            }
            (Format::Table, Value::List(items)) => {
                let rows: Vec<_> = items.iter().map(|item| vec![item.to_string()]).collect();
                self.table(&table::table(&["Keys"], &rows));
                Ok(())
            }
            (Format::Table, _) => Err(no_form("table")),
            _ => self.machine_data(value),
        }
    }

    /// A value in a format for machines.
    fn machine_data(&mut self, value: &Value) -> Outcome {
        let text = match self.format {
            Format::Json => json::pretty(value),
            Format::Yaml => yaml::pretty(value),
            Format::Pretty => return Err(no_form("pretty")),
            Format::Raw | Format::Table => return Err(no_raw()),
        };
        self.line(&text);
        Ok(())
    }

    /// An answer of the API.
    pub(crate) fn secret(&mut self, answer: &SecretAnswer) -> Outcome {
        if self.format != Format::Table {
            return self.machine_data(&secret::document(answer));
        }
        self.warnings(answer);
        if let Some(table) = secret::secret_table(answer) {
            self.table(&table);
        }
        Ok(())
    }

    /// One field of an answer, or the whole answer if no field is asked for.
    ///
    /// An answer that can't be had again, because it holds a new token, a lease or something
    /// unwrapped, is printed whole if it hasn't the field.
    pub(crate) fn secret_or_field(
        &mut self,
        answer: &SecretAnswer,
        field: Option<&str>,
    ) -> Outcome {
        self.one_field(answer, field, secret::is_new(answer))
    }

    /// The same for the answer to a write, which may hold what was made by it: a key, a certificate.
    pub(crate) fn made_or_field(&mut self, answer: &SecretAnswer, field: Option<&str>) -> Outcome {
        self.one_field(answer, field, true)
    }

    fn one_field(
        &mut self,
        answer: &SecretAnswer,
        field: Option<&str>,
        would_be_lost: bool,
    ) -> Outcome {
        let Some(field) = field else { return self.secret(answer) };
        let value = secret::field(answer, field).filter(|value| *value != Value::Null);
        let Some(value) = value else {
            return Err(self.without_field(answer, field, would_be_lost));
        };
        if self.format == Format::Table {
            self.warnings(answer);
        }
        self.value(&value)
    }

    /// Says that an answer hasn't a field; prints the answer if it would be lost otherwise.
    pub(crate) fn without_field(
        &mut self,
        answer: &SecretAnswer,
        field: &str,
        would_be_lost: bool,
    ) -> Failure {
        if !would_be_lost {
            let data = answer.data.as_ref().map_or(Value::Null, Value::fields);
            return no_field(field, &data);
        }
        let text = format!(
            "there is no field {field:?}; all of the answer was printed, since it can't be had again"
        );
        match self.secret(answer) {
            Ok(()) => Failure::local(text),
            Err(failure) => failure,
        }
    }

    /// One field of an object and nothing else: without a line end, unless a person reads it.
    pub(crate) fn field(&mut self, value: Option<&Value>, name: &str, of: &Value) -> Outcome {
        match value.filter(|value| **value != Value::Null) {
            Some(value) => self.value(value),
            None => Err(no_field(name, of)),
        }
    }

    fn value(&mut self, value: &Value) -> Outcome {
        let text = match self.format {
            Format::Json => json::pretty(value),
            Format::Yaml => yaml::pretty(value),
            Format::Pretty => return Err(no_form("pretty")),
            Format::Table | Format::Raw => value.to_string(),
        };
        self.raw(text.as_bytes());
        Ok(())
    }

    /// Bytes as they are, and a line end.
    pub(crate) fn whole(&mut self, bytes: &[u8]) {
        let _ = self.out.write_all(bytes).and_then(|()| self.out.write_all(b"\n"));
        let _ = self.out.flush();
    }

    /// Bytes as they are; a line end only if a person reads them.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let end: &[u8] = if self.to_person { b"\n" } else { b"" };
        let _ = self.out.write_all(bytes).and_then(|()| self.out.write_all(end));
        let _ = self.out.flush();
    }

    /// What the server wants to be known.
    pub(crate) fn warnings(&mut self, answer: &SecretAnswer) {
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

/// A field that isn't there, with the names of those that are.
fn no_field(name: &str, of: &Value) -> Failure {
    let names = match of {
        Value::Object(pairs) => pairs.iter().map(|(name, _)| name.as_str()).collect(),
        _ => Vec::new(),
    };
    let others = match names.as_slice() {
        [] => "there are no fields".to_owned(),
        names => format!("there are: {}", names.join(", ")),
    };
    Failure::local(format!("there is no field {name:?}; {others}"))
}

/// A format that a result has no form in.
fn no_form(format: &str) -> Failure {
    Failure::local(format!("this result can't be shown as {format}: use json or yaml"))
}

/// A result that isn't kept as it was received.
pub(crate) fn no_raw() -> Failure {
    Failure::local("-format=raw is for the command \"read\" only")
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was printed.
    #[derive(Clone, Default)]
    pub(crate) struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A printer, and what it prints as results and as messages.
    pub(crate) fn printer(format: Format) -> (Printer, Page, Page) {
        let (out, err) = (Page::default(), Page::default());
        let printer = Printer {
            format,
            detailed: false,
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            to_person: false,
            warns_person: false,
            colour: true,
        };
        (printer, out, err)
    }

    #[test]
    fn a_terminal_gets_colours_and_advice_and_a_pipe_gets_neither() {
        let show = |person: bool, colour: bool| {
            let (mut printer, out, err) = printer(Format::Table);
            (printer.to_person, printer.warns_person, printer.colour) = (person, person, colour);
            printer.table("Key\n---\na");
            printer.success("Success!");
            printer.fail("no");
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
