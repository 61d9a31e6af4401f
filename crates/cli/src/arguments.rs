//! Normalises arguments, as users of Vault type them, for the parser.
//!
//! `-format=json`, `--format=json` and `-format json` are equivalent. Flags come before the first
//! positional argument; everything after it is taken as it is, even if it begins with a dash,
//! except for the output flags. `-flag=false` switches a boolean flag off.

use clap::{Arg, ArgAction, Command};
use strongroom_types::parse_bool;

use crate::not_built;

/// Normalised arguments for the parser. They may be secrets, so only tests can print them.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub(crate) struct NormalizedArguments {
    pub(crate) arguments: Vec<String>,
    /// Arguments that look like flags but come after the first positional argument.
    pub(crate) misplaced_flags: Vec<String>,
}

/// Why there is no command to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ArgumentError {
    /// Help was requested for the command with this name.
    HelpRequested(Vec<String>),
    /// The command is missing or unknown. Holds the part of its name that is known.
    NoCommand(Vec<String>),
    /// Flags were given before the command. Holds the part of its name that is known: none.
    FlagsBeforeCommand(Vec<String>),
    /// Any other problem, described by the text.
    Invalid(String),
}

/// Flags that are also recognised after the first positional argument.
pub(crate) const FLAGS_ALLOWED_ANYWHERE: [&str; 2] = ["format", "detailed"];

/// Normalises the arguments after the program's name. `root` is the built command tree.
pub(crate) fn normalize_arguments(
    given: &[String],
    root: &Command,
) -> Result<NormalizedArguments, ArgumentError> {
    if let [only] = given
        && let Some(arguments) = command_for_flag(only)
    {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        return Ok(NormalizedArguments { arguments, misplaced_flags: Vec::new() });
    }
    let (path, command, mut rest) = find_command(given, root)?;
    let before_end = rest.iter().take_while(|argument| *argument != "--");
    if before_end.clone().any(|argument| is_help(argument)) {
        return Err(ArgumentError::HelpRequested(path));
    }
    if command.has_subcommands() {
        return Err(ArgumentError::NoCommand(path));
    }
    let (mut flags, mut ended) = (Vec::new(), false);
    while let Some((first, after)) = rest.split_first() {
        let Some(flag) = TypedFlag::parse(first) else { break };
        rest = after;
        ended = flag.name.is_empty();
        if ended {
            break;
        }
        flags.extend(flag.normalize(&path, command, &mut rest)?);
    }
    let (mut plain, mut late) = (Vec::new(), Vec::new());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match TypedFlag::parse(first).filter(|_| !ended) {
            Some(flag)
                if FLAGS_ALLOWED_ANYWHERE.contains(&flag.name)
                    && flag.clap_arg(command).is_some() =>
            {
                flags.extend(flag.normalize(&path, command, &mut rest)?);
                continue;
            }
            Some(_) => late.push(first.clone()),
            None => {}
        }
        plain.push(first.clone());
    }
    let mut arguments = path;
    arguments.extend(flags);
    if !plain.is_empty() {
        arguments.push("--".to_owned());
        arguments.extend(plain);
    }
    Ok(NormalizedArguments { arguments, misplaced_flags: late })
}

/// The command that a flag such as `-version` stands for, if it is used alone.
fn command_for_flag(flag: &str) -> Option<&'static [&'static str]> {
    match flag.strip_prefix("--").or_else(|| flag.strip_prefix('-'))? {
        "v" | "version" => Some(&["version"]),
        "autocomplete-install" => Some(&["completion", "--install"]),
        "autocomplete-uninstall" => Some(&["completion", "--uninstall"]),
        _ => None,
    }
}

/// The full name of the command that the first arguments name, as far as it is known.
pub(crate) fn command_name(given: &[String], root: &Command) -> String {
    let (mut path, mut command) = (Vec::new(), root);
    for name in given {
        let Some(found) = command.find_subcommand(name) else { break };
        path.push(name.as_str());
        command = found;
    }
    path.join(" ")
}

