//! Pieces to a tree that knows what was written beside what.

use super::{Piece, PieceKind};

/// What stands on a line of its own: an item, or comments that belong to none.
pub(super) struct Entry<'t> {
    /// Comments above it.
    pub(super) above: Vec<&'t str>,
    /// None where there are only comments.
    pub(super) item: Option<Item<'t>>,
    /// A comment at the end of its line.
    pub(super) beside: Option<&'t str>,
    /// The lines that it was written on, its comments included.
    pub(super) first_line: u32,
    pub(super) last_line: u32,
}

pub(super) struct Item<'t> {
    /// The key and its labels; empty in a list.
    pub(super) keys: Vec<&'t str>,
    pub(super) is_assigned: bool,
    pub(super) value: Value<'t>,
}

pub(super) enum Value<'t> {
    Plain(&'t str),
    Heredoc(&'t str),
    Object(Vec<Entry<'t>>),
    List {
        entries: Vec<Entry<'t>>,
        /// Whether it was written on one line.
        on_one_line: bool,
    },
}

pub(super) fn document<'t>(pieces: &[Piece<'t>]) -> Vec<Entry<'t>> {
    Reader { pieces, line: 1, comments: Vec::new() }.entries(false)
}

/// Goes over the pieces of a text that is known to be whole.
struct Reader<'p, 't> {
    pieces: &'p [Piece<'t>],
    /// The line on which the token that was taken last ends.
    line: u32,
    /// Comments that wait for what they stand above.
    comments: Vec<Piece<'t>>,
}

impl<'t> Reader<'_, 't> {
    /// Entries up to the closing brace or bracket, which is taken, or the end.
    fn entries(&mut self, in_list: bool) -> Vec<Entry<'t>> {
        let mut entries: Vec<Entry<'t>> = Vec::new();
        loop {
            self.take_comments(entries.last_mut());
            let Some(piece) = self.next() else { break };
            match piece.kind {
                PieceKind::CloseBrace | PieceKind::CloseBracket => break,
                PieceKind::Comma => continue,
                _ => {}
            }
            self.flush(&mut entries, Some(piece.first_line));
            let mut above = std::mem::take(&mut self.comments);
            let item = self.item(piece, in_list);
            // Comments in the midst of an item would be lost anywhere else.
            above.append(&mut self.comments);
            let first_line = above.first().map_or(piece.first_line, |first| first.first_line);
            entries.push(Entry {
                above: above.iter().map(|comment| comment.text).collect(),
                item: Some(item),
                beside: None,
                first_line: first_line.min(piece.first_line),
                last_line: self.line,
            });
        }
        self.flush(&mut entries, None);
        entries
    }

    fn next(&mut self) -> Option<Piece<'t>> {
        let (first, rest) = self.pieces.split_first()?;
        self.pieces = rest;
        if first.kind != PieceKind::Comment {
            self.line = first.last_line;
        }
        Some(*first)
    }

    /// Takes the comments that come next. The first one is the last entry's if it is on its line.
    fn take_comments(&mut self, mut last: Option<&mut Entry<'t>>) {
        // A comma may stand between an entry and its comment.
        let comma = self.pieces.first().filter(|piece| piece.kind == PieceKind::Comma);
        let after_comma = self.pieces.get(1).map(|piece| piece.kind) == Some(PieceKind::Comment);
        if comma.is_some() && after_comma {
            self.next();
        }
        while let Some(piece) = self.pieces.first().copied()
            && piece.kind == PieceKind::Comment
        {
            self.next();
            match last.take() {
                Some(entry)
                    if entry.beside.is_none()
                        && entry.item.is_some()
                        && piece.first_line == entry.last_line
                        && piece.first_line == piece.last_line =>
                {
                    entry.beside = Some(piece.text);
                }
                _ => self.comments.push(piece),
            }
        }
    }

    /// Makes entries of the waiting comments that are apart from what begins on this line; of all of
    /// them if nothing follows.
    fn flush(&mut self, entries: &mut Vec<Entry<'t>>, next_line: Option<u32>) {
        let mut group: Vec<Piece<'t>> = Vec::new();
        let waiting = std::mem::take(&mut self.comments);
        let mut groups: Vec<Vec<Piece<'t>>> = Vec::new();
        for comment in waiting {
            if group.last().is_some_and(|last| comment.first_line > last.last_line + 1) {
                groups.push(std::mem::take(&mut group));
            }
            group.push(comment);
        }
        let touches = |group: &[Piece<'t>]| {
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
            Some(Entry {
                above: group.iter().map(|comment| comment.text).collect(),
                item: None,
                beside: None,
                first_line: first.first_line,
                last_line: last.last_line,
            })
        }));
    }

    /// The item that begins with this piece.
    fn item(&mut self, first: Piece<'t>, in_list: bool) -> Item<'t> {
        if in_list {
            return Item { keys: Vec::new(), is_assigned: false, value: self.value(first) };
        }
        let mut item = Item { keys: vec![first.text], is_assigned: false, value: Value::Plain("") };
        loop {
            self.take_comments(None);
            let Some(piece) = self.next() else { return item };
            match piece.kind {
                PieceKind::Assign => item.is_assigned = true,
                PieceKind::Word if !item.is_assigned => item.keys.push(piece.text),
                _ => {
                    item.value = self.value(piece);
                    return item;
                }
            }
        }
    }

    /// The value that begins with this piece.
    fn value(&mut self, first: Piece<'t>) -> Value<'t> {
        // What waits belongs to the item, not to what is in it.
        let waiting = std::mem::take(&mut self.comments);
        let value = match first.kind {
            PieceKind::OpenBrace => Value::Object(self.entries(false)),
            PieceKind::OpenBracket => {
                let entries = self.entries(true);
                Value::List { entries, on_one_line: first.first_line == self.line }
            }
            PieceKind::Heredoc => Value::Heredoc(first.text),
            _ => Value::Plain(first.text),
        };
        self.comments = waiting;
        value
    }
}
