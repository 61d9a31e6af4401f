//! The same engine, reporting version 2.0.0. The demonstration and tests use it to reload a plug-in
//! in another version.

fn main() -> std::process::ExitCode {
    strongroom_sdk::serve(strongroom_engine_api_token::blueprint().with_version("2.0.0"))
}
