//! The commands' part of `docs/src/reference/cli.md`, made from the table of commands.
//! `STRONGROOM_BLESS=1` writes it; without, a page that isn't current fails the test.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, ArgAction, Command};

use crate::whole_tree;

const BEGIN: &str = "<!-- commands: made from the table of commands, do not edit -->\n";
const END: &str = "<!-- end of commands -->\n";

#[test]
fn the_page_of_commands_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/reference/cli.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let current = format!("{before}{BEGIN}\n{}{END}{after}", commands());
    if std::env::var_os("STRONGROOM_BLESS").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let message = "docs/src/reference/cli.md is old: STRONGROOM_BLESS=1 writes it anew";
    assert!(page == current || std::env::var_os("STRONGROOM_BLESS").is_some(), "{message}");
}

fn commands() -> String {
    let root = whole_tree();
    let mut out = String::new();
    for heading in ["HTTP options", "Output options"] {
        writeln!(out, "### {heading}\n").unwrap();
        // Flags of many commands are those of this one.
        let read = root.find_subcommand("list").unwrap();
        let of_heading = read.get_arguments().filter(|a| a.get_help_heading() == Some(heading));
        flags(&mut out, of_heading);
    }
    below(&mut out, &root, "strongroom");
    out
}

fn below(out: &mut String, command: &Command, name: &str) {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("{name} {}", command.get_name());
        if command.has_subcommands() {
            below(out, command, &name);
            continue;
        }
        writeln!(out, "### `{name}`\n").unwrap();
        writeln!(out, "{}.\n", command.get_about().unwrap()).unwrap();
        let positional = command.get_positionals().find(|argument| !argument.is_hide_set());
        let names = positional.map(|argument| {
            let names = argument.get_value_names().unwrap_or_default();
            format!(" {}", names.join(" "))
        });
        writeln!(out, "```text\n{name} [flags]{}\n```\n", names.unwrap_or_default()).unwrap();
        let own = command.get_arguments().filter(|a| a.get_help_heading().is_none());
        flags(out, own.filter(|a| !a.is_positional() && a.get_id() != "help"));
        let groups: Vec<_> = ["HTTP options", "Output options"]
            .into_iter()
            .filter(|heading| {
                command.get_arguments().any(|a| a.get_help_heading() == Some(heading))
            })
            .collect();
        if !groups.is_empty() {
            let field = command.get_arguments().any(|a| a.get_long() == Some("field"));
            let field = if field { ", `-field=FIELD`" } else { "" };
            writeln!(out, "Also: {}{field}.\n", groups.join(", ")).unwrap();
        }
        if let Some(more) = command.get_after_help() {
            writeln!(out, "```text\n{}\n```\n", more.to_string().trim_end()).unwrap();
        }
    }
}

fn flags<'a>(out: &mut String, all: impl Iterator<Item = &'a Arg>) {
    let flags = all.filter(|argument| !argument.is_hide_set() && argument.get_long().is_some());
    let lines: Vec<_> = flags.map(line).collect();
    if !lines.is_empty() {
        writeln!(out, "| flag | meaning |\n|---|---|\n{}\n", lines.join("\n")).unwrap();
    }
}

fn line(argument: &Arg) -> String {
    let long = argument.get_long().unwrap();
    let short = argument.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let value = argument.get_value_names().unwrap_or_default().join(" ");
    let value = match argument.get_action() {
        ArgAction::SetTrue => String::new(),
        _ => format!("={value}"),
    };
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    format!("| {short}`-{long}{value}` | {} |", help.replace('|', "\\|"))
}
