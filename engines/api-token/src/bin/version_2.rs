//! The same engine reporting version 2.0.0: something to reload to, in the demonstration and in
//! tests.

fn main() -> std::process::ExitCode {
    strongroom_sdk::serve(strongroom_engine_api_token::blueprint().with_version("2.0.0"))
}
