//! The tree of what was written, as text.

use super::read::{Entry, Item, Value};

pub(super) fn document(entries: &[Entry<'_>]) -> String {
    let mut out = String::new();
    body(&mut out, entries, 0);
    out
}

/// The items of an object, a line each.
fn body(out: &mut String, entries: &[Entry<'_>], depth: usize) {
    let gaps: Vec<bool> = entries.windows(2).map(has_gap).collect();
    let mut widths = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 && gaps.get(index - 1) == Some(&true) {
            out.push('\n');
        }
        if widths.is_empty() {
            widths = run(entries.get(index..).unwrap_or_default(), gaps.get(index..));
        }
        let width = if widths.is_empty() { 0 } else { widths.remove(0) };
        above(out, entry, depth);
        if let Some(item) = &entry.item {
            indent(out, depth);
            let keys = item.keys.join(" ");
            out.push_str(&keys);
            if item.is_assigned {
                out.push_str(&" ".repeat(width.saturating_sub(keys.chars().count())));
                out.push_str(" =");
            }
            out.push(' ');
            value(out, &item.value, depth);
            beside(out, entry);
            out.push('\n');
        }
    }
}

/// How wide the keys of the entries are made that stand below each other, from the first one on.
fn run(entries: &[Entry<'_>], gaps: Option<&[bool]>) -> Vec<usize> {
    let tied = gaps.unwrap_or_default().iter().take_while(|gap| !**gap).count();
    let width = |entry: &Entry<'_>| {
        let item = entry.item.as_ref().filter(|item| item.is_assigned);
        item.map_or(0, |item| item.keys.join(" ").chars().count())
    };
    let together = entries.get(..=tied).unwrap_or(entries);
    let widest = together.iter().map(width).max().unwrap_or(0);
    vec![widest; together.len()]
}

/// Whether an empty line stands between two entries: always around what takes several lines.
fn has_gap(two: &[Entry<'_>]) -> bool {
    let [before, after] = two else { return false };
    !(is_simple(before) && is_simple(after) && after.first_line <= before.last_line + 1)
}

/// Whether an entry is one line. Comments that belong to no item are tied to what is above them.
fn is_simple(entry: &Entry<'_>) -> bool {
    match &entry.item {
        Some(item) => entry.above.is_empty() && item.is_assigned && flat(&item.value).is_some(),
        None => true,
    }
}

/// A value on one line, if it goes there.
fn flat(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Plain(text) => (!text.contains('\n')).then(|| (*text).to_owned()),
        Value::Heredoc(_) => None,
        Value::Object(entries) => entries.is_empty().then(|| "{}".to_owned()),
        Value::List { entries, on_one_line } => {
            let of = |entry: &Entry<'_>| {
                let bare = entry.above.is_empty() && entry.beside.is_none();
                entry.item.as_ref().filter(|_| bare).and_then(|item| flat(&item.value))
            };
            let all: Option<Vec<String>> = entries.iter().map(of).collect();
            all.filter(|all| *on_one_line || all.is_empty())
                .map(|all| format!("[{}]", all.join(", ")))
        }
    }
}

fn value(out: &mut String, value: &Value<'_>, depth: usize) {
    if let Some(text) = flat(value) {
        return out.push_str(&text);
    }
    match value {
        Value::Plain(text) | Value::Heredoc(text) => out.push_str(text),
        Value::Object(entries) => {
            out.push_str("{\n");
            body(out, entries, depth + 1);
            indent(out, depth);
            out.push('}');
        }
        Value::List { entries, .. } => {
            out.push_str("[\n");
            entries.iter().for_each(|entry| list_entry(out, entry, depth + 1));
            indent(out, depth);
            out.push(']');
        }
    }
}

fn list_entry(out: &mut String, entry: &Entry<'_>, depth: usize) {
    above(out, entry, depth);
    let Some(Item { value: of, .. }) = &entry.item else { return };
    indent(out, depth);
    value(out, of, depth);
    if matches!(of, Value::Heredoc(_)) {
        // Nothing may follow the word that closes it.
        out.push('\n');
        indent(out, depth);
    }
    out.push(',');
    beside(out, entry);
    out.push('\n');
}

fn above(out: &mut String, entry: &Entry<'_>, depth: usize) {
    for comment in &entry.above {
        indent(out, depth);
        out.push_str(comment);
        out.push('\n');
    }
}

fn beside(out: &mut String, entry: &Entry<'_>) {
    if let Some(comment) = entry.beside {
        out.push(' ');
        out.push_str(comment);
    }
}

fn indent(out: &mut String, depth: usize) {
    out.push_str(&"  ".repeat(depth));
}
