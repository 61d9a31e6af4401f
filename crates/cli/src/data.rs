//! Parses data arguments: `key=value`, `key=@file`, `key=-`, `@file.json` and `-`.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::value::RawValue;
use strongroom_types::Fields;

use crate::output::value::OutputValue;

/// Parses the fields of a request. Values are strings, except those from JSON.
///
/// Error messages quote neither values nor arguments that aren't `key=value`, which may be secret.
pub(crate) fn parse_fields(arguments: &[String], stdin: &mut dyn Read) -> Result<Fields, String> {
    let mut builder = FieldsBuilder { fields: BTreeMap::new(), stdin: Some(stdin) };
    for (index, argument) in arguments.iter().enumerate() {
        builder.add_argument(argument).map_err(|reason| {
            let name = match argument.split_once('=') {
                Some((key, _)) => key.to_owned(),
                None => format!("argument {} of the data", index + 1),
            };
            format!("{name}: {reason}")
        })?;
    }
    Ok(builder.finish())
}

/// Parses query parameters. A list becomes several parameters with the same name.
pub(crate) fn parse_query_parameters(
    arguments: &[String],
    stdin: &mut dyn Read,
) -> Result<Vec<(String, String)>, String> {
    let fields = parse_fields(arguments, stdin)?;
    let mut parameters = Vec::new();
    for (name, raw) in fields.iter() {
        let values = match OutputValue::parse(raw.get()) {
            OutputValue::List(values) => values,
            single => vec![single],
        };
        for value in values {
            match value {
                OutputValue::List(_) | OutputValue::Object(_) => {
                    return Err(format!(
                        "{name}: a parameter can't be a list in a list or an object"
                    ));
                }
                OutputValue::Null => {}
                plain => parameters.push((name.to_owned(), plain.to_string())),
            }
        }
    }
    Ok(parameters)
}

struct FieldsBuilder<'a> {
    fields: BTreeMap<String, PendingField>,
    /// Standard input; `None` after it was read.
    stdin: Option<&'a mut dyn Read>,
}

/// Refuses empty input, which may come from a failed command and must not become an empty secret.
fn require_non_empty<'t>(text: &'t str, from: &str) -> Result<&'t str, String> {
    if text.trim().is_empty() {
        return Err(format!("{from} is empty: JSON was expected"));
    }
    Ok(text)
}

/// A field that further arguments with the same key may still extend.
enum PendingField {
    Json(Box<RawValue>),
    Texts(Vec<String>),
    /// A JSON value, followed by strings.
    JsonThenTexts(Box<RawValue>, Vec<String>),
}

impl FieldsBuilder<'_> {
    fn add_argument(&mut self, argument: &str) -> Result<(), String> {
        match argument.split_once('=') {
            None if argument.is_empty() => Ok(()),
            None if argument == "-" => {
                let text = self.read_stdin()?;
                self.add_object(require_non_empty(&text, "standard input")?)
            }
            None => match argument.strip_prefix('@') {
                Some(path) => self.add_object(require_non_empty(&read_file(path)?, path)?),
                None => Err("must be KEY=VALUE, @FILE or -".to_owned()),
            },
            Some((key, value)) => {
                let value = self.resolve_value(value)?;
                self.add_text(key, value);
                Ok(())
            }
        }
    }

    fn resolve_value(&mut self, given: &str) -> Result<String, String> {
        if given == "-" {
            return self.read_stdin();
        }
        match given.strip_prefix('@') {
            Some(path) => read_file(path),
            None if given.starts_with("\\@") => Ok(given.chars().skip(1).collect()),
            None => Ok(given.to_owned()),
        }
    }

    /// Adds a value; a key that occurs again becomes a list.
    fn add_text(&mut self, key: &str, value: String) {
        let before = self.fields.remove(key);
        let given = match before {
            None => PendingField::Texts(vec![value]),
            Some(PendingField::Json(raw)) => PendingField::JsonThenTexts(raw, vec![value]),
            Some(PendingField::Texts(mut texts)) => {
                texts.push(value);
                PendingField::Texts(texts)
            }
            Some(PendingField::JsonThenTexts(raw, mut texts)) => {
                texts.push(value);
                PendingField::JsonThenTexts(raw, texts)
            }
        };
        self.fields.insert(key.to_owned(), given);
    }

    fn add_object(&mut self, json: &str) -> Result<(), String> {
        let object = Fields::from_trusted(json.as_bytes())
            .map_err(|_| "a JSON object was expected, such as {\"key\": \"value\"}".to_owned())?;
        for (key, raw) in object.iter() {
            self.fields.insert(key.to_owned(), PendingField::Json(raw.to_owned()));
        }
        Ok(())
    }

    fn read_stdin(&mut self) -> Result<String, String> {
        let stdin = self
            .stdin
            .take()
            .ok_or("standard input was read already, for an argument before this one")?;
        let mut text = String::new();
        stdin.read_to_string(&mut text).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => "standard input isn't text in UTF-8".to_owned(),
            _ => format!("standard input can't be read: {error}"),
        })?;
        Ok(text)
    }

    fn finish(self) -> Fields {
        let mut fields = Fields::new();
        for (key, given) in self.fields {
            match given {
                PendingField::Json(raw) => fields.set_raw(key, raw),
                PendingField::Texts(texts) => match texts.as_slice() {
                    [only] => fields.set(key, only),
                    several => fields.set(key, &several),
                },
                PendingField::JsonThenTexts(raw, texts) => {
                    // A JSON list is extended; any other value becomes the first item of a list.
                    let list: Result<Vec<Box<RawValue>>, _> = serde_json::from_str(raw.get());
                    let mut items = list.unwrap_or_else(|_| vec![raw]);
                    let more = texts.iter().map(serde_json::value::to_raw_value);
                    items.extend(more.filter_map(Result::ok));
                    fields.set(key, &items);
                }
            }
        }
        fields
    }
}

