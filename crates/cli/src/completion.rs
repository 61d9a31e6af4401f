//! Shell completion. The shell runs this program with the line typed so far, so completion and
//! parsing use the same command tree. It doesn't contact a server.
//!
//! The protocol is that of bash's `complete -C`, which other shells can use too: `COMP_LINE` holds
//! the line, `COMP_POINT` the cursor position, and candidates are printed one per line.

use clap::{Arg, ArgAction, Command};

use crate::arguments::{FLAGS_ALLOWED_ANYWHERE, TypedFlag};
use crate::commands::login::methods::LOGIN_METHODS;
use crate::environment::Environment;

/// The shells that completion can be installed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    pub(crate) const ALL: [(&'static str, Self); 3] =
        [("bash", Self::Bash), ("zsh", Self::Zsh), ("fish", Self::Fish)];

    /// The script that enables completion in the shell. Without candidates the shell completes file
    /// names.
    pub(crate) fn script(self) -> &'static str {
        match self {
            Self::Bash => "complete -o default -C strongroom strongroom",
            Self::Zsh => {
                "autoload -U +X bashcompinit && bashcompinit\n\
                 complete -o default -C strongroom strongroom"
            }
            Self::Fish => {
                "function __strongroom_offers\n    \
                 env COMP_LINE=(commandline -cp | string collect) strongroom\n\
                 end\n\
                 complete -c strongroom -f -a '(__strongroom_offers)'\n\
                 complete -c strongroom -n 'test -z \"$(__strongroom_offers)\"' -F"
            }
        }
    }
}

/// The candidates to print if a shell asks for completion. `arguments` are those that bash passes:
/// the program's name, the word being completed as bash sees it, and the word before it. `root`
/// builds the command tree.
pub(crate) fn candidates_for_shell(
    environment: &Environment,
    arguments: &[String],
    root: impl FnOnce() -> Command,
) -> Option<Vec<String>> {
    let line = environment.raw_variable("COMP_LINE")?;
    let point = environment.raw_variable("COMP_POINT").and_then(|point| point.parse().ok());
    let line = point.and_then(|point: usize| line.get(..point)).unwrap_or(&line);
    let (word, offers) = candidates_for_line(line, &root());
    // Bash treats the text after a = as a separate word and expects candidates for that part only.
    let typed = arguments.get(1).map_or(word.as_str(), String::as_str);
    let known = word.strip_suffix(typed).map_or(0, str::len);
    Some(offers.iter().filter_map(|offer| offer.get(known..)).map(ToOwned::to_owned).collect())
}

/// The word being completed, and its candidates.
fn candidates_for_line(line: &str, root: &Command) -> (String, Vec<String>) {
    let mut words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let word = if line.ends_with(char::is_whitespace) { "" } else { words.pop().unwrap_or("") };
    let (command, name, rest) = find_command(&words, root);
    let candidates = if command.has_subcommands() {
        if rest.is_empty() { subcommand_names(command) } else { Vec::new() }
    } else {
        candidates_for_command(command, &name, rest, word)
    };
    let fit = candidates.into_iter().filter(|candidate| candidate.starts_with(word)).collect();
    (word.to_owned(), fit)
}

/// Finds the command that the words name; also returns its name and the remaining words.
fn find_command<'c, 'w>(
    words: &'w [&'w str],
    root: &'c Command,
) -> (&'c Command, String, &'w [&'w str]) {
    let (mut command, mut name, mut rest) = (root, String::new(), words);
    while let Some((first, after)) = rest.split_first()
        && let Some(found) = command.find_subcommand(first)
    {
        name = format!("{name} {first}").trim().to_owned();
        (command, rest) = (found, after);
    }
    (command, name, rest)
}

fn subcommand_names(command: &Command) -> Vec<String> {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| command.get_name().to_owned()).collect()
}

fn candidates_for_command(
    command: &Command,
    name: &str,
    words: &[&str],
    word: &str,
) -> Vec<String> {
    let (mut plain, mut open) = (0, None);
    for typed in words {
        let flag = TypedFlag::parse(typed)
            .filter(|flag| plain == 0 || FLAGS_ALLOWED_ANYWHERE.contains(&flag.name));
        open = match (open.take(), flag) {
            (Some(_), _) => None,
            (None, None) => {
                plain += 1;
                None
            }
            (None, Some(flag)) if flag.value.is_none() => {
                flag.clap_arg(command).filter(|argument| wants_value(argument))
            }
            (None, Some(_)) => None,
        };
    }
    if let Some(argument) = open {
        return flag_values(name, argument);
    }
    let Some(flag) =
        TypedFlag::parse(word).or((word == "-").then_some(TypedFlag { name: "", value: None }))
    else {
        return if plain == 0 { first_arguments(name) } else { Vec::new() };
    };
    let dashes = if word.starts_with("--") { "--" } else { "-" };
    if flag.value.is_some() {
        let Some(argument) = flag.clap_arg(command) else { return Vec::new() };
        let of = |value: String| format!("{dashes}{}={value}", flag.name);
        return flag_values(name, argument).into_iter().map(of).collect();
    }
    let all = command.get_arguments().filter_map(Arg::get_long);
    let now = all.filter(|long| plain == 0 || FLAGS_ALLOWED_ANYWHERE.contains(long));
    let mut flags: Vec<_> = now.map(|long| format!("{dashes}{long}")).collect();
    flags.sort();
    flags
}

/// Whether the next word is this flag's value.
fn wants_value(argument: &Arg) -> bool {
    !matches!(argument.get_action(), ArgAction::SetTrue) && !is_switch(argument)
}

