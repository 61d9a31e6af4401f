use super::parse_to_text;
use crate::{HclValue, ParseError, ParseLimits, Position, parse, parse_bytes};

/// Runs a test on a quarter of the default stack size of a thread.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    thread.spawn(test).unwrap().join().unwrap();
}

#[test]
fn cve_2025_6203_depth_is_bounded_before_the_stack() {
    on_a_small_stack(|| {
        for (open, extra) in [
            ("a = [", "["),
            ("a = {", "b = {"),
            ("a {", "b {"),
            ("a", " b"),
            ("a = [", "{ b = ["),
            ("{\"a\":[", "["),
            ("{\"a\":{", "\"b\":{"),
            ("{\"a\":[", "{\"b\":["),
        ] {
            let text = format!("{open}{}", extra.repeat(200_000));
            for max_depth in [0, 1, 32, usize::MAX] {
                let limits =
                    ParseLimits { max_bytes: usize::MAX, max_depth, max_nodes: usize::MAX };
                let error = parse(&text, &limits).unwrap_err();
                let expected = max_depth.min(ParseLimits::MAX_DEPTH);
                assert!(
                    matches!(error, ParseError::TooDeep { limit, .. } if limit == expected),
                    "{extra}: {error}"
                );
            }
        }
    });
}

#[test]
fn the_deepest_tree_is_read_and_dropped_on_a_small_stack() {
    on_a_small_stack(|| {
        let limits = ParseLimits { max_depth: usize::MAX, ..ParseLimits::default() };
        let depth = ParseLimits::MAX_DEPTH;
        for (open, close) in [("b {", "}"), ("b = {", "}"), ("b \"c\" {", "}")] {
            let levels = if open.contains('c') { depth / 2 } else { depth };
            let text = format!("{}{}", open.repeat(levels), close.repeat(levels));
            let body = parse(&text, &limits).unwrap();
            assert!(body.duplicate_keys().is_empty());
            assert_eq!(format!("{body:?}").matches('b').count(), levels);
        }
        let text = format!("a = {}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(format!("{:?}", parse(&text, &limits)).contains('['));
        let text = format!("{{\"a\":{}1{}}}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(parse(&text, &limits).is_ok());
    });
}

#[test]
fn depth_is_counted_in_levels_with_labels() {
    let limits = |max_depth| ParseLimits { max_depth, ..ParseLimits::default() };
    let cases = [
        ("a = 1", 0),
        ("{\"a\": 1}", 0),
        ("a {}", 1),
        ("a = [1]", 1),
        ("a \"b\" {}", 2),
        ("{\"a\": {\"b\": {}}}", 2),
        ("a \"b\" \"c\" { d = [{}] }", 5),
        ("a = [] b = [] c { d = 1 }", 1),
    ];
    for (text, depth) in cases {
        assert!(parse(text, &limits(depth)).is_ok(), "{text}");
        if depth > 0 {
            let error = parse(text, &limits(depth - 1)).unwrap_err();
            assert!(matches!(error, ParseError::TooDeep { .. }), "{text}: {error}");
        }
    }
    let error = parse("a = {\n b = [[]]}", &limits(2)).unwrap_err();
    assert_eq!(error.to_string(), "2:7: nested more than 2 levels deep");
}

#[test]
fn keys_labels_and_entries_are_counted() {
    let limits = |max_nodes| ParseLimits { max_nodes, ..ParseLimits::default() };
    let cases =
        [("", 0), ("a = 1", 1), ("a = [1, 2]", 3), ("a \"b\" { c = [] }", 3), ("{\"a\":[{}]}", 2)];
    for (text, nodes) in cases {
        assert!(parse(text, &limits(nodes)).is_ok(), "{text}");
        if nodes > 0 {
            let error = parse(text, &limits(nodes - 1)).unwrap_err();
            assert!(matches!(error, ParseError::TooMany { .. }), "{text}: {error}");
        }
    }
    let error = parse("a = [1,\n2]", &limits(2)).unwrap_err();
    assert_eq!(error.to_string(), "2:1: more than 2 keys and list entries");
}

#[test]
fn bytes_are_counted_before_anything_is_read() {
    let limits = ParseLimits { max_bytes: 5, ..ParseLimits::default() };
    assert!(parse("a = 1", &limits).is_ok());
    assert!(parse_bytes(b"a = 1", &limits).is_ok());
    let too_long = ParseError::TooLong { limit: 5 };
    assert_eq!(parse("\0\0\0\0\0\0", &limits).unwrap_err(), too_long);
    assert_eq!(parse_bytes(b"\xff\xff\xff\xff\xff\xff", &limits).unwrap_err(), too_long);
    assert_eq!(too_long.to_string(), "text is longer than 5 bytes");
    assert_eq!(too_long.position(), None);
}

const CONFIG: &str = r#"
storage "postgresql" {
  connection_url = "postgres://u:hunter2@db/x" # c
  table = <<EOF
hunter2
EOF
  list = ["hunter2", "${hunter2}", { pin = "hunter2" }]
}
seal "pkcs11" { pin = "hunter2", slot = 424242 }
"#;

const CONFIG_JSON: &str = r#"{"storage": {"postgresql": {
  "connection_url": "postgres://u:hunter2@db/x", "list": ["hunter2", {"pin": "hunter2"}]}},
  "seal": {"pkcs11": {"pin": "hunter2", "slot": 424242}}}"#;

