//! Runs the Python and Node programs below `tests/interop` and `examples`. Each gets the packages its lock file
//! names, in an environment of its own beside the binaries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::{binaries_folder, lock_path, repository_root, skip_test};

/// The command for a Python program. `None` if there is no Python, with a message; with
/// `STRONGROOM_REQUIRE_INTEROP=1` that fails the test instead.
pub fn python_interop_command(test: &str, name: &str) -> Option<Command> {
    let source = repository_root().join("tests/interop").join(name);
    let python =
        python_environment(test, name, &source.join("requirements.txt"), &["--require-hashes"])?;
    let mut program = Command::new(python);
    // Write no bytecode beside the source.
    program.arg("-B").arg(source.join("walk.py"));
    Some(program)
}

/// The interpreter of an environment with the packages of a requirements file that lists all of
/// them. `options` are added to those of pip. `None` as in [`python_interop_command`].
pub fn python_environment(
    test: &str,
    name: &str,
    requirements: &Path,
    options: &[&str],
) -> Option<PathBuf> {
    // Some systems package these two apart from the interpreter.
    let modules = Command::new("python3").args(["-c", "import venv, ensurepip"]).output();
    if !modules.is_ok_and(|it| it.status.success()) {
        skip_test(test, "Python 3 with venv is not installed");
        return None;
    }
    let home = binaries_folder().join("interop").join(format!("{name}-env"));
    let python = home.join("bin/python");
    prepare_environment(&home, requirements, || {
        run_to_success(Command::new("python3").args(["-m", "venv"]).arg(&home));
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps"]).args(options);
        run_to_success(
            pip.args(["--disable-pip-version-check", "--requirement"]).arg(requirements),
        );
    });
    Some(python)
}

/// The command for a Node program; `None` as in [`python_interop_command`].
pub fn node_interop_command(test: &str, name: &str) -> Option<Command> {
    let has =
        |tool| Command::new(tool).arg("--version").output().is_ok_and(|it| it.status.success());
    if !has("node") || !has("npm") {
        skip_test(test, "Node with npm is not installed");
        return None;
    }
    let source = repository_root().join("tests/interop").join(name);
    let home = binaries_folder().join("interop").join(format!("{name}-env"));
    let lock = source.join("package-lock.json");
    prepare_environment(&home, &lock, || {
        for file in ["package.json", "package-lock.json", ".npmrc"] {
            fs::copy(source.join(file), home.join(file)).unwrap();
        }
        run_to_success(
            Command::new("npm").args(["ci", "--ignore-scripts", "--silent"]).current_dir(&home),
        );
    });
    // Node searches for packages beside the program.
    for entry in fs::read_dir(&source).unwrap().flatten() {
        if entry.path().extension().is_some_and(|it| it == "js") {
            fs::copy(entry.path(), home.join(entry.file_name())).unwrap();
        }
    }
    let mut program = Command::new("node");
    program.arg(home.join("walk.js"));
    Some(program)
}

/// Creates an environment, unless a complete one from the same lock file exists. Tests that need
/// the same one wait for each other.
fn prepare_environment(home: &Path, lock: &Path, make: impl FnOnce()) {
    let _lock = lock_path(home);
    let made_from: PathBuf = home.join("made-from");
    let lock = fs::read(lock).unwrap();
    if fs::read(&made_from).is_ok_and(|made| made == lock) {
        return;
    }
    let _ = fs::remove_dir_all(home);
    fs::create_dir_all(home).unwrap();
    make();
    fs::write(made_from, lock).unwrap();
}

fn run_to_success(command: &mut Command) {
    let output = command.output().unwrap();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {wrong}");
}
