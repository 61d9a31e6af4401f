//! [`PrintableJson`]: escapes invisible characters in JSON log lines. JSON itself leaves most
//! terminal control and bidirectional characters unescaped, and people read such lines too.

use std::fmt::Write as _;
use std::io::{self, Write};

use strongroom_types::path::is_printable;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// Wraps another writer factory so that its writers escape invisible characters.
pub(crate) struct PrintableJson<M>(pub(crate) M);

/// Escapes invisible characters of JSON lines, each of which is written in one call.
pub(crate) struct EscapingWriter<W>(W);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for PrintableJson<M> {
    type Writer = EscapingWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        EscapingWriter(self.0.make_writer())
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        EscapingWriter(self.0.make_writer_for(meta))
    }
}

impl<W: Write> Write for EscapingWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) if text.chars().any(is_hidden) => {
                self.0.write_all(escape_hidden(text).as_bytes())?;
            }
            _ => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn is_hidden(c: char) -> bool {
    c != '\n' && !is_printable(c)
}

/// JSON has none of these characters outside of strings, so each can become a string escape.
fn escape_hidden(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len() + 32);
    for c in line.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string doesn't fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_show_is_escaped_as_json_has_it() {
        let hidden = "a\u{9b}b\u{202e}c\u{7f}\u{e0001}";
        let line = format!("{{\"x\":\"{hidden}\"}}\n");
        let shown = escape_hidden(&line);
        assert_eq!(shown, "{\"x\":\"a\\u009bb\\u202ec\\u007f\\udb40\\udc01\"}\n");
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read["x"], hidden);
    }
}
