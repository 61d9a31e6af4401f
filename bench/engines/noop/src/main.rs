//! The no-op engine as a plug-in process.

fn main() -> std::process::ExitCode {
    strongroom_sdk::serve(strongroom_bench_noop::blueprint())
}
