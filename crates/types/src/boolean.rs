//! Booleans as Vault's clients write them.

/// Parses a boolean, accepting exactly the spellings of Go's `strconv.ParseBool` (`1`, `t`, `TRUE`,
/// `false`, ...). Returns `None` for any other text, including `yes` and the empty string.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_of_go_are_booleans() {
        assert!(
            ["1", "t", "T", "true", "TRUE", "True"].iter().all(|it| parse_bool(it) == Some(true))
        );
        let no = ["0", "f", "F", "false", "FALSE", "False"];
        assert!(no.iter().all(|it| parse_bool(it) == Some(false)));
        assert!(["", "yes", "tRUE", " true", "2"].iter().all(|it| parse_bool(it).is_none()));
    }
}
