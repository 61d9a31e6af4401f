//! Line wrapping, and durations for people.

/// The maximum width of wrapped text.
const MAX_LINE_WIDTH: usize = 78;

/// Wraps text into lines.
pub(crate) fn wrap_text(text: &str) -> String {
    wrap_indented(text, 0)
}

/// Wraps text into lines with an indentation of `indent` spaces.
pub(crate) fn wrap_indented(text: &str, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line)
                if line.chars().count() + 1 + word.chars().count() <= MAX_LINE_WIDTH - indent =>
            {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let spaces = " ".repeat(indent);
    lines.iter().map(|line| format!("{spaces}{line}")).collect::<Vec<_>>().join("\n")
}

/// Formats seconds as `768h`, `1h30m` or `45s`.
pub(crate) fn format_duration(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let all = seconds.unsigned_abs();
    let (hours, minutes, rest) = (all / 3600, all / 60 % 60, all % 60);
    let mut text = sign.to_owned();
    for (count, unit) in [(hours, 'h'), (minutes, 'm'), (rest, 's')] {
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if all == 0 { "0s".to_owned() } else { text }
}

/// Whether a field is displayed as a duration, judging by its name.
pub(crate) fn is_duration_field(name: &str) -> bool {
    ["period", "ttl", "duration"].iter().any(|word| {
        name == *word || name.strip_suffix(word).is_some_and(|rest| rest.ends_with('_'))
    }) || matches!(name, "lease_max" | "ttl_max")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_human_readable() {
        for (seconds, shown) in [
            (0, "0s"),
            (45, "45s"),
            (60, "1m"),
            (90, "1m30s"),
            (3600, "1h"),
            (5400, "1h30m"),
            (3605, "1h5s"),
            (2_764_800, "768h"),
            (-60, "-1m"),
        ] {
            assert_eq!(format_duration(seconds), shown);
        }
    }

    #[test]
    fn duration_fields_are_recognised() {
        for name in ["ttl", "max_ttl", "token_period", "lease_duration", "lease_max"] {
            assert!(is_duration_field(name), "{name}");
        }
        for name in ["battle", "throttl", "ttls", "maxttl"] {
            assert!(!is_duration_field(name), "{name}");
        }
    }

    #[test]
    fn prose_is_wrapped() {
        let text = "word ".repeat(40);
        assert!(
            wrap_indented(&text, 2).lines().all(|line| line.starts_with("  w") && line.len() <= 78)
        );
        assert_eq!(wrap_text("a\n b"), "a b");
    }
}
