//! Builds a tree from tokens and comments that records which comment belongs to which item.

use super::{SourceToken, SourceTokenKind};

/// An entry with lines of its own: an item, or comments that belong to no item.
pub(super) struct LayoutEntry<'t> {
    /// The comments on the lines above the item.
    pub(super) comments_above: Vec<&'t str>,
    /// The item; `None` for an entry of comments only.
    pub(super) item: Option<LayoutItem<'t>>,
    /// The comment at the end of the item's line.
    pub(super) comment_beside: Option<&'t str>,
    /// The lines it occupied in the source, comments included.
    pub(super) first_line: u32,
    pub(super) last_line: u32,
}

pub(super) struct LayoutItem<'t> {
    /// The key and its labels; empty for an entry of a list.
    pub(super) keys: Vec<&'t str>,
    pub(super) is_assigned: bool,
    pub(super) value: LayoutValue<'t>,
}

pub(super) enum LayoutValue<'t> {
    Plain(&'t str),
    Heredoc(&'t str),
    Object(Vec<LayoutEntry<'t>>),
    List {
        entries: Vec<LayoutEntry<'t>>,
        /// Whether it was written on one line.
        on_one_line: bool,
    },
}

pub(super) fn parse_document<'t>(pieces: &[SourceToken<'t>]) -> Vec<LayoutEntry<'t>> {
    LayoutParser { pieces, line: 1, comments: Vec::new() }.parse_entries(false)
}

/// Parses the tokens of a text that is known to be valid.
struct LayoutParser<'p, 't> {
    pieces: &'p [SourceToken<'t>],
    /// The line on which the last consumed token ends.
    line: u32,
    /// Comments that are not attached to an entry yet.
    comments: Vec<SourceToken<'t>>,
}

impl<'t> LayoutParser<'_, 't> {
    /// Parses entries up to and including the closing brace or bracket, or to the end.
    fn parse_entries(&mut self, in_list: bool) -> Vec<LayoutEntry<'t>> {
        let mut entries: Vec<LayoutEntry<'t>> = Vec::new();
        loop {
            self.collect_comments(entries.last_mut());
            let Some(piece) = self.next() else { break };
            match piece.kind {
                SourceTokenKind::CloseBrace | SourceTokenKind::CloseBracket => break,
                SourceTokenKind::Comma => continue,
                _ => {}
            }
            self.flush_comments(&mut entries, Some(piece.first_line));
            let mut above = std::mem::take(&mut self.comments);
            let item = self.parse_item(piece, in_list);
            // A comment inside an item has no better place than above it.
            above.append(&mut self.comments);
            let first_line = above.first().map_or(piece.first_line, |first| first.first_line);
            entries.push(LayoutEntry {
                comments_above: above.iter().map(|comment| comment.text).collect(),
                item: Some(item),
                comment_beside: None,
                first_line: first_line.min(piece.first_line),
                last_line: self.line,
            });
        }
        self.flush_comments(&mut entries, None);
        entries
    }

    fn next(&mut self) -> Option<SourceToken<'t>> {
        let (first, rest) = self.pieces.split_first()?;
        self.pieces = rest;
        if first.kind != SourceTokenKind::Comment {
            self.line = first.last_line;
        }
        Some(*first)
    }

    /// Collects the comments that follow. The first belongs to the last entry if it is on its line.
    fn collect_comments(&mut self, mut last: Option<&mut LayoutEntry<'t>>) {
        // There may be a comma between an entry and its comment.
        let comma = self.pieces.first().filter(|piece| piece.kind == SourceTokenKind::Comma);
        let after_comma =
            self.pieces.get(1).map(|piece| piece.kind) == Some(SourceTokenKind::Comment);
        if comma.is_some() && after_comma {
            self.next();
        }
        while let Some(piece) = self.pieces.first().copied()
            && piece.kind == SourceTokenKind::Comment
        {
            self.next();
            match last.take() {
                Some(entry)
                    if entry.comment_beside.is_none()
                        && entry.item.is_some()
                        && piece.first_line == entry.last_line
                        && piece.first_line == piece.last_line =>
                {
                    entry.comment_beside = Some(piece.text);
                }
                _ => self.comments.push(piece),
            }
        }
    }

    /// Turns pending comments into entries of their own if a blank line separates them from the
    /// item that begins on `next_line`, or if nothing follows.
    fn flush_comments(&mut self, entries: &mut Vec<LayoutEntry<'t>>, next_line: Option<u32>) {
        let mut group: Vec<SourceToken<'t>> = Vec::new();
        let waiting = std::mem::take(&mut self.comments);
        let mut groups: Vec<Vec<SourceToken<'t>>> = Vec::new();
        for comment in waiting {
            if group.last().is_some_and(|last| comment.first_line > last.last_line + 1) {
                groups.push(std::mem::take(&mut group));
            }
            group.push(comment);
        }
        let touches = |group: &[SourceToken<'t>]| {
            let last = group.last().map(|last| last.last_line + 1);
            last.zip(next_line).is_some_and(|(last, next)| last >= next)
        };
        if touches(&group) {
            self.comments = group;
        } else if !group.is_empty() {
            groups.push(group);
        }
        entries.extend(groups.iter().filter_map(|group| {
            let (first, last) = (group.first()?, group.last()?);
            Some(LayoutEntry {
                comments_above: group.iter().map(|comment| comment.text).collect(),
                item: None,
                comment_beside: None,
                first_line: first.first_line,
                last_line: last.last_line,
            })
        }));
    }

    /// Parses the item that begins with this token.
    fn parse_item(&mut self, first: SourceToken<'t>, in_list: bool) -> LayoutItem<'t> {
        if in_list {
            return LayoutItem {
                keys: Vec::new(),
                is_assigned: false,
                value: self.parse_value(first),
            };
        }
        let mut item = LayoutItem {
            keys: vec![first.text],
            is_assigned: false,
            value: LayoutValue::Plain(""),
        };
        loop {
            self.collect_comments(None);
            let Some(piece) = self.next() else { return item };
            match piece.kind {
                SourceTokenKind::Assign => item.is_assigned = true,
                SourceTokenKind::Word if !item.is_assigned => item.keys.push(piece.text),
                _ => {
                    item.value = self.parse_value(piece);
                    return item;
                }
            }
        }
    }

    /// Parses the value that begins with this token.
    fn parse_value(&mut self, first: SourceToken<'t>) -> LayoutValue<'t> {
        // Pending comments belong to the item, not to the content of its value.
        let waiting = std::mem::take(&mut self.comments);
        let value = match first.kind {
            SourceTokenKind::OpenBrace => LayoutValue::Object(self.parse_entries(false)),
            SourceTokenKind::OpenBracket => {
                let entries = self.parse_entries(true);
                LayoutValue::List { entries, on_one_line: first.first_line == self.line }
            }
            SourceTokenKind::Heredoc => LayoutValue::Heredoc(first.text),
            _ => LayoutValue::Plain(first.text),
        };
        self.comments = waiting;
        value
    }
}
