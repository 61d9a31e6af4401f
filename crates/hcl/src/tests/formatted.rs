//! The layout of formatted texts.

use proptest::prelude::*;

use crate::{ParseError, ParseLimits, format, parse};

fn format_text(text: &str) -> String {
    format(text, &ParseLimits::default()).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

#[test]
fn items_stand_on_lines_of_their_own_and_comments_stay() {
    let text = r#"# top
// second
path "a" { capabilities=["read",   "list"] } # trailing

# alone

path   secret   {
  # inner
  policy = "write"
  allowed_parameters = {
    "x" = []   // all
    "longer" = ["1","2",
    "3"] /* two */
    y=["a"], z = 0x1f
  }


  max = "1h" /* block */
  min="30"
  # end of block
}
/* several
   lines */
path "c" {}
"#;
    let expected = r#"# top
// second
path "a" {
  capabilities = ["read", "list"]
} # trailing

# alone

path secret {
  # inner
  policy = "write"

  allowed_parameters = {
    "x" = [] // all

    "longer" = [
      "1",
      "2",
      "3",
    ] /* two */

    y = ["a"]
    z = 0x1f
  }

  max = "1h" /* block */
  min = "30"
  # end of block
}

/* several
   lines */
path "c" {}
"#;
    assert_eq!(format_text(text), expected);
    assert_eq!(format_text(expected), expected);
}

#[test]
fn keys_below_each_other_are_aligned() {
    let text = "a = 1\nlonger = 2\n\nb = 3\nc {}\n";
    assert_eq!(format_text(text), "a      = 1\nlonger = 2\n\nb = 3\n\nc {}\n");
}

#[test]
fn values_stay_as_they_are_spelled() {
    for text in [
        "a = \"\\u00e9${x}\"\n",
        "a = <<-EOT\n    x\n    EOT\n",
        "a = [\n  <<EOT\nx\nEOT\n  ,\n  1,\n]\n",
        "a = [[1, 2], [\"x\"]]\n",
        "a = [\n  {\n    b = 1\n  },\n]\n",
        "",
    ] {
        assert_eq!(format_text(text), text);
    }
}

#[test]
fn comments_in_odd_places_are_moved_and_not_lost() {
    let text =
        "a /*1*/ \"b\" /*2*/ { /*3*/ c /*4*/ = /*5*/ [ /*6*/ 1 /*7*/ , 2, # 8\n] /*9*/ } //10\n";
    let shown = format_text(text);
    for comment in ["/*1*/", "/*2*/", "/*3*/", "/*4*/", "/*5*/", "/*6*/", "/*7*/", "# 8", "/*9*/"] {
        assert!(shown.contains(comment), "{comment} in {shown}");
    }
    assert!(shown.ends_with("//10\n"), "{shown}");
    assert_eq!(format_text(&shown), shown);
}

#[test]
fn formats_deep_nesting() {
    let text = std::format!("{}{}", "a = {".repeat(32), "}".repeat(32));
    let shown = format_text(&text);
    assert_eq!(shown.lines().count(), 63);
    assert!(shown.contains(&std::format!("{}a = {{}}", "  ".repeat(31))));
}

#[test]
fn what_cannot_be_read_and_json_are_refused() {
    assert!(format("path \"a\" {", &ParseLimits::default()).is_err());
    let error = format("{\"a\": 1}", &ParseLimits::default()).unwrap_err();
    assert!(matches!(error, ParseError::Syntax { problem, .. } if problem.contains("JSON")));
}

proptest! {
    /// A formatted text has the same content, and formatting it again changes nothing.
    #[test]
    fn every_valid_text_is_formatted(text in hcl_document()) {
        let before = parse(&text, &ParseLimits::default())
            .map_err(|error| TestCaseError::fail(format!("{text:?}: {error}")))?;
        let once = format(&text, &ParseLimits::default()).map_err(|error| {
            TestCaseError::fail(format!("{text:?}: {error}"))
        })?;
        let after = parse(&once, &ParseLimits::default()).unwrap();
        prop_assert_eq!(super::append_text(&before), super::append_text(&after));
        prop_assert_eq!(format(&once, &ParseLimits::default()).unwrap(), once);
    }
}

/// Valid HCL texts with white space and comments in all possible places.
fn hcl_document() -> BoxedStrategy<String> {
    let plain = prop_oneof![
        Just("12".to_owned()),
        Just("\"text\"".to_owned()),
        Just("true".to_owned()),
        Just("\"${\n}\"".to_owned()),
        Just("<<E\n a\n E\n".to_owned()),
        Just("{}".to_owned()),
        Just("[]".to_owned()),
    ];
    let value = plain.prop_recursive(3, 8, 3, |value| {
        let entry = (blank_or_comment(), value.clone(), blank_or_comment());
        let list = prop::collection::vec(entry, 0..3).prop_map(|entries| {
            let texts = entries.iter().map(|(a, value, b)| format!("{a}{value}{b}"));
            format!("[{}]", texts.collect::<Vec<_>>().join(","))
        });
        prop_oneof![list, hcl_items(value).prop_map(|items| format!("{{{items}}}"))]
    });
    hcl_items(value)
}

/// Assigned items and blocks.
fn hcl_items(value: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    let name = prop_oneof![Just("a"), Just("longer"), Just("\"quoted\"")];
    let assigned = (
        blank_or_comment(),
        name,
        blank_or_comment(),
        blank_or_comment(),
        value,
        blank_or_comment(),
    )
        .prop_map(|(a, name, b, c, value, d)| format!("{a}{name}{b}={c}{value}{d}"))
        .boxed();
    let block = (blank_or_comment(), blank_or_comment(), assigned.clone(), blank_or_comment())
        .prop_map(|(a, b, item, c)| format!("{a}path \"x\"{b}{{{item}\n}}{c}"))
        .boxed();
    let item = prop_oneof![3 => assigned, 1 => block];
    prop::collection::vec(item, 0..4).prop_map(|items| items.join("\n")).boxed()
}

fn blank_or_comment() -> BoxedStrategy<String> {
    prop_oneof![
        6 => Just(" ".to_owned()),
        2 => Just("\n".to_owned()),
        1 => Just("\n\n".to_owned()),
        1 => Just(" # c\n".to_owned()),
        1 => Just("// d\r\n".to_owned()),
        1 => Just("/* e */".to_owned()),
        1 => Just("/* f\n g */".to_owned()),
    ]
    .boxed()
}
