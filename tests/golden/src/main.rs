//! The recorder, and the check of a server by hand. See `tests/golden/README.md`.

#![expect(clippy::print_stdout, reason = "it tells what it did")]

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use strongroom_golden::case::{CaseFile, GoldenResponse, IntendedDifference, Server, load_cases};
use strongroom_golden::compare::differences;
use strongroom_golden::play::play_case;

/// Records and checks the answers of the API.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes a server's answers into the cases.
    Record(TargetArgs),
    /// Shows where a server answers otherwise than the cases say.
    Check(TargetArgs),
    /// Writes a server's answer to one step beside the reference's: a difference on purpose.
    Note(NoteArgs),
}

#[derive(Args)]
struct NoteArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Which step, from 0.
    #[arg(long)]
    step: usize,
    /// Why it differs.
    #[arg(long)]
    because: String,
}

#[derive(Args)]
struct TargetArgs {
    /// An unsealed server: http://127.0.0.1:8200.
    #[arg(long, default_value = "")]
    address: String,
    /// Its root token. It must be long: its text is replaced wherever it comes back.
    #[arg(long, default_value = "")]
    token: String,
    /// A server not yet initialised, for the one case that begins there.
    #[arg(long, default_value = "")]
    new_address: String,
    /// Only cases whose names begin so: `kv1/`, `sys/mounts`.
    #[arg(default_value = "")]
    prefix: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (mode, target) = match Arguments::parse().command {
        Command::Record(target) => (RunMode::Record, target),
        Command::Check(target) => (RunMode::Check, target),
        Command::Note(note) => (RunMode::Note(note.step, note.because), note.target),
    };
    if !target.address.is_empty() && target.token.len() < 12 {
        println!("the root token must have at least 12 characters");
        return ExitCode::FAILURE;
    }
    let mut wrong = 0;
    for mut file in load_cases(&target.prefix) {
        let (address, token) = match file.case.server {
            Server::Open => (&target.address, &*target.token),
            Server::New => (&target.new_address, ""),
        };
        if address.is_empty() {
            println!("skipped {}: no address for it", file.name);
            continue;
        }
        let played = play_case(address, token, &file.case).await;
        if let Some(why) = &played.error {
            println!("STOPPED {}: {why}", file.name);
            wrong += 1;
        }
        wrong += mode.apply(&mut file, played.replies);
    }
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

enum RunMode {
    Record,
    Check,
    Note(usize, String),
}

impl RunMode {
    /// Writes or shows the answers to a case. Gives how many differ.
    fn apply(&self, file: &mut CaseFile, replies: Vec<GoldenResponse>) -> usize {
        match self {
            Self::Record => {
                for (step, reply) in file.case.steps.iter_mut().zip(replies) {
                    step.reply = Some(reply);
                }
                file.save();
                println!("recorded {}", file.name);
                0
            }
            Self::Check => print_differences(file, &replies),
            Self::Note(index, because) => {
                let step = file.case.steps.get_mut(*index);
                let (Some(step), Some(reply)) = (step, replies.into_iter().nth(*index)) else {
                    println!("{} has no answer to step {index}", file.name);
                    return 1;
                };
                step.strongroom = Some(IntendedDifference { because: because.clone(), reply });
                file.save();
                println!("noted {} {index}", file.name);
                0
            }
        }
    }
}

/// Prints what differs from the reference's answers, or from ours where they are noted, and counts
/// it.
fn print_differences(file: &CaseFile, replies: &[GoldenResponse]) -> usize {
    let mut wrong = 0;
    for (index, (step, reply)) in file.case.steps.iter().zip(replies).enumerate() {
        let ours = step.strongroom.as_ref().map(|noted| &noted.reply);
        let wanted = ours.or(step.reply.as_ref()).cloned().unwrap_or_default();
        for line in differences(&step.ask, &wanted, reply) {
            println!("{} {index} {}: {line}", file.name, step.ask);
            wrong += 1;
        }
    }
    wrong
}
