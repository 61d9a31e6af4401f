//! The binary `strongroom`. All of it is in libraries; what is here decides how the whole is built:
//! the libraries of the command line to be small, everything together to be fast.

fn main() -> std::process::ExitCode {
    strongroom_cli::main()
}
