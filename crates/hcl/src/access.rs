//! Typed access to a [`HclValue`]: each reader returns the type its caller needs, or an error with
//! the position, the expected type and the actual one. [`HclBody::read`] and [`HclItem::read`] call
//! the readers and add the key's name to the error.
//!
//! [`HclItem::read`]: crate::HclItem::read

use crate::error::ParseError;
use crate::number;
use crate::tree::{HclBody, HclValue, ValueKind};

/// The values [`HclValue::as_bool_loose`] accepts, for error messages.
const BOOLEAN: &str = "true or false, or 1 or 0, with quotes or without";

impl HclValue {
    /// A string. JSON's `null` reads as the empty string, as in HCL 1.
    ///
    /// # Errors
    ///
    /// [`ParseError::WrongType`] for anything else, as for all readers below.
    pub fn as_str(&self) -> Result<&str, ParseError> {
        match &self.kind {
            ValueKind::String(text) => Ok(text),
            ValueKind::Null => Ok(""),
            _ => Err(self.must_be("a string in quotes")),
        }
    }

    /// A string, or a number as it was written. Used for durations, sizes and names, which may be
    /// written with or without quotes.
    pub fn as_text(&self) -> Result<&str, ParseError> {
        match &self.kind {
            ValueKind::String(text) => Ok(text),
            ValueKind::Number(number) => Ok(number.literal()),
            ValueKind::Null => Ok(""),
            _ => Err(self.must_be("a string or a number")),
        }
    }

    /// `true` or `false`, written without quotes.
    pub fn as_bool(&self) -> Result<bool, ParseError> {
        match self.kind {
            ValueKind::Bool(value) => Ok(value),
            _ => Err(self.must_be("true or false, without quotes")),
        }
    }

    /// A boolean in any form that Vault's configuration files accept: `true`, `false`, `1`, `0`,
    /// and in quotes `"true"`, `"TRUE"`, `"True"`, `"t"`, `"T"`, `"1"` and their opposites. An
    /// empty string is `false`.
    pub fn as_bool_loose(&self) -> Result<bool, ParseError> {
        let text = match &self.kind {
            ValueKind::Bool(value) => return Ok(*value),
            ValueKind::String(text) => text,
            ValueKind::Number(number) => number.literal(),
            ValueKind::Null => "",
            _ => return Err(self.must_be(BOOLEAN)),
        };
        match text {
            "true" | "TRUE" | "True" | "t" | "T" | "1" => Ok(true),
            "false" | "FALSE" | "False" | "f" | "F" | "0" | "" => Ok(false),
            _ if matches!(self.kind, ValueKind::Number(_)) => {
                Err(self.wrong_type(BOOLEAN, "another number"))
            }
            _ => Err(self.wrong_type(BOOLEAN, "another text")),
        }
    }

    /// A 64-bit signed integer; a quoted one is accepted too, as in HCL 1.
    pub fn as_int(&self) -> Result<i64, ParseError> {
        let number = match &self.kind {
            ValueKind::Number(number) => number.as_i64(),
            ValueKind::String(text) => number::parse_whole(text),
            _ => None,
        };
        number.ok_or_else(|| match &self.kind {
            ValueKind::Number(number) if number.is_whole() => {
                self.wrong_type("a whole number of 64 bits", "a larger one")
            }
            ValueKind::Number(_) => self.wrong_type("a whole number", "a fraction"),
            _ => self.must_be("a whole number"),
        })
    }

    /// A list of values of any type.
    pub fn as_list(&self) -> Result<&[HclValue], ParseError> {
        match &self.kind {
            ValueKind::List(entries) => Ok(entries),
            _ => Err(self.must_be("a list")),
        }
    }

    /// A list of strings; any other entry is an error.
    pub fn as_str_list(&self) -> Result<Vec<&str>, ParseError> {
        self.as_list()?.iter().map(Self::as_str).collect()
    }

    /// An object; a list with one object counts as that object, since generated JSON has such
    /// lists.
    pub fn as_map(&self) -> Result<&HclBody, ParseError> {
        match &self.kind {
            ValueKind::Object(body) => Ok(body),
            ValueKind::List(entries) => match entries.as_slice() {
                [HclValue { kind: ValueKind::Object(body), .. }] => Ok(body),
                _ => Err(self.must_be("an object")),
            },
            _ => Err(self.must_be("an object")),
        }
    }

    pub(crate) fn must_be(&self, expected: &'static str) -> ParseError {
        self.wrong_type(expected, self.kind.type_name())
    }

    fn wrong_type(&self, expected: &'static str, found: &'static str) -> ParseError {
        ParseError::WrongType { position: self.position, key: None, expected, found }
    }
}
