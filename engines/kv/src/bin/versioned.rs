//! Runs version 2 as a plug-in process, for Vault and OpenBao servers in tests. Strongroom has it
//! built in; tests of the SDK's records need an engine that uses them.

fn main() -> std::process::ExitCode {
    strongroom_sdk::serve(strongroom_engine_kv::versioned_blueprint())
}
