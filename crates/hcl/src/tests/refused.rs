use super::error_of;
use crate::{ParseLimits, parse_bytes};

fn check_refused(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(error_of(text).to_string(), *expected, "{text}");
    }
}

#[test]
fn refuses_malformed_items() {
    check_refused(&[
        ("a", "1:2: expected = or { after the key"),
        ("a = 1 b", "1:8: expected = or { after the key"),
        ("a [1]", "1:3: expected = or { after the key"),
        ("a 1", "1:3: expected = or { after the key"),
        ("a }", "1:3: expected = or { after the key"),
        ("a =", "1:4: expected a value"),
        ("a = }", "1:5: expected a value"),
        ("a { b = }", "1:9: expected a value"),
        ("a = = 1", "1:5: expected a value"),
        ("a = ,", "1:5: expected a value"),
        ("a = b", "1:5: text must stand in quotes"),
        ("a = null", "1:5: text must stand in quotes"),
        ("a b = 1", "1:5: only a single key may stand before =: a label needs a block"),
        ("a \"b\" = {}", "1:7: only a single key may stand before =: a label needs a block"),
        ("= 1", "1:1: expected a key"),
        ("a = 1,, b = 2", "1:7: expected a key"),
        (", a = 1", "1:1: expected a key"),
        ("a = {,}", "1:6: expected a key"),
        ("a { { } }", "1:5: expected a key"),
        ("[1]", "1:1: expected a key"),
        ("<<E\nx\nE\n = 1", "1:1: expected a key"),
        ("true = 1", "1:1: expected a key: put it in quotes if it is one"),
        ("404 = {}", "1:1: expected a key: put it in quotes if it is one"),
        ("a = 1 }", "1:7: this brace closes nothing"),
        ("a = {", "1:5: brace is not closed: add }"),
        ("\n a {\nb = 1", "2:4: brace is not closed: add }"),
        ("# x\n{}", "2:1: expected a key"),
    ]);
}

#[test]
fn refuses_malformed_lists() {
    check_refused(&[
        ("a = [", "1:5: bracket is not closed: add ]"),
        ("a = [1,", "1:5: bracket is not closed: add ]"),
        ("a = [1", "1:5: bracket is not closed: add ]"),
        ("a = [1 2]", "1:8: expected a comma or ] after the list entry"),
        ("a = [[1] [2]]", "1:10: expected a comma or ] after the list entry"),
        ("a = [1}", "1:7: expected a comma or ] after the list entry"),
        ("a = [b]", "1:6: text must stand in quotes"),
        ("a = [b = 1]", "1:6: text must stand in quotes"),
        ("a = [=]", "1:6: expected a value"),
        ("{\"a\": [,1]}", "1:8: expected a value"),
        ("{\"a\": [1,,2]}", "1:10: expected a value"),
    ]);
}

