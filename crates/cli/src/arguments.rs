//! Arguments as users of Vault type them, rewritten for the parser.
//!
//! `-format=json`, `--format=json` and `-format json` are one. Flags come before the first argument
//! that is none; what follows it is taken as it is, even if it begins with a dash, but for the
//! flags that say how results look. `-flag=false` takes a switch back.

use clap::{Arg, ArgAction, Command};
use strongroom_types::parse_bool;

use crate::not_built;

/// Arguments that the parser understands. They may be secrets, so only tests can print them.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub(crate) struct Rewritten {
    pub(crate) arguments: Vec<String>,
    /// What looks like a flag and comes too late to be one.
    pub(crate) late: Vec<String>,
}

/// Why there is nothing to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Help is asked for, with the command's name.
    Help(Vec<String>),
    /// The command is missing or unknown; the names that are known.
    NoCommand(Vec<String>),
    /// Flags before the command.
    Misplaced(Vec<String>),
    /// Something else is wrong.
    Wrong(String),
}

/// Flags that count wherever they are.
pub(crate) const ANYWHERE: [&str; 2] = ["format", "detailed"];

/// Rewrites the arguments, without the program's name. `root` is the built tree of commands.
pub(crate) fn rewrite(given: &[String], root: &Command) -> Result<Rewritten, Refusal> {
    if let [only] = given
        && let Some(arguments) = command_of_flag(only)
    {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        return Ok(Rewritten { arguments, late: Vec::new() });
    }
    let (path, command, mut rest) = find_command(given, root)?;
    let before_end = rest.iter().take_while(|argument| *argument != "--");
    if before_end.clone().any(|argument| is_help(argument)) {
        return Err(Refusal::Help(path));
    }
    if command.has_subcommands() {
        return Err(Refusal::NoCommand(path));
    }
    let (mut flags, mut ended) = (Vec::new(), false);
    while let Some((first, after)) = rest.split_first() {
        let Some(flag) = Flag::read(first) else { break };
        rest = after;
        ended = flag.name.is_empty();
        if ended {
            break;
        }
        flags.extend(flag.rewrite(&path, command, &mut rest)?);
    }
    let (mut plain, mut late) = (Vec::new(), Vec::new());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match Flag::read(first).filter(|_| !ended) {
            Some(flag) if ANYWHERE.contains(&flag.name) && flag.argument(command).is_some() => {
                flags.extend(flag.rewrite(&path, command, &mut rest)?);
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
    Ok(Rewritten { arguments, late })
}

/// Flags that stand alone, and the commands that they are.
fn command_of_flag(flag: &str) -> Option<&'static [&'static str]> {
    match flag.strip_prefix("--").or_else(|| flag.strip_prefix('-'))? {
        "v" | "version" => Some(&["version"]),
        "autocomplete-install" => Some(&["completion", "--install"]),
        "autocomplete-uninstall" => Some(&["completion", "--uninstall"]),
        _ => None,
    }
}

/// The name of the command that the first arguments name, as far as there is one.
pub(crate) fn command_name(given: &[String], root: &Command) -> String {
    let (mut path, mut command) = (Vec::new(), root);
    for name in given {
        let Some(found) = command.find_subcommand(name) else { break };
        path.push(name.as_str());
        command = found;
    }
    path.join(" ")
}

/// The command that the first arguments name, and the arguments after it.
fn find_command<'g, 'c>(
    given: &'g [String],
    root: &'c Command,
) -> Result<(Vec<String>, &'c Command, &'g [String]), Refusal> {
    let (mut path, mut command, mut rest) = (Vec::new(), root, given);
    while command.has_subcommands() {
        let Some((name, after)) = rest.split_first() else { break };
        let Some(found) = command.find_subcommand(name) else {
            if is_help(name) {
                break;
            }
            if let Some(name) = not_built::command(&path, name) {
                let text = format!("\"{name}\" is not supported by this server");
                return Err(Refusal::Wrong(text));
            }
            let later = rest.iter().any(|name| command.find_subcommand(name).is_some());
            if path.is_empty() && name.starts_with('-') && later {
                return Err(Refusal::Misplaced(path));
            }
            return Err(Refusal::NoCommand(path));
        };
        path.push(name.clone());
        (command, rest) = (found, after);
    }
    Ok((path, command, rest))
}

fn is_help(argument: &str) -> bool {
    matches!(argument, "-h" | "-help" | "--help")
}

/// A flag as it was typed.
pub(crate) struct Flag<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: Option<&'a str>,
}

