//! Renders the layout tree as text.

use super::layout_tree::{LayoutEntry, LayoutItem, LayoutValue};

pub(super) fn render_document(entries: &[LayoutEntry<'_>]) -> String {
    let mut out = String::new();
    render_entries(&mut out, entries, 0);
    out
}

/// Renders the items of an object, each on its own line.
fn render_entries(out: &mut String, entries: &[LayoutEntry<'_>], depth: usize) {
    let gaps: Vec<bool> = entries.windows(2).map(has_gap).collect();
    let mut widths = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 && gaps.get(index - 1) == Some(&true) {
            out.push('\n');
        }
        if widths.is_empty() {
            widths =
                aligned_key_widths(entries.get(index..).unwrap_or_default(), gaps.get(index..));
        }
        let width = if widths.is_empty() { 0 } else { widths.remove(0) };
        comments_above(out, entry, depth);
        if let Some(item) = &entry.item {
            push_indent(out, depth);
            let keys = item.keys.join(" ");
            out.push_str(&keys);
            if item.is_assigned {
                out.push_str(&" ".repeat(width.saturating_sub(keys.chars().count())));
                out.push_str(" =");
            }
            out.push(' ');
            render_value(out, &item.value, depth);
            comment_beside(out, entry);
            out.push('\n');
        }
    }
}

/// The key width to align on, for each entry up to the first gap.
fn aligned_key_widths(entries: &[LayoutEntry<'_>], gaps: Option<&[bool]>) -> Vec<usize> {
    let tied = gaps.unwrap_or_default().iter().take_while(|gap| !**gap).count();
    let width = |entry: &LayoutEntry<'_>| {
        let item = entry.item.as_ref().filter(|item| item.is_assigned);
        item.map_or(0, |item| item.keys.join(" ").chars().count())
    };
    let together = entries.get(..=tied).unwrap_or(entries);
    let widest = together.iter().map(width).max().unwrap_or(0);
    vec![widest; together.len()]
}

/// Whether an empty line separates two entries. An entry of several lines always has one around it.
fn has_gap(two: &[LayoutEntry<'_>]) -> bool {
    let [before, after] = two else { return false };
    !(is_simple(before) && is_simple(after) && after.first_line <= before.last_line + 1)
}

/// Whether an entry takes one line. A comment without an item counts as one.
fn is_simple(entry: &LayoutEntry<'_>) -> bool {
    match &entry.item {
        Some(item) => {
            entry.comments_above.is_empty()
                && item.is_assigned
                && render_on_one_line(&item.value).is_some()
        }
        None => true,
    }
}

/// A value on one line, if it can be written so.
fn render_on_one_line(value: &LayoutValue<'_>) -> Option<String> {
    match value {
        LayoutValue::Plain(text) => (!text.contains('\n')).then(|| (*text).to_owned()),
        LayoutValue::Heredoc(_) => None,
        LayoutValue::Object(entries) => entries.is_empty().then(|| "{}".to_owned()),
        LayoutValue::List { entries, on_one_line } => {
            let of = |entry: &LayoutEntry<'_>| {
                let bare = entry.comments_above.is_empty() && entry.comment_beside.is_none();
                entry
                    .item
                    .as_ref()
                    .filter(|_| bare)
                    .and_then(|item| render_on_one_line(&item.value))
            };
            let all: Option<Vec<String>> = entries.iter().map(of).collect();
            all.filter(|all| *on_one_line || all.is_empty())
                .map(|all| format!("[{}]", all.join(", ")))
        }
    }
}

fn render_value(out: &mut String, value: &LayoutValue<'_>, depth: usize) {
    if let Some(text) = render_on_one_line(value) {
        return out.push_str(&text);
    }
    match value {
        LayoutValue::Plain(text) | LayoutValue::Heredoc(text) => out.push_str(text),
        LayoutValue::Object(entries) => {
            out.push_str("{\n");
            render_entries(out, entries, depth + 1);
            push_indent(out, depth);
            out.push('}');
        }
        LayoutValue::List { entries, .. } => {
            out.push_str("[\n");
            entries.iter().for_each(|entry| render_list_entry(out, entry, depth + 1));
            push_indent(out, depth);
            out.push(']');
        }
    }
}

fn render_list_entry(out: &mut String, entry: &LayoutEntry<'_>, depth: usize) {
    comments_above(out, entry, depth);
    let Some(LayoutItem { value: of, .. }) = &entry.item else { return };
    push_indent(out, depth);
    render_value(out, of, depth);
    if matches!(of, LayoutValue::Heredoc(_)) {
        // Nothing may follow a heredoc's closing word on its line.
        out.push('\n');
        push_indent(out, depth);
    }
    out.push(',');
    comment_beside(out, entry);
    out.push('\n');
}

fn comments_above(out: &mut String, entry: &LayoutEntry<'_>, depth: usize) {
    for comment in &entry.comments_above {
        push_indent(out, depth);
        out.push_str(comment);
        out.push('\n');
    }
}

fn comment_beside(out: &mut String, entry: &LayoutEntry<'_>) {
    if let Some(comment) = entry.comment_beside {
        out.push(' ');
        out.push_str(comment);
    }
}

fn push_indent(out: &mut String, depth: usize) {
    out.push_str(&"  ".repeat(depth));
}