/// Finds the command that the first arguments name; also returns the remaining arguments.
fn find_command<'g, 'c>(
    given: &'g [String],
    root: &'c Command,
) -> Result<(Vec<String>, &'c Command, &'g [String]), ArgumentError> {
    let (mut path, mut command, mut rest) = (Vec::new(), root, given);
    while command.has_subcommands() {
        let Some((name, after)) = rest.split_first() else { break };
        let Some(found) = command.find_subcommand(name) else {
            if is_help(name) {
                break;
            }
            if let Some(name) = not_built::not_built_command(&path, name) {
                let text = format!("\"{name}\" is not supported by this server");
                return Err(ArgumentError::Invalid(text));
            }
            let later = rest.iter().any(|name| command.find_subcommand(name).is_some());
            if path.is_empty() && name.starts_with('-') && later {
                return Err(ArgumentError::FlagsBeforeCommand(path));
            }
            return Err(ArgumentError::NoCommand(path));
        };
        path.push(name.clone());
        (command, rest) = (found, after);
    }
    Ok((path, command, rest))
}

fn is_help(argument: &str) -> bool {
    matches!(argument, "-h" | "-help" | "--help")
}

/// A flag as the user typed it.
pub(crate) struct TypedFlag<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: Option<&'a str>,
}

impl<'a> TypedFlag<'a> {
    /// Parses a flag. A lone `-` means standard input and is no flag. A lone `--` ends the flags
    /// and is returned as a flag without a name.
    pub(crate) fn parse(argument: &'a str) -> Option<Self> {
        let body = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'))?;
        if argument == "-" {
            return None;
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        Some(Self { name, value })
    }

    pub(crate) fn clap_arg<'c>(&self, command: &'c Command) -> Option<&'c Arg> {
        command.get_arguments().find(|argument| {
            let short = argument.get_short().map(String::from);
            argument.get_long() == Some(self.name)
                || short.as_deref() == Some(self.name)
                || argument.get_all_aliases().is_some_and(|all| all.contains(&self.name))
        })
    }

    /// Rewrites a flag for the parser; `None` for a switch set to false. Its value may be the next
    /// argument.
    fn normalize(
        &self,
        path: &[String],
        command: &Command,
        rest: &mut &[String],
    ) -> Result<Option<String>, ArgumentError> {
        let name = self.name;
        let Some(argument) = self.clap_arg(command) else {
            return Err(ArgumentError::Invalid(not_built::unknown_flag_message(
                &path.join(" "),
                name,
            )));
        };
        let long = argument.get_long().unwrap_or(name);
        if matches!(argument.get_action(), ArgAction::SetTrue) {
            let on = self.value.map_or(Ok(true), |value| parse_switch(name, value))?;
            return Ok(on.then(|| format!("--{long}")));
        }
        let optional = argument.get_num_args().is_some_and(|count| count.min_values() == 0);
        let value = match self.value {
            Some(value) if optional => parse_switch(name, value)?.to_string(),
            Some(value) => value.to_owned(),
            None if optional => "true".to_owned(),
            None => match rest.split_first() {
                Some((next, after)) => {
                    *rest = after;
                    next.clone()
                }
                None => return Err(ArgumentError::Invalid(format!("-{name} needs a value"))),
            },
        };
        Ok(Some(format!("--{long}={value}")))
    }
}

