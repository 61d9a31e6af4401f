//! Version 2 as a plug-in process, for servers of others: they have it built in, and tests of what the
//! SDK keeps beside documents need an engine that keeps something there.

fn main() -> std::process::ExitCode {
    strongroom_sdk::serve(strongroom_engine_kv::versioned_blueprint())
}