/// Whether the flag can be given without a value, meaning true.
fn is_switch(argument: &Arg) -> bool {
    argument.get_num_args().is_some_and(|count| count.min_values() == 0)
}

/// The values of a flag that has a small fixed set of them.
fn flag_values(command: &str, argument: &Arg) -> Vec<String> {
    if is_switch(argument) {
        return to_strings(&["true", "false"]);
    }
    match argument.get_long().unwrap_or_default() {
        "format" if command == "read" => to_strings(&["table", "json", "yaml", "raw"]),
        "format" => to_strings(&["table", "json", "yaml"]),
        "listing-visibility" => to_strings(&["hidden", "unauth"]),
        "log-format" => to_strings(&["standard", "json"]),
        "log-level" => to_strings(&["trace", "debug", "info", "warn", "error"]),
        "method" if command == "login" => login_method_names(),
        "method" => to_strings(&["patch", "rw"]),
        "mode" => to_strings(&["orphan", "path"]),
        "scope" => to_strings(&["global"]),
        "token-type" => to_strings(&["service", "batch", "default-service", "default-batch"]),
        "type" => to_strings(&["service", "batch"]),
        _ => Vec::new(),
    }
}

/// The types of auth methods that `login` supports.
fn login_method_names() -> Vec<String> {
    LOGIN_METHODS.iter().map(|method| method.name.to_owned()).collect()
}

/// The possible first positional arguments of a command, if they are a fixed set.
fn first_arguments(command: &str) -> Vec<String> {
    match command {
        "auth help" => login_method_names(),
        "completion" => to_strings(&Shell::ALL.map(|(name, _)| name)),
        "plugin deregister" | "plugin info" | "plugin list" | "plugin register" => {
            to_strings(&["auth", "database", "secret"])
        }
        _ => Vec::new(),
    }
}

fn to_strings(of: &[&str]) -> Vec<String> {
    of.iter().map(|text| (*text).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::full_command_tree;

    fn candidates(line: &str) -> Vec<String> {
        candidates_for_line(&format!("strongroom {line}"), &full_command_tree()).1
    }

    #[test]
    fn commands_are_offered_where_they_can_stand() {
        assert_eq!(candidates("se"), ["server", "secrets"]);
        assert_eq!(candidates("kv metadata p"), ["patch", "put"]);
        assert!(candidates("").contains(&"kv".to_owned()));
        assert!(candidates("nosuch ").is_empty());
    }

    #[test]
    fn flags_are_offered_with_the_typed_dashes() {
        assert_eq!(candidates("kv get -ver"), ["-version"]);
        assert_eq!(candidates("kv get --ver"), ["--version"]);
        assert!(candidates("kv get -").contains(&"-mount".to_owned()));
        // After the first positional argument, only the output flags are recognised.
        assert_eq!(candidates("list -detailed kv -"), ["-detailed", "-format"]);
        assert!(candidates("kv get -mount=a key -ver").is_empty());
    }

    #[test]
    fn values_are_offered_for_known_flags() {
        assert_eq!(candidates("read -format "), ["table", "json", "yaml", "raw"]);
        assert_eq!(candidates("status -format=j"), ["-format=json"]);
        assert_eq!(candidates("kv patch -method "), ["patch", "rw"]);
        assert_eq!(candidates("login -method=user"), ["-method=userpass"]);
        assert_eq!(candidates("token create -renewable="), ["-renewable=true", "-renewable=false"]);
        assert_eq!(candidates("completion "), ["bash", "zsh", "fish"]);
        assert_eq!(candidates("read -tls-skip-verify -fo"), ["-format"]);
        assert!(candidates("kv get -mount ").is_empty());
    }

    #[test]
    fn bash_gets_the_part_after_an_equals_sign() {
        let ask = |line: &str, typed: &str| {
            let environment = Environment::from_pairs(&[("COMP_LINE", line), ("COMP_POINT", "99")]);
            let arguments = ["strongroom".to_owned(), typed.to_owned()];
            candidates_for_shell(&environment, &arguments, full_command_tree).unwrap()
        };
        assert_eq!(ask("strongroom status -format=j", "j"), ["json"]);
        assert_eq!(ask("strongroom status -format=j", "-format=j"), ["-format=json"]);
        assert_eq!(ask("strongroom stat", "stat"), ["status"]);
        let cut =
            Environment::from_pairs(&[("COMP_LINE", "strongroom stat us"), ("COMP_POINT", "15")]);
        assert_eq!(candidates_for_shell(&cut, &[], full_command_tree).unwrap(), ["status"]);
        assert!(
            candidates_for_shell(&Environment::from_pairs(&[]), &[], full_command_tree).is_none()
        );
    }

    #[test]
    fn every_flag_with_values_exists() {
        fn collect_long_flags(command: &Command, into: &mut Vec<String>) {
            into.extend(command.get_arguments().filter_map(Arg::get_long).map(str::to_owned));
            command.get_subcommands().for_each(|below| collect_long_flags(below, into));
        }
        let mut all = Vec::new();
        collect_long_flags(&full_command_tree(), &mut all);
        for name in [
            "format",
            "listing-visibility",
            "log-format",
            "log-level",
            "method",
            "mode",
            "scope",
            "token-type",
            "type",
        ] {
            assert!(all.iter().any(|long| long == name), "{name}");
            assert!(!flag_values("", &Arg::new("x").long(name).num_args(1)).is_empty(), "{name}");
        }
    }
}