fn parse_switch(name: &str, value: &str) -> Result<bool, ArgumentError> {
    parse_bool(value).ok_or_else(|| {
        ArgumentError::Invalid(format!("-{name} must be true or false, not {value:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_tree_for;

    fn normalize_line(line: &str) -> Result<NormalizedArguments, ArgumentError> {
        let given: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
        normalize_arguments(&given, &command_tree_for(&given))
    }

    fn normalized_text(given: &str) -> String {
        normalize_line(given).unwrap().arguments.join(" ")
    }

    #[test]
    fn flag_spellings_are_equivalent() {
        for flag in ["-format=json", "--format=json", "-format json", "--format json"] {
            assert_eq!(normalized_text(&format!("read {flag} kv/a")), "read --format=json -- kv/a");
            assert_eq!(normalized_text(&format!("status {flag}")), "status --format=json");
        }
        assert_eq!(normalized_text("write -f kv/a"), "write --force -- kv/a");
        assert_eq!(
            normalized_text("operator init -n 3 -t=2"),
            "operator init --key-shares=3 --key-threshold=2"
        );
        assert_eq!(normalized_text("read -ns=a kv/a"), "read --namespace=a -- kv/a");
    }

    #[test]
    fn commands_from_vaults_guides() {
        assert_eq!(
            normalized_text("plugin register -sha256=ab -command=x secret custom-plugin"),
            "plugin register --sha256=ab --command=x -- secret custom-plugin"
        );
        assert_eq!(
            normalized_text("secrets enable -path=custom -plugin-name=custom-plugin plugin"),
            "secrets enable --path=custom --plugin-name=custom-plugin -- plugin"
        );
        assert_eq!(normalized_text("plugin reload -plugin=x"), "plugin reload --plugin=x");
    }

    #[test]
    fn switches_can_be_turned_off() {
        assert_eq!(normalized_text("write -force=false -f=1 kv/a"), "write --force -- kv/a");
        assert_eq!(
            normalized_text("token create -renewable=F -orphan"),
            "token create --renewable=false --orphan"
        );
        assert_eq!(normalized_text("token create -renewable"), "token create --renewable=true");
        let wrong = normalize_line("write -force=yes kv/a").unwrap_err();
        assert!(
            matches!(wrong, ArgumentError::Invalid(text) if text == "-force must be true or false, not \"yes\"")
        );
    }

    #[test]
    fn late_flags_are_arguments_except_output_flags() {
        let late = normalize_line("write kv/a -x=y -format=json b=c").unwrap();
        assert_eq!(late.arguments.join(" "), "write --format=json -- kv/a -x=y b=c");
        assert_eq!(late.misplaced_flags, ["-x=y"]);
        assert_eq!(normalized_text("list kv -format json"), "list --format=json -- kv");
        assert_eq!(
            normalized_text("policy write p - -format=json"),
            "policy write -- p - -format=json"
        );
        assert_eq!(normalized_text("write kv/a -"), "write -- kv/a -");
        assert_eq!(normalize_line("read -- kv/a -format=json").unwrap().misplaced_flags, [""; 0]);
        assert_eq!(normalized_text("read -- -format=json"), "read -- -format=json");
    }

    #[test]
    fn argument_errors_name_the_problem() {
        let wrong = |line: &str| match normalize_line(line).unwrap_err() {
            ArgumentError::Invalid(text) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(wrong("read -nosuch x"), "there is no flag -nosuch");
        assert_eq!(wrong("read -field"), "-field needs a value");
        let pgp = wrong("operator init -key-shares=1 -pgp-keys=a.asc");
        assert_eq!(pgp, "-pgp-keys is not supported by this server");
        let rekey = wrong("operator rekey -init");
        assert_eq!(rekey, "\"operator rekey\" is not supported by this server");
    }

    #[test]
    fn commands_are_found_or_not() {
        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(normalize_line(""), Err(ArgumentError::NoCommand(path(&[]))));
        assert_eq!(normalize_line("nosuch"), Err(ArgumentError::NoCommand(path(&[]))));
        assert_eq!(normalize_line("secrets"), Err(ArgumentError::NoCommand(path(&["secrets"]))));
        assert_eq!(
            normalize_line("secrets nosuch"),
            Err(ArgumentError::NoCommand(path(&["secrets"])))
        );
        assert_eq!(
            normalize_line("-address=x status"),
            Err(ArgumentError::FlagsBeforeCommand(path(&[])))
        );
        assert_eq!(normalize_line("--help"), Err(ArgumentError::HelpRequested(path(&[]))));
        assert_eq!(
            normalize_line("secrets -h"),
            Err(ArgumentError::HelpRequested(path(&["secrets"])))
        );
        assert_eq!(
            normalize_line("read kv/a -help"),
            Err(ArgumentError::HelpRequested(path(&["read"])))
        );
        for version in ["-v", "-version", "--version"] {
            assert_eq!(normalized_text(version), "version");
        }
        assert_eq!(normalized_text("-autocomplete-install"), "completion --install");
        let given = ["kv", "metadata", "get", "x"].map(ToOwned::to_owned);
        assert_eq!(command_name(&given, &command_tree_for(&given)), "kv metadata get");
        assert_eq!(command_name(&given[3..], &command_tree_for(&given[3..])), "");
    }
}
