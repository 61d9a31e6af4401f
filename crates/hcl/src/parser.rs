//! Tokens to tree, for both syntaxes. They differ only in how the items of an object are written.

use crate::Limits;
use crate::error::{ParseError, Position};
use crate::lexer::{Lexer, Syntax, Token};
use crate::tree::{Body, Form, Item, Key, Kind, Value};

pub(crate) fn parse(text: &str, syntax: Syntax, limits: &Limits) -> Result<Body, ParseError> {
    let budget = Budget {
        nodes_left: limits.max_nodes,
        max_nodes: limits.max_nodes,
        max_depth: limits.max_depth.min(Limits::MAX_DEPTH),
    };
    let mut parser = Parser { lexer: Lexer::new(text, syntax), peeked: None, budget };
    match syntax {
        Syntax::Native => {
            let items = parser.items(None, 0)?;
            Ok(Body { position: Position::START, items })
        }
        Syntax::Json => parser.json_root(),
    }
}

/// What may still be built.
struct Budget {
    nodes_left: usize,
    max_nodes: usize,
    max_depth: usize,
}

impl Budget {
    /// Pays for a key, a label or a list entry at `position`.
    fn node(&mut self, position: Position) -> Result<(), ParseError> {
        let left = self.nodes_left.checked_sub(1);
        self.nodes_left = left.ok_or(ParseError::TooMany { position, limit: self.max_nodes })?;
        Ok(())
    }

    /// The level inside what opens at `position` on level `depth`. Asked before going there: the
    /// bound on the parser's own recursion.
    fn below(&self, depth: usize, position: Position) -> Result<usize, ParseError> {
        if depth >= self.max_depth {
            return Err(ParseError::TooDeep { position, limit: self.max_depth });
        }
        Ok(depth + 1)
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    peeked: Option<(Token, Position)>,
    budget: Budget,
}

impl Parser<'_> {
    /// The items of an object whose brace at `open` is behind us, and its closing brace; without
    /// a brace, those of a whole HCL text. `depth` is the level the items stand on.
    fn items(&mut self, open: Option<Position>, depth: usize) -> Result<Vec<Item>, ParseError> {
        let mut items = Vec::new();
        loop {
            let (token, position) = self.next()?;
            let text = match (token, open) {
                (Token::Ident(text) | Token::Text(text), _) => text,
                (Token::CloseBrace, Some(_)) | (Token::End, None) => return Ok(items),
                (Token::End, Some(open)) => return Err(ParseError::syntax(open, UNCLOSED_BRACE)),
                (token, _) => return Err(ParseError::syntax(position, not_a_key(&token))),
            };
            items.push(self.item(Key { text, position }, depth)?);
            self.eat_comma()?;
        }
    }

