use super::{append_text, parse_to_text};
use crate::{ParseLimits, parse_bytes};

#[test]
fn hcl_texts_and_their_trees() {
    let cases = [
        // Items.
        ("", ""),
        (" \t\r\n", ""),
        ("# only a comment", ""),
        ("a = 1", "a:1"),
        ("a=1 b=2", "a:1 b:2"),
        ("a = 1, b = 2,", "a:1 b:2"),
        ("a = 1\nb = 2\r\nc = 3\n", "a:1 b:2 c:3"),
        ("a =\n\n1", "a:1"),
        ("a { b = 1, c = 2 }", "a:{b:1 c:2}"),
        ("a {}\na {}", "a:{} a:{}"),
        ("a = {}", "a:{}"),
        ("a = { b = 1 }", "a:{b:1}"),
        ("a { b { c = 1 } }", "a:{b:{c:1}}"),
        ("a \"b\" { c = 1 }", "a:{b:{c:1}}"),
        ("a \"b\" \"c\" {}", "a:{b:{c:{}}}"),
        ("a b {}", "a:{b:{}}"),
        ("a = 1 a = 2", "a:1 a:2"),
        // Keys.
        ("a_b-c.d9 = 1", "a_b-c.d9:1"),
        ("_ = 1", "_:1"),
        ("äß = 1", "äß:1"),
        ("\"a b\" = 1", "a b:1"),
        ("\"\" = 1", ":1"),
        ("\"true\" = 1", "true:1"),
        ("\"2xx\" = 1", "2xx:1"),
        ("truer = 1", "truer:1"),
        // Plain values.
        ("a = true b = false", "a:true b:false"),
        ("a = [0, -1, 42]", "a:[0 -1 42]"),
        ("a = [0x1F, 0Xa, -0x1, 017, -017]", "a:[0x1F 0Xa -0x1 017 -017]"),
        ("a = [1.5, -0.5, .5, 1., 08.5]", "a:[1.5 -0.5 .5 1. 08.5]"),
        ("a = [1e3, 1E-3, 1.5e+3, 01e1]", "a:[1e3 1E-3 1.5e+3 01e1]"),
        // Lists.
        ("a = []", "a:[]"),
        ("a = [1, \"b\", true,]", "a:[1 \"b\" true]"),
        ("a = [\n1,\n\n2 # two\n,\n]", "a:[1 2]"),
        ("a = [,1,,2,,]", "a:[1 2]"),
        ("a = [[1], [], [[2]]]", "a:[[1] [] [[2]]]"),
        ("a = [{ b = 1 }, { b = 2 }]", "a:[{b:1} {b:2}]"),
        // Comments.
        ("# x\na = 1 // y\n/* z\n* / ** */ b = 2 #", "a:1 b:2"),
        ("a /* x */ = /**/ 1", "a:1"),
        ("a # x\n= # y\n1", "a:1"),
        ("a = \"# // /* no comment\"", "a:\"# // /* no comment\""),
    ];
    for (text, expected) in cases {
        assert_eq!(append_text(&parse_to_text(text)), expected, "{text}");
    }
}

