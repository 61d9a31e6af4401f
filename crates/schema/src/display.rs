//! [`PathDisplay`] and [`FieldDisplay`]: how user interfaces and code generators present a path or a
//! field, as OpenAPI's extension `x-vault-displayAttrs` and in `operationId`.

use serde_json::{Map, Value};

/// How a path is presented. All of it is optional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathDisplay {
    navigation: bool,
    item_type: &'static str,
    action: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) verb: &'static str,
    pub(crate) suffix: &'static str,
}

impl PathDisplay {
    /// A path without a presentation of its own.
    pub const fn new() -> Self {
        let none = "";
        Self {
            navigation: false,
            item_type: none,
            action: none,
            prefix: none,
            verb: none,
            suffix: none,
        }
    }

    /// Offers the path as a tab of the navigation. For a collection of documents that is the path of
    /// its list.
    #[must_use]
    pub const fn navigation(self) -> Self {
        Self { navigation: true, ..self }
    }

    /// What the path's objects are called, in the singular: `Role`.
    #[must_use]
    pub const fn item_type(self, item_type: &'static str) -> Self {
        Self { item_type, ..self }
    }

    /// The verb of the button for a write: `Create`, `Configure`.
    #[must_use]
    pub const fn action(self, action: &'static str) -> Self {
        Self { action, ..self }
    }

    /// The first part of the operation ids, in lower case with hyphens, instead of the engine's name.
    #[must_use]
    pub const fn operation_prefix(self, prefix: &'static str) -> Self {
        Self { prefix, ..self }
    }

    /// The middle part of the operation id of the path's write, or of its read if it can't be written:
    /// `generate`, instead of `write` or `read`. The id then has no prefix and no suffix but those that
    /// are set.
    #[must_use]
    pub const fn operation_verb(self, verb: &'static str) -> Self {
        Self { verb, ..self }
    }

    /// The last part of the operation ids: `role`, instead of the words of the path.
    #[must_use]
    pub const fn operation_suffix(self, suffix: &'static str) -> Self {
        Self { suffix, ..self }
    }

    /// The presentation of the list of this collection, and that of its items.
    #[must_use]
    pub fn of_list_and_items(self) -> (Self, Self) {
        let of_list = Self { action: "", verb: "", ..self };
        (of_list, Self { navigation: false, ..self })
    }

    /// The object `x-vault-displayAttrs` of the path; `None` if nothing is set.
    pub(crate) fn to_extension(self) -> Option<Value> {
        let mut extension = Map::new();
        insert_flag(&mut extension, "navigation", self.navigation);
        insert_text(&mut extension, "itemType", self.item_type);
        insert_text(&mut extension, "action", self.action);
        (!extension.is_empty()).then_some(Value::Object(extension))
    }

    /// The id of an operation, derived as Go's framework does: prefix, verb and suffix with hyphens.
    /// `verb` is the usual one of the method; `is_main` says whether it is the operation that
    /// [`operation_verb`](Self::operation_verb) names.
    pub(crate) fn operation_id(
        self,
        default_prefix: &str,
        verb: &str,
        is_main: bool,
        path: &str,
    ) -> String {
        let own_verb = if is_main { self.verb } else { "" };
        let prefix = if self.prefix.is_empty() && own_verb.is_empty() {
            default_prefix
        } else {
            self.prefix
        };
        let verb = if own_verb.is_empty() { verb } else { own_verb };
        let suffix: Vec<&str> = if self.suffix.is_empty() && own_verb.is_empty() {
            path.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect()
        } else {
            vec![self.suffix]
        };
        let parts = [prefix, verb].into_iter().chain(suffix).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
    }
}

/// How a field is presented. All of it is optional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldDisplay {
    /// The label of the field; empty for its name.
    pub name: &'static str,
    /// The help beside the label; empty for the field's help.
    pub description: &'static str,
    /// A sample value, as text; empty for none. It is no default.
    pub value: &'static str,
    /// Whether the value is masked. Secrets always are.
    pub sensitive: bool,
    /// The group of fields under which it is shown; empty for none.
    pub group: &'static str,
    /// The kind of input, `textarea` or `file`; empty for the usual one.
    pub edit_type: &'static str,
}

impl FieldDisplay {
    /// A field without a presentation of its own.
    pub const NONE: Self =
        Self { name: "", description: "", value: "", sensitive: false, group: "", edit_type: "" };

    /// The object `x-vault-displayAttrs` of the field; `None` if nothing is set and it is no secret.
    pub(crate) fn to_extension(self, is_secret: bool) -> Option<Value> {
        let mut extension = Map::new();
        insert_text(&mut extension, "name", self.name);
        insert_text(&mut extension, "description", self.description);
        insert_text(&mut extension, "value", self.value);
        insert_flag(&mut extension, "sensitive", self.sensitive || is_secret);
        insert_text(&mut extension, "group", self.group);
        insert_text(&mut extension, "editType", self.edit_type);
        (!extension.is_empty()).then_some(Value::Object(extension))
    }
}

fn insert_text(extension: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        extension.insert(key.to_owned(), text.into());
    }
}

fn insert_flag(extension: &mut Map<String, Value>, key: &str, flag: bool) {
    if flag {
        extension.insert(key.to_owned(), true.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operation_ids_are_those_of_gos_framework() {
        let new = PathDisplay::new;
        let id = |display: PathDisplay, verb, is_main| {
            display.operation_id("tokens", verb, is_main, "/roles/{role_name}")
        };
        assert_eq!(id(new(), "read", false), "tokens-read-roles-role_name");
        let hinted = new().operation_prefix("api-token").operation_suffix("role");
        assert_eq!(id(hinted, "delete", false), "api-token-delete-role");
        assert_eq!(id(new().operation_suffix("Role"), "write", true), "tokens-write-role");
        let verb = new().operation_verb("generate");
        assert_eq!(id(verb, "write", true), "generate");
        assert_eq!(id(verb, "read", false), "tokens-read-roles-role_name");
        let both = verb.operation_prefix("api-token").operation_suffix("credentials");
        assert_eq!(id(both, "write", true), "api-token-generate-credentials");
    }

    #[test]
    fn extensions_have_what_is_set_and_no_operation_hints() {
        let path = PathDisplay::new().operation_prefix("a").operation_verb("b");
        assert_eq!(path.operation_suffix("c").to_extension(), None);
        let (list, item) =
            PathDisplay::new().navigation().item_type("Role").action("Create").of_list_and_items();
        let of_list = json!({ "navigation": true, "itemType": "Role" });
        assert_eq!(list.to_extension(), Some(of_list));
        assert_eq!(item.to_extension(), Some(json!({ "itemType": "Role", "action": "Create" })));
        assert_eq!(FieldDisplay::NONE.to_extension(false), None);
        assert_eq!(FieldDisplay::NONE.to_extension(true), Some(json!({ "sensitive": true })));
        let field = FieldDisplay { name: "CA", edit_type: "file", ..FieldDisplay::NONE };
        assert_eq!(field.to_extension(false), Some(json!({ "name": "CA", "editType": "file" })));
    }
}
