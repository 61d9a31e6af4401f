//! Readers: a [`Value`] as the type its caller needs, or an error that says where it stands, what
//! it must be and what it is. Used through [`Body::read`] and [`Item::read`], which name the key.
//!
//! [`Item::read`]: crate::Item::read

use crate::error::ParseError;
use crate::number;
use crate::tree::{Body, Kind, Value};

/// What [`Value::as_bool_loose`] takes.
const BOOLEAN: &str = "true or false, or 1 or 0, with quotes or without";

impl Value {
    /// A string. JSON's `null` is the empty string, as HCL 1 reads it.
    pub fn as_str(&self) -> Result<&str, ParseError> {
        match &self.kind {
            Kind::String(text) => Ok(text),
            Kind::Null => Ok(""),
            _ => Err(self.must_be("a string in quotes")),
        }
    }

    /// A string, or a number as it was written: for durations, sizes and names that may be
    /// written either way.
    pub fn as_text(&self) -> Result<&str, ParseError> {
        match &self.kind {
            Kind::String(text) => Ok(text),
            Kind::Number(number) => Ok(number.literal()),
            Kind::Null => Ok(""),
            _ => Err(self.must_be("a string or a number")),
        }
    }

    /// `true` or `false`, without quotes.
    pub fn as_bool(&self) -> Result<bool, ParseError> {
        match self.kind {
            Kind::Bool(value) => Ok(value),
            _ => Err(self.must_be("true or false, without quotes")),
        }
    }

    /// `true` or `false` as Vault's configuration files have them: also `1` and `0`, and in quotes
    /// `"true"`, `"TRUE"`, `"True"`, `"t"`, `"T"`, `"1"` and their opposites. An empty text is
    /// `false`.
    pub fn as_bool_loose(&self) -> Result<bool, ParseError> {
        let text = match &self.kind {
            Kind::Bool(value) => return Ok(*value),
            Kind::String(text) => text,
            Kind::Number(number) => number.literal(),
            Kind::Null => "",
            _ => return Err(self.must_be(BOOLEAN)),
        };
        match text {
            "true" | "TRUE" | "True" | "t" | "T" | "1" => Ok(true),
            "false" | "FALSE" | "False" | "f" | "F" | "0" | "" => Ok(false),
            _ if matches!(self.kind, Kind::Number(_)) => {
                Err(self.mismatch(BOOLEAN, "another number"))
            }
            _ => Err(self.mismatch(BOOLEAN, "another text")),
        }
    }

    /// A whole number of 64 bits; also in quotes, as HCL 1 takes it.
    pub fn as_int(&self) -> Result<i64, ParseError> {
        let number = match &self.kind {
            Kind::Number(number) => number.as_i64(),
            Kind::String(text) => number::whole(text),
            _ => None,
        };
        number.ok_or_else(|| match &self.kind {
            Kind::Number(number) if number.is_whole() => {
                self.mismatch("a whole number of 64 bits", "a larger one")
            }
            Kind::Number(_) => self.mismatch("a whole number", "a fraction"),
            _ => self.must_be("a whole number"),
        })
    }

    /// A list.
    pub fn as_list(&self) -> Result<&[Value], ParseError> {
        match &self.kind {
            Kind::List(entries) => Ok(entries),
            _ => Err(self.must_be("a list")),
        }
    }

    /// A list of strings.
    pub fn as_str_list(&self) -> Result<Vec<&str>, ParseError> {
        self.as_list()?.iter().map(Self::as_str).collect()
    }

    /// An object; also as the only entry of a list, as generated JSON has it.
    pub fn as_map(&self) -> Result<&Body, ParseError> {
        match &self.kind {
            Kind::Object(body) => Ok(body),
            Kind::List(entries) => match entries.as_slice() {
                [Value { kind: Kind::Object(body), .. }] => Ok(body),
                _ => Err(self.must_be("an object")),
            },
            _ => Err(self.must_be("an object")),
        }
    }

    pub(crate) fn must_be(&self, expected: &'static str) -> ParseError {
        self.mismatch(expected, self.kind.name())
    }

    fn mismatch(&self, expected: &'static str, found: &'static str) -> ParseError {
        ParseError::WrongType { position: self.position, key: None, expected, found }
    }
}
