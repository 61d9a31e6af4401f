//! Prints the figures of names and docs in the workspace, and the names that several types share.

use std::process::ExitCode;

use strongroom_source_checks::docs::{DocFigures, public_items};
use strongroom_source_checks::names::DefinedNames;
use strongroom_source_checks::sources::{production_files, workspace_root};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the program is for")]
fn main() -> ExitCode {
    let files = match production_files(&workspace_root()) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let names = DefinedNames::of(&files);
    let (types, functions) = (names.types.len(), names.functions.len());
    println!("{} files, {types} types, {functions} functions", files.len());
    println!("{}", names.figures());
    println!("{}", DocFigures::of(&public_items(&files)));
    for (name, count) in names.shared_type_names() {
        println!("{count:>4} types are called {name}");
    }
    ExitCode::SUCCESS
}