#[test]
fn strings_and_their_values() {
    let cases = [
        (r#""""#, ""),
        (r#""a 'b' ü""#, "a 'b' ü"),
        ("\"a\tb\"", "a\tb"),
        (r#""\a\b\f\n\r\t\v\\\"""#, "\u{7}\u{8}\u{c}\n\r\t\u{b}\\\""),
        (r#""\x41\x7e\101\176\u00e9\U0001f600""#, "A~A~é😀"),
        // Several byte escapes may form one character.
        (r#""\xc3\xa9 \303\251""#, "é é"),
        // Interpolation is not evaluated, but its text must be kept.
        (r#""${a}""#, "${a}"),
        (r#""x ${f("y", "")} z""#, r#"x ${f("y", "")} z"#),
        (r#""${ {a} } {b} }""#, "${ {a} } {b} }"),
        (r#""${\"\n} \n""#, "${\\\"\\n} \n"),
        ("\"${a\r\nb}\"", "${a\nb}"),
        (r#""$ $$ $a {{identity.entity.id}}""#, "$ $$ $a {{identity.entity.id}}"),
        (r#""\x24{ a""#, "${ a"),
        (r#""\\${"}""#, r#"\${"}"#),
    ];
    for (literal, expected) in cases {
        let body = parse_to_text(&format!("a = {literal}"));
        assert_eq!(body.read("a", super::HclValue::as_str), Ok(Some(expected)), "{literal}");
        let body = parse_to_text(&format!("{literal} = 1"));
        assert_eq!(body.items()[0].key.text, expected, "{literal}");
    }
}

#[test]
fn heredocs_and_their_values() {
    let cases = [
        ("<<EOF\nEOF\n", ""),
        ("<<EOF\na\n  b\n\nEOF\n", "a\n  b\n\n"),
        ("<<EOF\nEOF2\n EOF x\n\"\\n${\nEOF", "EOF2\n EOF x\n\"\\n${\n"),
        ("<<EOF\r\na\r\nEOF\r\n", "a\n"),
        // Without the dash, white space before the closing word is part of the text.
        ("<<EOF\na\n  EOF\n", "a\n  "),
        ("<<1_x\na\n1_x", "a\n"),
        ("<<-EOF\n    a\n      b\n    EOF\n", "a\n  b\n"),
        ("<<-EOF\n\ta\n\tEOF\n", "a\n"),
        ("<<-EOF\na\nEOF\n", "a\n"),
        ("<<-EOF\n  EOF\n", ""),
        ("<<-EOF\r\n  a\r\n  EOF\r\n", "a\n"),
        // If one line is less indented, no line is changed; a blank line counts as such.
        ("<<-EOF\n    a\n  b\n    EOF\n", "    a\n  b\n"),
        ("<<-EOF\n  a\n\n  b\n  EOF\n", "  a\n\n  b\n"),
    ];
    for (literal, expected) in cases {
        let body = parse_to_text(&format!("a = {literal}"));
        assert_eq!(body.read("a", super::HclValue::as_str), Ok(Some(expected)), "{literal}");
    }
    assert_eq!(
        append_text(&parse_to_text("a = [<<E\nx\nE\n, <<E\ny\nE\n]\nb = 1")),
        "a:[\"x\\n\" \"y\\n\"] b:1"
    );
}

#[test]
fn json_texts_and_their_trees() {
    let cases = [
        ("{}", ""),
        (" \n{ } \n", ""),
        (r#"{"a":1,"b":-2.5e3}"#, "a:1 b:-2.5e3"),
        (r#"{"a":{"b":{"c":null}}}"#, "a:{b:{c:null}}"),
        (r#"{"a":[true,false,null,"x",[1],{}]}"#, "a:[true false null \"x\" [1] {}]"),
        (r#"{"a":[1,2,],"b":{"c":1,},}"#, "a:[1 2] b:{c:1}"),
        (r#"{"a":1,"a":2}"#, "a:1 a:2"),
        (r#"{"":0,"a b/*":-0}"#, ":0 a b/*:-0"),
        (
            r#"{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}"#,
            "a:\"\\\"\\\\/\\u{8}\\u{c}\\n\\r\\té😀\"",
        ),
        ("{\"a\":\"x\ty\"}", "a:\"x\\ty\""),
        (r#"{"a":"${b} # c"}"#, "a:\"${b} # c\""),
        (r#"{"a":"${","b":"}"}"#, "a:\"${\" b:\"}\""),
    ];
    for (text, expected) in cases {
        assert_eq!(append_text(&parse_to_text(text)), expected, "{text}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped_in_both_syntaxes() {
    for text in ["\u{feff}a = 1", "\u{feff}{\"a\": 1}"] {
        let body = parse_bytes(text.as_bytes(), &ParseLimits::default()).unwrap();
        assert_eq!(append_text(&body), "a:1");
    }
    assert_eq!(parse_to_text("\u{feff}a = 1").items()[0].key.position.to_string(), "1:1");
}

#[test]
fn positions_count_lines_and_characters_from_one() {
    let body = parse_to_text("ä = 1\n\t\"b\" {\r\n  c = [\"ü\", 2]\n}");
    let at = |text: &str, position: crate::Position| assert_eq!(position.to_string(), text);
    at("1:1", body.position);
    at("1:1", body.items()[0].key.position);
    at("1:5", body.items()[0].value.position);
    at("2:2", body.items()[1].key.position);
    at("2:6", body.items()[1].value.position);
    let inner = body.items()[1].value.as_map().unwrap();
    at("2:6", inner.position);
    at("3:3", inner.items()[0].key.position);
    let list = inner.items()[0].value.as_list().unwrap();
    at("3:7", inner.items()[0].value.position);
    at("3:8", list[0].position);
    at("3:13", list[1].position);

    let body = parse_to_text("\n{\n\t\"a\": {\"b\": 1}}");
    at("2:1", body.position);
    at("3:2", body.items()[0].key.position);
    at("3:7", body.items()[0].value.position);
}

#[test]
fn heredocs_and_long_strings_keep_later_positions_right() {
    let body = parse_to_text("a = <<E\nx\nE\nb = \"${\n}\" c = 1");
    let positions: Vec<_> = body.items().iter().map(|item| item.key.position.to_string()).collect();
    assert_eq!(positions, ["1:1", "4:1", "5:4"]);
}
