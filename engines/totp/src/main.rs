//! Runs the engine as a plug-in process.

fn main() -> std::process::ExitCode {
    strongroom_sdk::serve(strongroom_engine_totp::blueprint())
}
