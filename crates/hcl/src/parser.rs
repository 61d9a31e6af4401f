//! Builds the tree from tokens, for both syntaxes. They differ only in how object items are
//! written.

use crate::ParseLimits;
use crate::error::{ParseError, Position};
use crate::lexer::{Lexer, LexerToken};
use crate::syntax::Syntax;
use crate::tree::{HclBody, HclItem, HclKey, HclValue, ItemForm, ValueKind};

pub(crate) fn parse(
    text: &str,
    syntax: Syntax,
    limits: &ParseLimits,
) -> Result<HclBody, ParseError> {
    let budget = ParseBudget {
        nodes_left: limits.max_nodes,
        max_nodes: limits.max_nodes,
        max_depth: limits.max_depth.min(ParseLimits::MAX_DEPTH),
    };
    let mut parser = Parser { lexer: Lexer::new(text, syntax), peeked: None, budget };
    match syntax {
        Syntax::Native => {
            let items = parser.parse_items(None, 0)?;
            Ok(HclBody { position: Position::START, items })
        }
        Syntax::Json => parser.parse_json_root(),
    }
}

/// How many more nodes and levels may be built.
struct ParseBudget {
    nodes_left: usize,
    max_nodes: usize,
    max_depth: usize,
}

impl ParseBudget {
    /// Counts a key, a label or a list entry at `position` against the limit.
    fn count_node(&mut self, position: Position) -> Result<(), ParseError> {
        let left = self.nodes_left.checked_sub(1);
        self.nodes_left = left.ok_or(ParseError::TooMany { position, limit: self.max_nodes })?;
        Ok(())
    }

    /// The level below `depth`, or an error if that is too deep. Called before descending, so it
    /// bounds the parser's own recursion.
    fn next_depth(&self, depth: usize, position: Position) -> Result<usize, ParseError> {
        if depth >= self.max_depth {
            return Err(ParseError::TooDeep { position, limit: self.max_depth });
        }
        Ok(depth + 1)
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    peeked: Option<(LexerToken, Position)>,
    budget: ParseBudget,
}

impl Parser<'_> {
    /// Parses the items of an object, up to and including its closing brace; the opening one, at
    /// `open`, is already consumed. Without a brace, parses the items of a whole HCL text. `depth`
    /// is the level of the items.
    fn parse_items(
        &mut self,
        open: Option<Position>,
        depth: usize,
    ) -> Result<Vec<HclItem>, ParseError> {
        let mut items = Vec::new();
        loop {
            let (token, position) = self.next()?;
            let text = match (token, open) {
                (LexerToken::Ident(text) | LexerToken::Text(text), _) => text,
                (LexerToken::CloseBrace, Some(_)) | (LexerToken::End, None) => return Ok(items),
                (LexerToken::End, Some(open)) => {
                    return Err(ParseError::syntax_error(open, UNCLOSED_BRACE));
                }
                (token, _) => return Err(ParseError::syntax_error(position, key_problem(&token))),
            };
            items.push(self.parse_item(HclKey { text, position }, depth)?);
            self.eat_comma()?;
        }
    }

    /// Parses the rest of an HCL item, after its key.
    fn parse_item(&mut self, key: HclKey, depth: usize) -> Result<HclItem, ParseError> {
        self.budget.count_node(key.position)?;
        let mut labels = Vec::new();
        let mut inner = depth;
        loop {
            let (token, position) = self.next()?;
            match token {
                LexerToken::Ident(text) | LexerToken::Text(text) => {
                    self.budget.count_node(position)?;
                    inner = self.budget.next_depth(inner, position)?;
                    labels.push(HclKey { text, position });
                }
                LexerToken::Assign if labels.is_empty() => {
                    let value = self.parse_value(depth)?;
                    return Ok(HclItem { key, form: ItemForm::Assigned, value });
                }
                LexerToken::OpenBrace => {
                    let value = self.parse_object(position, inner)?;
                    return Ok(nest_in_labels(key, labels, value));
                }
                LexerToken::Assign => {
                    let problem = "only a single key may stand before =: a label needs a block";
                    return Err(ParseError::syntax_error(position, problem));
                }
                _ => {
                    return Err(ParseError::syntax_error(
                        position,
                        "expected = or { after the key",
                    ));
                }
            }
        }
    }

    fn parse_value(&mut self, depth: usize) -> Result<HclValue, ParseError> {
        let (token, position) = self.next()?;
        let kind = match token {
            LexerToken::Text(text) | LexerToken::Heredoc(text) => ValueKind::String(text),
            LexerToken::Number(number) => ValueKind::Number(number),
            LexerToken::Bool(value) => ValueKind::Bool(value),
            LexerToken::Null => ValueKind::Null,
            LexerToken::OpenBrace => return self.parse_object(position, depth),
            LexerToken::OpenBracket => return self.parse_list(position, depth),
            LexerToken::Ident(_) => {
                return Err(ParseError::syntax_error(position, "text must stand in quotes"));
            }
            _ => return Err(ParseError::syntax_error(position, "expected a value")),
        };
        Ok(HclValue { position, kind })
    }

