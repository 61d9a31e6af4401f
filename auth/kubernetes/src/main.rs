//! Runs the auth method as a plug-in process.

fn main() -> std::process::ExitCode {
    strongroom_sdk::serve(strongroom_auth_kubernetes::blueprint())
}