impl<'a> Flag<'a> {
    /// A lone `-` means standard input, and is no flag. A lone `--` ends the flags, and is one
    /// without a name.
    pub(crate) fn read(argument: &'a str) -> Option<Self> {
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

    pub(crate) fn argument<'c>(&self, command: &'c Command) -> Option<&'c Arg> {
        command.get_arguments().find(|argument| {
            let short = argument.get_short().map(String::from);
            argument.get_long() == Some(self.name)
                || short.as_deref() == Some(self.name)
                || argument.get_all_aliases().is_some_and(|all| all.contains(&self.name))
        })
    }

    /// The flag for the parser; nothing for a switch that is off. A value may be the next argument.
    fn rewrite(
        &self,
        path: &[String],
        command: &Command,
        rest: &mut &[String],
    ) -> Result<Option<String>, Refusal> {
        let name = self.name;
        let Some(argument) = self.argument(command) else {
            return Err(Refusal::Wrong(not_built::unknown_flag(&path.join(" "), name)));
        };
        let long = argument.get_long().unwrap_or(name);
        if matches!(argument.get_action(), ArgAction::SetTrue) {
            let on = self.value.map_or(Ok(true), |value| switch(name, value))?;
            return Ok(on.then(|| format!("--{long}")));
        }
        let optional = argument.get_num_args().is_some_and(|count| count.min_values() == 0);
        let value = match self.value {
            Some(value) if optional => switch(name, value)?.to_string(),
            Some(value) => value.to_owned(),
            None if optional => "true".to_owned(),
            None => match rest.split_first() {
                Some((next, after)) => {
                    *rest = after;
                    next.clone()
                }
                None => return Err(Refusal::Wrong(format!("-{name} needs a value"))),
            },
        };
        Ok(Some(format!("--{long}={value}")))
    }
}

fn switch(name: &str, value: &str) -> Result<bool, Refusal> {
    parse_bool(value)
        .ok_or_else(|| Refusal::Wrong(format!("-{name} must be true or false, not {value:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree_for;

    fn rewritten(line: &str) -> Result<Rewritten, Refusal> {
        let given: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
        rewrite(&given, &tree_for(&given))
    }

    fn line(given: &str) -> String {
        rewritten(given).unwrap().arguments.join(" ")
    }

    #[test]
    fn all_spellings_are_one() {
        for flag in ["-format=json", "--format=json", "-format json", "--format json"] {
            assert_eq!(line(&format!("read {flag} kv/a")), "read --format=json -- kv/a");
            assert_eq!(line(&format!("status {flag}")), "status --format=json");
        }
        assert_eq!(line("write -f kv/a"), "write --force -- kv/a");
        assert_eq!(
            line("operator init -n 3 -t=2"),
            "operator init --key-shares=3 --key-threshold=2"
        );
        assert_eq!(line("read -ns=a kv/a"), "read --namespace=a -- kv/a");
    }

    #[test]
    fn the_guides_commands() {
        assert_eq!(
            line("plugin register -sha256=ab -command=x secret custom-plugin"),
            "plugin register --sha256=ab --command=x -- secret custom-plugin"
        );
        assert_eq!(
            line("secrets enable -path=custom -plugin-name=custom-plugin plugin"),
            "secrets enable --path=custom --plugin-name=custom-plugin -- plugin"
        );
        assert_eq!(line("plugin reload -plugin=x"), "plugin reload --plugin=x");
    }

    #[test]
    fn switches_can_be_taken_back() {
        assert_eq!(line("write -force=false -f=1 kv/a"), "write --force -- kv/a");
        assert_eq!(
            line("token create -renewable=F -orphan"),
            "token create --renewable=false --orphan"
        );
        assert_eq!(line("token create -renewable"), "token create --renewable=true");
        let wrong = rewritten("write -force=yes kv/a").unwrap_err();
        assert!(
            matches!(wrong, Refusal::Wrong(text) if text == "-force must be true or false, not \"yes\"")
        );
    }

    #[test]
    fn late_flags_are_arguments_but_for_those_that_say_how_results_look() {
        let late = rewritten("write kv/a -x=y -format=json b=c").unwrap();
        assert_eq!(late.arguments.join(" "), "write --format=json -- kv/a -x=y b=c");
        assert_eq!(late.late, ["-x=y"]);
        assert_eq!(line("list kv -format json"), "list --format=json -- kv");
        assert_eq!(line("policy write p - -format=json"), "policy write -- p - -format=json");
        assert_eq!(line("write kv/a -"), "write -- kv/a -");
        assert_eq!(rewritten("read -- kv/a -format=json").unwrap().late, [""; 0]);
        assert_eq!(line("read -- -format=json"), "read -- -format=json");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |line: &str| match rewritten(line).unwrap_err() {
            Refusal::Wrong(text) => text,
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
        assert_eq!(rewritten(""), Err(Refusal::NoCommand(path(&[]))));
        assert_eq!(rewritten("nosuch"), Err(Refusal::NoCommand(path(&[]))));
        assert_eq!(rewritten("secrets"), Err(Refusal::NoCommand(path(&["secrets"]))));
        assert_eq!(rewritten("secrets nosuch"), Err(Refusal::NoCommand(path(&["secrets"]))));
        assert_eq!(rewritten("-address=x status"), Err(Refusal::Misplaced(path(&[]))));
        assert_eq!(rewritten("--help"), Err(Refusal::Help(path(&[]))));
        assert_eq!(rewritten("secrets -h"), Err(Refusal::Help(path(&["secrets"]))));
        assert_eq!(rewritten("read kv/a -help"), Err(Refusal::Help(path(&["read"]))));
        for version in ["-v", "-version", "--version"] {
            assert_eq!(line(version), "version");
        }
        assert_eq!(line("-autocomplete-install"), "completion --install");
        let given = ["kv", "metadata", "get", "x"].map(ToOwned::to_owned);
        assert_eq!(command_name(&given, &tree_for(&given)), "kv metadata get");
        assert_eq!(command_name(&given[3..], &tree_for(&given[3..])), "");
    }
}