    /// Parses an object on level `depth` whose opening brace, at `open`, is already consumed.
    fn parse_object(&mut self, open: Position, depth: usize) -> Result<HclValue, ParseError> {
        let depth = self.budget.next_depth(depth, open)?;
        let items = match self.lexer.syntax() {
            Syntax::Native => self.parse_items(Some(open), depth)?,
            Syntax::Json => self.parse_members(open, depth)?,
        };
        Ok(HclValue { position: open, kind: ValueKind::Object(HclBody { position: open, items }) })
    }

    /// Parses a list on level `depth` whose opening bracket, at `open`, is already consumed.
    fn parse_list(&mut self, open: Position, depth: usize) -> Result<HclValue, ParseError> {
        let depth = self.budget.next_depth(depth, open)?;
        let mut entries = Vec::new();
        loop {
            // HCL 1 accepts any number of commas between entries.
            while self.lexer.syntax() == Syntax::Native && self.eat_comma()? {}
            match self.peek()? {
                (LexerToken::CloseBracket, _) => break,
                (LexerToken::End, _) => {
                    return Err(ParseError::syntax_error(open, UNCLOSED_BRACKET));
                }
                (_, position) => {
                    let position = *position;
                    self.budget.count_node(position)?;
                }
            }
            entries.push(self.parse_value(depth)?);
            if !self.eat_comma()? {
                match self.peek()? {
                    (LexerToken::CloseBracket, _) => break,
                    (LexerToken::End, _) => {
                        return Err(ParseError::syntax_error(open, UNCLOSED_BRACKET));
                    }
                    (_, position) => {
                        let problem = "expected a comma or ] after the list entry";
                        return Err(ParseError::syntax_error(*position, problem));
                    }
                }
            }
        }
        self.next()?;
        Ok(HclValue { position: open, kind: ValueKind::List(entries) })
    }

    fn parse_json_root(&mut self) -> Result<HclBody, ParseError> {
        let (_, open) = self.next()?;
        let items = self.parse_members(open, 0)?;
        match self.next()? {
            (LexerToken::End, _) => Ok(HclBody { position: open, items }),
            (_, position) => {
                Err(ParseError::syntax_error(position, "nothing may follow the closing brace"))
            }
        }
    }

    /// Parses the members of a JSON object, up to and including its closing brace; the opening one,
    /// at `open`, is already consumed.
    fn parse_members(&mut self, open: Position, depth: usize) -> Result<Vec<HclItem>, ParseError> {
        let mut items = Vec::new();
        loop {
            let (token, position) = self.next()?;
            let text = match token {
                LexerToken::Text(text) => text,
                LexerToken::CloseBrace => return Ok(items),
                LexerToken::End => return Err(ParseError::syntax_error(open, UNCLOSED_BRACE)),
                _ => return Err(ParseError::syntax_error(position, "expected a key in quotes")),
            };
            self.budget.count_node(position)?;
            match self.next()? {
                (LexerToken::Assign, _) => {}
                (_, at) => {
                    return Err(ParseError::syntax_error(at, "expected a colon after the key"));
                }
            }
            let value = self.parse_value(depth)?;
            items.push(HclItem { key: HclKey { text, position }, form: ItemForm::Assigned, value });
            if !self.eat_comma()? {
                match self.next()? {
                    (LexerToken::CloseBrace, _) => return Ok(items),
                    (LexerToken::End, _) => {
                        return Err(ParseError::syntax_error(open, UNCLOSED_BRACE));
                    }
                    (_, at) => {
                        return Err(ParseError::syntax_error(
                            at,
                            "expected a comma or } after the value",
                        ));
                    }
                }
            }
        }
    }

    fn next(&mut self) -> Result<(LexerToken, Position), ParseError> {
        match self.peeked.take() {
            Some(peeked) => Ok(peeked),
            None => self.lexer.next(),
        }
    }

    fn peek(&mut self) -> Result<&(LexerToken, Position), ParseError> {
        let next = self.next()?;
        Ok(self.peeked.insert(next))
    }

    fn eat_comma(&mut self) -> Result<bool, ParseError> {
        let found = matches!(self.peek()?, (LexerToken::Comma, _));
        if found {
            self.next()?;
        }
        Ok(found)
    }
}

/// Nests a block in one object per label: the same tree as JSON's `{"a": {"b": {…}}}`.
fn nest_in_labels(key: HclKey, labels: Vec<HclKey>, block: HclValue) -> HclItem {
    let mut value = block;
    for key in labels.into_iter().rev() {
        let position = key.position;
        let items = vec![HclItem { key, form: ItemForm::Label, value }];
        value = HclValue { position, kind: ValueKind::Object(HclBody { position, items }) };
    }
    HclItem { key, form: ItemForm::Block, value }
}

fn key_problem(token: &LexerToken) -> &'static str {
    match token {
        LexerToken::CloseBrace => "this brace closes nothing",
        LexerToken::Bool(_) | LexerToken::Number(_) => {
            "expected a key: put it in quotes if it is one"
        }
        _ => "expected a key",
    }
}

const UNCLOSED_BRACE: &str = "brace is not closed: add }";
const UNCLOSED_BRACKET: &str = "bracket is not closed: add ]";