fn read_file(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file {path}"),
        std::io::ErrorKind::InvalidData => format!("the file {path} isn't text in UTF-8"),
        _ => format!("the file {path} can't be read: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_to_json(arguments: &[&str], stdin: &str) -> Result<String, String> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let fields = parse_fields(&arguments, &mut stdin.as_bytes())?;
        Ok(String::from_utf8(fields.to_object().into_bytes().to_vec()).unwrap())
    }

    #[test]
    fn values_are_strings() {
        assert_eq!(
            parse_to_json(&["ttl=3600", "a=b=c", "empty=", "", "t=true", "at=\\@x"], "").unwrap(),
            r#"{"a":"b=c","at":"@x","empty":"","t":"true","ttl":"3600"}"#
        );
    }

    #[test]
    fn json_stays_as_written() {
        let json = r#"{"n":12345678901234567890,"d":1.10,"o":{"z":1,"a":[ ]}}"#;
        let expected = r#"{"d":1.10,"n":12345678901234567890,"o":{"z":1,"a":[ ]}}"#;
        assert_eq!(parse_to_json(&["-"], json).unwrap(), expected);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.json");
        std::fs::write(&file, json).unwrap();
        assert_eq!(parse_to_json(&[&format!("@{}", file.display())], "").unwrap(), expected);
        assert_eq!(parse_to_json(&["d=x", "-"], r#"{"d":1}"#).unwrap(), r#"{"d":1}"#);
    }

    #[test]
    fn empty_json_input_is_an_error() {
        for text in ["", " \n"] {
            let error = parse_to_json(&["-"], text).unwrap_err();
            assert!(error.ends_with("standard input is empty: JSON was expected"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.json");
        std::fs::write(&file, "").unwrap();
        assert!(
            parse_to_json(&[&format!("@{}", file.display())], "").unwrap_err().contains("is empty")
        );
        assert_eq!(parse_to_json(&["-"], "{}").unwrap(), "{}");
    }

    #[test]
    fn values_come_from_files_and_standard_input() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("value");
        std::fs::write(&file, "two\nlines\n").unwrap();
        let from_file = format!("f=@{}", file.display());
        assert_eq!(
            parse_to_json(&[&from_file, "s=-"], "piped\n").unwrap(),
            r#"{"f":"two\nlines\n","s":"piped\n"}"#
        );
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        assert!(parse_to_json(&[&from_file], "").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn a_key_given_twice_is_a_list() {
        assert_eq!(parse_to_json(&["a=1", "a=2", "a=3"], "").unwrap(), r#"{"a":["1","2","3"]}"#);
        assert_eq!(
            parse_to_json(&["-", "a=x", "b=y"], r#"{"a":[1],"b":{"c":2}}"#).unwrap(),
            r#"{"a":[1,"x"],"b":[{"c":2},"y"]}"#
        );
    }

    #[test]
    fn messages_show_no_value() {
        let cases = [
            (&["hunter2"][..], "argument 1 of the data: must be KEY=VALUE, @FILE or -"),
            (&["a=b", "x=-", "y=-"], "y: standard input was read already"),
            (&["x=@/no/such"], "x: there is no file /no/such"),
            (&["-"], "argument 1 of the data: a JSON object was expected"),
        ];
        for (arguments, expected) in cases {
            let error = parse_to_json(arguments, "[\"hunter2\"]").unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn parameters_repeat_a_name() {
        let given = ["a=1".to_owned(), "a=2".to_owned(), "-".to_owned()];
        let found = parse_query_parameters(&given, &mut r#"{"n":1.10,"l":[true,null]}"#.as_bytes())
            .unwrap();
        let shown: Vec<_> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["a=1", "a=2", "l=true", "n=1.10"]);
        assert!(parse_query_parameters(&["-".to_owned()], &mut r#"{"o":{}}"#.as_bytes()).is_err());
    }
}