    /// The rest of an HCL item.
    fn item(&mut self, key: Key, depth: usize) -> Result<Item, ParseError> {
        self.budget.node(key.position)?;
        let mut labels = Vec::new();
        let mut inner = depth;
        loop {
            let (token, position) = self.next()?;
            match token {
                Token::Ident(text) | Token::Text(text) => {
                    self.budget.node(position)?;
                    inner = self.budget.below(inner, position)?;
                    labels.push(Key { text, position });
                }
                Token::Assign if labels.is_empty() => {
                    let value = self.value(depth)?;
                    return Ok(Item { key, form: Form::Assigned, value });
                }
                Token::OpenBrace => {
                    let value = self.object(position, inner)?;
                    return Ok(labelled(key, labels, value));
                }
                Token::Assign => {
                    let problem = "only a single key may stand before =: a label needs a block";
                    return Err(ParseError::syntax(position, problem));
                }
                _ => return Err(ParseError::syntax(position, "expected = or { after the key")),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, ParseError> {
        let (token, position) = self.next()?;
        let kind = match token {
            Token::Text(text) | Token::Heredoc(text) => Kind::String(text),
            Token::Number(number) => Kind::Number(number),
            Token::Bool(value) => Kind::Bool(value),
            Token::Null => Kind::Null,
            Token::OpenBrace => return self.object(position, depth),
            Token::OpenBracket => return self.list(position, depth),
            Token::Ident(_) => {
                return Err(ParseError::syntax(position, "text must stand in quotes"));
            }
            _ => return Err(ParseError::syntax(position, "expected a value")),
        };
        Ok(Value { position, kind })
    }

    /// An object whose brace at `open`, on level `depth`, is behind us.
    fn object(&mut self, open: Position, depth: usize) -> Result<Value, ParseError> {
        let depth = self.budget.below(depth, open)?;
        let items = match self.lexer.syntax() {
            Syntax::Native => self.items(Some(open), depth)?,
            Syntax::Json => self.members(open, depth)?,
        };
        Ok(Value { position: open, kind: Kind::Object(Body { position: open, items }) })
    }

    /// A list whose bracket at `open`, on level `depth`, is behind us.
    fn list(&mut self, open: Position, depth: usize) -> Result<Value, ParseError> {
        let depth = self.budget.below(depth, open)?;
        let mut entries = Vec::new();
        loop {
            // HCL 1 takes any number of commas between entries.
            while self.lexer.syntax() == Syntax::Native && self.eat_comma()? {}
            match self.peek()? {
                (Token::CloseBracket, _) => break,
                (Token::End, _) => return Err(ParseError::syntax(open, UNCLOSED_BRACKET)),
                (_, position) => {
                    let position = *position;
                    self.budget.node(position)?;
                }
            }
            entries.push(self.value(depth)?);
            if !self.eat_comma()? {
                match self.peek()? {
                    (Token::CloseBracket, _) => break,
                    (Token::End, _) => return Err(ParseError::syntax(open, UNCLOSED_BRACKET)),
                    (_, position) => {
                        let problem = "expected a comma or ] after the list entry";
                        return Err(ParseError::syntax(*position, problem));
                    }
                }
            }
        }
        self.next()?;
        Ok(Value { position: open, kind: Kind::List(entries) })
    }

    fn json_root(&mut self) -> Result<Body, ParseError> {
        let (_, open) = self.next()?;
        let items = self.members(open, 0)?;
        match self.next()? {
            (Token::End, _) => Ok(Body { position: open, items }),
            (_, position) => {
                Err(ParseError::syntax(position, "nothing may follow the closing brace"))
            }
        }
    }

    /// The members of a JSON object whose brace at `open` is behind us, and its closing brace.
    fn members(&mut self, open: Position, depth: usize) -> Result<Vec<Item>, ParseError> {
        let mut items = Vec::new();
        loop {
            let (token, position) = self.next()?;
            let text = match token {
                Token::Text(text) => text,
                Token::CloseBrace => return Ok(items),
                Token::End => return Err(ParseError::syntax(open, UNCLOSED_BRACE)),
                _ => return Err(ParseError::syntax(position, "expected a key in quotes")),
            };
            self.budget.node(position)?;
            match self.next()? {
                (Token::Assign, _) => {}
                (_, at) => return Err(ParseError::syntax(at, "expected a colon after the key")),
            }
            let value = self.value(depth)?;
            items.push(Item { key: Key { text, position }, form: Form::Assigned, value });
            if !self.eat_comma()? {
                match self.next()? {
                    (Token::CloseBrace, _) => return Ok(items),
                    (Token::End, _) => return Err(ParseError::syntax(open, UNCLOSED_BRACE)),
                    (_, at) => {
                        return Err(ParseError::syntax(
                            at,
                            "expected a comma or } after the value",
                        ));
                    }
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Token, Position), ParseError> {
        match self.peeked.take() {
            Some(peeked) => Ok(peeked),
            None => self.lexer.next(),
        }
    }

    fn peek(&mut self) -> Result<&(Token, Position), ParseError> {
        let next = self.next()?;
        Ok(self.peeked.insert(next))
    }

    fn eat_comma(&mut self) -> Result<bool, ParseError> {
        let found = matches!(self.peek()?, (Token::Comma, _));
        if found {
            self.next()?;
        }
        Ok(found)
    }
}

/// A block with its labels as levels, the tree that JSON's `{"a": {"b": {…}}}` has.
fn labelled(key: Key, labels: Vec<Key>, block: Value) -> Item {
    let mut value = block;
    for key in labels.into_iter().rev() {
        let position = key.position;
        let items = vec![Item { key, form: Form::Label, value }];
        value = Value { position, kind: Kind::Object(Body { position, items }) };
    }
    Item { key, form: Form::Block, value }
}

fn not_a_key(token: &Token) -> &'static str {
    match token {
        Token::CloseBrace => "this brace closes nothing",
        Token::Bool(_) | Token::Number(_) => "expected a key: put it in quotes if it is one",
        _ => "expected a key",
    }
}

const UNCLOSED_BRACE: &str = "brace is not closed: add }";
const UNCLOSED_BRACKET: &str = "bracket is not closed: add ]";
