//! Pieces to a tree that knows what was written beside what.

use super::{SourceToken, SourceTokenKind};

/// What stands on a line of its own: an item, or comments that belong to none.
pub(super) struct LayoutEntry<'t> {
    /// Comments above it.
    pub(super) comments_above: Vec<&'t str>,
    /// None where there are only comments.
    pub(super) item: Option<LayoutItem<'t>>,
    /// A comment at the end of its line.
    pub(super) comment_beside: Option<&'t str>,
    /// The lines that it was written on, its comments included.
    pub(super) first_line: u32,
    pub(super) last_line: u32,
}

pub(super) struct LayoutItem<'t> {
    /// The key and its labels; empty in a list.
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

/// Goes over the pieces of a text that is known to be whole.
struct LayoutParser<'p, 't> {
    pieces: &'p [SourceToken<'t>],
    /// The line on which the token that was taken last ends.
    line: u32,
    /// Comments that wait for what they stand above.
    comments: Vec<SourceToken<'t>>,
}

impl<'t> LayoutParser<'_, 't> {
    /// Entries up to the closing brace or bracket, which is taken, or the end.
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
            // Comments in the midst of an item would be lost anywhere else.
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

    /// Takes the comments that come next. The first one is the last entry's if it is on its line.
    fn collect_comments(&mut self, mut last: Option<&mut LayoutEntry<'t>>) {
        // A comma may stand between an entry and its comment.
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

    /// Makes entries of the waiting comments that are apart from what begins on this line; of all of
    /// them if nothing follows.
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

    /// The item that begins with this piece.
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

    /// The value that begins with this piece.
    fn parse_value(&mut self, first: SourceToken<'t>) -> LayoutValue<'t> {
        // What waits belongs to the item, not to what is in it.
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