#[test]
fn cve_2025_4166_errors_never_echo_a_value() {
    let check = |text: &str| {
        if let Err(error) = parse(text, &ParseLimits::default()) {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter") && !shown.contains("4242"), "{shown}");
        }
    };
    for config in [CONFIG, CONFIG_JSON] {
        assert!(parse(config, &ParseLimits::default()).is_ok());
        for (at, c) in config.char_indices() {
            let (before, after) = config.split_at(at);
            check(before);
            check(&format!("{before}{}", &after[c.len_utf8()..]));
            for added in ["\"", "{", "}", "[", "=", "\\", "\n", "x", "\0"] {
                check(&format!("{before}{added}{after}"));
            }
        }
    }
}

#[test]
fn cve_2025_4166_typed_readers_never_echo_a_value() {
    for text in ["a = \"hunter2\"", "a = 424242.5", "a = [\"hunter2\"]", "a { b = \"hunter2\" }"] {
        let body = parse_to_text(text);
        let errors = [
            body.read("a", HclValue::as_bool).err(),
            body.read("a", HclValue::as_bool_loose).err(),
            body.read("a", HclValue::as_int).err(),
            body.read("a", HclValue::as_str).err(),
            body.read("a", HclValue::as_text).err(),
            body.read("a", HclValue::as_list).err(),
            body.read("a", HclValue::as_map).err(),
            body.blocks::<1>("a").err(),
        ];
        let errors: Vec<_> = errors.iter().flatten().collect();
        assert!(errors.len() > 3, "{text}");
        for error in errors {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter") && !shown.contains("4242"), "{shown}");
        }
    }
}

#[test]
fn debug_shows_keys_and_kinds_and_no_value() {
    for config in [CONFIG, CONFIG_JSON] {
        let body = parse_to_text(config);
        let blocks = body.blocks::<1>("seal").unwrap();
        let shown = format!("{body:?} {body:#?} {:?} {:?}", body.items(), blocks);
        assert!(!shown.contains("hunter") && !shown.contains("4242"), "{shown}");
        assert!(shown.contains("\"pin\": a string"), "{shown}");
    }
    let crate::ValueKind::Number(number) = super::sole_value("a = 424242").kind else { panic!() };
    assert_eq!(format!("{number:?}"), "a number");
}

#[test]
fn positions_survive_a_text_on_one_long_line() {
    let text = format!("a = \"{}\" b = \0", "é".repeat(100_000));
    let error = parse(&text, &ParseLimits::default()).unwrap_err();
    assert_eq!(error.position(), Some(Position { line: 1, column: 100_012 }));
}