#[test]
fn refuses_malformed_strings() {
    let unclosed =
        "string is not closed: add a quote, or use a heredoc for a text of several lines";
    let escape = "unknown escape: write \\\\ for a backslash";
    let digits = "escape has too few digits";
    let character = "escape is no Unicode character";
    let nul = "a NUL character is not allowed";
    let cases = [
        ("a = \"", "1:5", unclosed),
        ("a = \"b\nc\"", "1:5", unclosed),
        ("a = \"b\r\nc\"", "1:5", unclosed),
        ("a = \"${\"", "1:5", unclosed),
        ("a = \"${{}\"", "1:5", unclosed),
        ("a = \"\\", "1:6", escape),
        (r#"a = "x\q""#, "1:7", escape),
        (r#"a = "\/""#, "1:6", escape),
        (r#"a = "${\q}""#, "1:8", escape),
        (r#"a = "\x4""#, "1:6", digits),
        (r#"a = "\u12g4""#, "1:6", digits),
        (r#"a = "\U0001F60""#, "1:6", digits),
        (r#"a = "\18""#, "1:6", digits),
        (r#"a = "\400""#, "1:6", "octal escape is above \\377"),
        (r#"a = "\ud800""#, "1:6", character),
        (r#"a = "\ud83d\ude00""#, "1:6", character),
        (r#"a = "\U00110000""#, "1:6", character),
        (r#"a = "\UFFFFFFFF""#, "1:6", character),
        (r#"a = "\x00""#, "1:6", nul),
        (r#"a = "\000""#, "1:6", nul),
        (r#"a = "\u0000""#, "1:6", nul),
        (r#"a = "\xff""#, "1:5", "the escapes of this string are not UTF-8"),
        (r#"a = "\xc3 \xa9""#, "1:5", "the escapes of this string are not UTF-8"),
        (r#"{"a": "\x41"}"#, "1:8", escape),
        (r#"{"a": "\a"}"#, "1:8", escape),
        (r#"{"a": "\101"}"#, "1:8", escape),
        (r#"{"a": "\u00"}"#, "1:8", digits),
        (r#"{"a": "\u0000"}"#, "1:8", nul),
        (r#"{"a": "\ud83d"}"#, "1:8", character),
        (r#"{"a": "\ud83d\u0041"}"#, "1:8", character),
        (r#"{"a": "\ud83d\n"}"#, "1:8", character),
        (r#"{"a": "\ude00"}"#, "1:8", character),
        ("{\"a\": \"b\n\"}", "1:7", unclosed),
        ("{\"a", "1:2", unclosed),
    ];
    for (text, position, problem) in cases {
        assert_eq!(error_of(text).to_string(), format!("{position}: {problem}"), "{text}");
    }
}

#[test]
fn refuses_malformed_heredocs() {
    let unclosed = "1:5: heredoc is not closed: its closing word must stand alone on a line";
    let line = "1:5: the line must end after the word that opens a heredoc";
    check_refused(&[
        ("a = <E\nx\nE\n", "1:5: unexpected character: a heredoc begins with <<"),
        ("a = <<\nx\n", "1:5: heredoc needs a closing word after <<"),
        ("a = <<-\nx\n", "1:5: heredoc needs a closing word after <<"),
        ("a = <<\"E\"\nx\nE\n", "1:5: heredoc needs a closing word after <<"),
        ("a = <<E", line),
        ("a = <<E x\nx\nE\n", line),
        ("a = <<E-x\nx\nE-x\n", line),
        ("a = <<E\nx", unclosed),
        ("a = <<E\nxE\n", unclosed),
        ("a = <<E\nE,\n", unclosed),
        ("a = <<-E\n", unclosed),
    ]);
}

#[test]
fn refuses_malformed_numbers() {
    let text = "1:5: a number may not run into other characters: put text in quotes";
    let exponent = "1:5: number needs digits in its exponent";
    check_refused(&[
        ("a = 1h", text),
        ("a = 0b1", text),
        ("a = 0xfg", text),
        ("a = 1_000", text),
        ("a = 1.2.3", text),
        ("a = 127.0.0.1", text),
        ("a = 1e5e5", text),
        ("a = 0x", "1:5: hexadecimal number needs digits after 0x"),
        ("a = -0X", "1:5: hexadecimal number needs digits after 0x"),
        ("a = 08", "1:5: a number that begins with 0 is octal"),
        ("a = -0179", "1:5: a number that begins with 0 is octal"),
        ("a = 1e", exponent),
        ("a = 1.5e+", exponent),
        ("a = +1", "1:5: unexpected character"),
        ("a = -", "1:5: unexpected character"),
        ("a = -.5", "1:5: unexpected character"),
        ("a = .", "1:5: unexpected character"),
    ]);
    let decimal = "1:6: JSON has decimal numbers only, without leading zeros";
    let point = "1:6: number needs digits on both sides of its point";
    check_refused(&[
        ("{\"a\":0x1}", decimal),
        ("{\"a\":01}", decimal),
        ("{\"a\":-00}", decimal),
        ("{\"a\":01.5}", decimal),
        ("{\"a\":.5}", point),
        ("{\"a\":1.}", point),
        ("{\"a\":1.e5}", point),
        ("{\"a\":1e}", "1:6: number needs digits in its exponent"),
        ("{\"a\":1h}", "1:6: a number may not run into other characters: put text in quotes"),
    ]);
}

#[test]
fn refuses_unexpected_characters() {
    check_refused(&[
        ("a = 'b'", "1:5: quotes must be plain double quotes"),
        ("a = “b”", "1:5: quotes must be plain double quotes"),
        ("a: 1", "1:2: keys are assigned with =, not with a colon"),
        ("a = 1;", "1:6: unexpected character"),
        ("a = \u{a0}1", "1:5: unexpected character"),
        ("a = 1 \u{feff}", "1:7: unexpected character"),
        ("a = 1 / 2", "1:7: unexpected character"),
        ("/* a", "1:1: comment is not closed: add */"),
        ("/*/", "1:1: comment is not closed: add */"),
        ("a = 1\nb = \0", "2:5: a NUL character is not allowed"),
        ("a = \"\0\"", "1:6: a NUL character is not allowed"),
        ("# \0", "1:3: a NUL character is not allowed"),
        ("{\"\0\":1}", "1:3: a NUL character is not allowed"),
    ]);
}

#[test]
fn refuses_malformed_json() {
    check_refused(&[
        ("{", "1:1: brace is not closed: add }"),
        ("{\"a\": 1", "1:1: brace is not closed: add }"),
        ("{\"a\": {\"b\": 1}", "1:1: brace is not closed: add }"),
        ("{\"a\": 1,", "1:1: brace is not closed: add }"),
        ("{\"a\": [1}", "1:9: expected a comma or ] after the list entry"),
        ("{\"a\": [", "1:7: bracket is not closed: add ]"),
        ("{a: 1}", "1:2: text must stand in quotes"),
        ("{1: 1}", "1:2: expected a key in quotes"),
        ("{,}", "1:2: expected a key in quotes"),
        ("{\"a\": 1,,}", "1:9: expected a key in quotes"),
        ("{\"a\"}", "1:5: expected a colon after the key"),
        ("{\"a\" {}}", "1:6: expected a colon after the key"),
        ("{\"a\" = 1}", "1:6: JSON takes a colon between key and value"),
        ("{\"a\":}", "1:6: expected a value"),
        ("{\"a\": b}", "1:7: text must stand in quotes"),
        ("{\"a\": True}", "1:7: text must stand in quotes"),
        ("{\"a\": 1 \"b\": 2}", "1:9: expected a comma or } after the value"),
        ("{\"a\": 1] }", "1:8: expected a comma or } after the value"),
        ("{} {}", "1:4: nothing may follow the closing brace"),
        ("{}}", "1:3: nothing may follow the closing brace"),
        ("{} # x", "1:4: JSON has no comments"),
        ("{ // x\n}", "1:3: JSON has no comments"),
    ]);
}

#[test]
fn bytes_that_are_not_utf8() {
    let cases: [(&[u8], &str); 3] = [
        (b"\xff", "1:1"),
        (b"a = 1\nb = \"\xc3\xa9\xc3\"", "2:7"),
        (b"\xef\xbb\xbfa\xed\xa0\x80", "1:2"),
    ];
    for (bytes, position) in cases {
        let error = parse_bytes(bytes, &ParseLimits::default()).unwrap_err();
        let expected = format!("{position}: text is not UTF-8: save the file as UTF-8");
        assert_eq!(error.to_string(), expected);
    }
}
