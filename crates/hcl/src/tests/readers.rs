use std::fmt::Debug;

use super::{parse_to_text, sole_value};
use crate::{HclValue, ParseError};

fn check_reader<T: Debug + PartialEq>(
    reader: impl Fn(&HclValue) -> Result<T, ParseError>,
    accepted: &[(&str, T)],
    refused: &[(&str, &str)],
) {
    for (text, expected) in accepted {
        assert_eq!(reader(&sole_value(text)).as_ref(), Ok(expected), "{text}");
    }
    for (text, expected) in refused {
        assert_eq!(reader(&sole_value(text)).unwrap_err().to_string(), *expected, "{text}");
    }
}

#[test]
fn reads_strings() {
    check_reader(
        |value| value.as_str().map(str::to_owned),
        &[("a = \"b\"", "b".to_owned()), ("{\"a\": null}", String::new())],
        &[
            ("a = 1", "1:5: must be a string in quotes, not a number"),
            ("a = true", "1:5: must be a string in quotes, not a boolean"),
            ("a = []", "1:5: must be a string in quotes, not a list"),
        ],
    );
}

#[test]
fn reads_texts() {
    let owned = str::to_owned;
    check_reader(
        |value| value.as_text().map(owned),
        &[("a = \"1h\"", owned("1h")), ("a = 3600", owned("3600")), ("a = 0x10", owned("0x10"))],
        &[("a {}", "1:3: must be a string or a number, not an object")],
    );
}

#[test]
fn reads_booleans() {
    check_reader(
        HclValue::as_bool,
        &[("a = true", true), ("{\"a\": false}", false)],
        &[
            ("a = \"true\"", "1:5: must be true or false, without quotes, not a string"),
            ("a = 1", "1:5: must be true or false, without quotes, not a number"),
        ],
    );
    let mut loose = vec![("a = 1".to_owned(), true), ("a = 0".to_owned(), false)];
    loose.extend(
        ["true", "TRUE", "True", "t", "T", "1"].map(|yes| (format!("a = \"{yes}\""), true)),
    );
    loose.extend(
        ["false", "FALSE", "False", "f", "F", "0"].map(|no| (format!("a = \"{no}\""), false)),
    );
    for (text, expected) in loose {
        assert_eq!(sole_value(&text).as_bool_loose(), Ok(expected), "{text}");
    }
    check_reader(
        HclValue::as_bool_loose,
        &[("a = true", true)],
        &[
            (
                "a = 2",
                "1:5: must be true or false, or 1 or 0, with quotes or without, not another number",
            ),
            (
                "a = \"yes\"",
                "1:5: must be true or false, or 1 or 0, with quotes or without, not another text",
            ),
            ("a = []", "1:5: must be true or false, or 1 or 0, with quotes or without, not a list"),
        ],
    );
}

#[test]
fn reads_whole_numbers() {
    check_reader(
        HclValue::as_int,
        &[
            ("a = 0", 0),
            ("a = -42", -42),
            ("a = 0x1F", 31),
            ("a = -0X10", -16),
            ("a = 0644", 420),
            ("a = -017", -15),
            ("a = 9223372036854775807", i64::MAX),
            ("a = -9223372036854775808", i64::MIN),
            ("a = \"12\"", 12),
            ("a = \"0x10\"", 16),
            ("a = \"-010\"", -8),
        ],
        &[
            ("a = 1.0", "1:5: must be a whole number, not a fraction"),
            ("a = 1e3", "1:5: must be a whole number, not a fraction"),
            ("a = 9223372036854775808", "1:5: must be a whole number of 64 bits, not a larger one"),
            (
                "a = 0xffffffffffffffffffffffffffffffffffff",
                "1:5: must be a whole number of 64 bits, not a larger one",
            ),
            ("a = \"x\"", "1:5: must be a whole number, not a string"),
            ("a = \"\"", "1:5: must be a whole number, not a string"),
            ("a = \"1.5\"", "1:5: must be a whole number, not a string"),
            ("a = \"+1\"", "1:5: must be a whole number, not a string"),
            ("a = \"-+1\"", "1:5: must be a whole number, not a string"),
            ("a = \"--1\"", "1:5: must be a whole number, not a string"),
            ("a = \"08\"", "1:5: must be a whole number, not a string"),
            ("a = \"1_0\"", "1:5: must be a whole number, not a string"),
            ("{\"a\": null}", "1:7: must be a whole number, not null"),
        ],
    );
}

#[test]
fn reads_fractions() {
    let number = |text: &str| match sole_value(text).kind {
        crate::ValueKind::Number(number) => number.as_f64(),
        _ => None,
    };
    let cases =
        [("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("-2e3", -2000.0), ("0x10", 16.0), ("7", 7.0)];
    for (literal, expected) in cases {
        assert_eq!(number(&format!("a = {literal}")), Some(expected), "{literal}");
    }
    assert_eq!(number("a = 18446744073709551616"), Some(18_446_744_073_709_551_616.0));
    assert_eq!(number("a = 1e999"), None);
}

#[test]
fn reads_lists() {
    check_reader(
        |value| value.as_list().map(<[HclValue]>::len),
        &[("a = []", 0), ("a = [1, \"b\"]", 2)],
        &[("a = \"b\"", "1:5: must be a list, not a string")],
    );
    check_reader(
        |value| value.as_str_list().map(|list| list.join("+")),
        &[("a = [\"b\", \"c\"]", "b+c".to_owned()), ("a = []", String::new())],
        &[
            ("a = [\"b\", 1]", "1:11: must be a string in quotes, not a number"),
            ("a = \"b\"", "1:5: must be a list, not a string"),
        ],
    );
}

#[test]
fn reads_maps() {
    check_reader(
        |value| value.as_map().map(|body| body.items().len()),
        &[("a {}", 0), ("a = { b = 1 }", 1), ("{\"a\": [{\"b\": 1}]}", 1), ("a \"b\" {}", 1)],
        &[
            ("a = \"b\"", "1:5: must be an object, not a string"),
            ("a = []", "1:5: must be an object, not a list"),
            ("a = [{}, {}]", "1:5: must be an object, not a list"),
            ("a = [1]", "1:5: must be an object, not a list"),
        ],
    );
}

#[test]
fn reading_by_name_names_the_key() {
    let body = parse_to_text("address = 1\nciphers = [\"a\", 2]\n\"we\\\"ird\" = 3");
    assert_eq!(body.read("missing", HclValue::as_str), Ok(None));
    let error = |name| body.read(name, HclValue::as_str_list).unwrap_err().to_string();
    assert_eq!(error("address"), "1:11: \"address\" must be a list, not a number");
    assert_eq!(error("ciphers"), "2:17: \"ciphers\" must be a string in quotes, not a number");
    assert_eq!(error("we\"ird"), "3:13: \"we\\\"ird\" must be a list, not a number");
    let item = body.last_item("address").unwrap();
    assert_eq!(item.read(HclValue::as_int), Ok(1));
    assert_eq!(
        item.read(HclValue::as_bool).unwrap_err().to_string(),
        "1:11: \"address\" must be true or false, without quotes, not a number"
    );
    // The error names the innermost key, which is the most helpful.
    let body = parse_to_text("a { b = 1 }");
    let nested = body.read("a", |value| value.as_map()?.read("b", HclValue::as_str));
    let expected = "1:9: \"b\" must be a string in quotes, not a number";
    assert_eq!(nested.unwrap_err().to_string(), expected);
}
