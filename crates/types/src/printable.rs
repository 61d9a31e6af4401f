//! Makes untrusted text safe to show: one line, printable, and of bounded length. Messages of
//! plug-ins and outside systems appear in logs and responses; they must not inject line breaks,
//! terminal escapes or bidirectional overrides there.

use std::borrow::Cow;
use std::fmt;

use crate::path::is_printable;

/// Appended to text that was truncated.
const CUT_MARK: &str = "…";
/// The maximum length of an engine's message in a response, in bytes.
const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// The text on one line, with a space in place of each unprintable character, truncated to
/// `max_bytes` with an ellipsis appended.
pub fn printable(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes && text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().min(max_bytes) + CUT_MARK.len());
    let mut writer = PrintableWriter::new(&mut shown, max_bytes);
    // Writing to a string doesn't fail.
    let _ = fmt::Write::write_str(&mut writer, text);
    Cow::Owned(shown)
}

/// Sanitises a message of a plug-in or outside system: printable characters, one line, bounded
/// length. The one exception is the error list format of Go engines, which keeps one line per item
/// because clients know it.
pub fn sanitise_message(text: &str) -> String {
    const ITEM: &str = "\n\t* ";
    const END: &str = "\n\n";
    let line = |text: &str| printable(text, MAX_MESSAGE_BYTES).into_owned();
    match text.split_once(ITEM) {
        Some((head, items)) if text.len() <= MAX_MESSAGE_BYTES && is_error_list_head(head) => {
            let (items, end) = items.strip_suffix(END).map_or((items, ""), |items| (items, END));
            let items: Vec<String> = items.split(ITEM).map(line).collect();
            format!("{head}{ITEM}{}{end}", items.join(ITEM))
        }
        _ => line(text),
    }
}

/// Whether the text is the head of an error list, such as `2 errors occurred:`.
fn is_error_list_head(head: &str) -> bool {
    let count = head.strip_suffix(" errors occurred:").or(head.strip_suffix(" error occurred:"));
    count.is_some_and(|count| !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A [`fmt::Write`] adapter that filters text as [`printable`] does, across any number of writes.
pub struct PrintableWriter<'a> {
    to: &'a mut dyn fmt::Write,
    bytes_left: usize,
    is_cut: bool,
}

impl<'a> PrintableWriter<'a> {
    /// Forwards at most `max_bytes` bytes to `to`, then an ellipsis if text was truncated.
    pub fn new(to: &'a mut dyn fmt::Write, max_bytes: usize) -> Self {
        Self { to, bytes_left: max_bytes, is_cut: false }
    }
}

impl fmt::Debug for PrintableWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrintableWriter({} bytes left)", self.bytes_left)
    }
}

impl fmt::Write for PrintableWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.is_cut {
                return Ok(());
            }
            let c = if is_printable(c) { c } else { ' ' };
            match self.bytes_left.checked_sub(c.len_utf8()) {
                Some(left) => {
                    self.bytes_left = left;
                    self.to.write_char(c)?;
                }
                None => {
                    self.is_cut = true;
                    self.to.write_str(CUT_MARK)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORGED: &str =
        "boom\n2026-11-29T00:00:00Z  INFO core: FORGED\u{1b}[31m\u{2028}next\r\nlast";

    fn is_plain(text: &str) -> bool {
        text.chars().all(is_printable)
    }

    #[test]
    fn text_stays_on_one_line_without_control_characters() {
        for (text, shown) in [
            ("plain ü", "plain ü"),
            ("a\nb\r\n\tc", "a b   c"),
            ("\u{1b}[31mred\u{1b}[0m", " [31mred [0m"),
            ("\u{9b}31m", " 31m"),
            ("a\u{2028}b\u{2029}c", "a b c"),
            ("left\u{202e}right\u{200b}", "left right "),
            ("\0", " "),
        ] {
            assert_eq!(printable(text, 100), shown, "{text:?}");
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(printable("äöü", 6), "äöü");
        assert_eq!(printable("äöü", 5), "äö…");
        assert_eq!(printable("abc", 0), "…");
        let shown = printable(&"x".repeat(1 << 20), 4096).into_owned();
        assert_eq!(shown.len(), 4096 + CUT_MARK.len());
    }

    #[test]
    fn consecutive_writes_share_the_bound() {
        let mut shown = String::new();
        let mut writer = PrintableWriter::new(&mut shown, 4);
        for piece in ["ab", "\n", "cd", "ef"] {
            fmt::Write::write_str(&mut writer, piece).unwrap();
        }
        assert_eq!(shown, "ab c…");
    }

    #[test]
    fn sr_2026_06_of_what_breaks_lines_only_the_known_list_of_errors_stays() {
        let list = "2 errors occurred:\n\t* one\n\t* two\n\n";
        assert_eq!(sanitise_message(list), list);
        let forged = format!("1 error occurred:\n\t* {FORGED}\n\n");
        let shown_forged = sanitise_message(&forged);
        let inside = shown_forged.strip_prefix("1 error occurred:\n\t* ").unwrap();
        assert!(is_plain(inside.strip_suffix("\n\n").unwrap()), "{shown_forged:?}");
        for other in ["x\n\t* y\n\n", "1\n error occurred:\n\t* y", " error occurred:\n\t* y"] {
            assert!(is_plain(&sanitise_message(other)), "{other:?}");
        }
        let long = format!("1 error occurred:\n\t* {}", "x".repeat(1 << 20));
        assert!(is_plain(&sanitise_message(&long)) && sanitise_message(&long).len() < 5000);
    }
}
