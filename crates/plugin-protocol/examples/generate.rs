//! Regenerates `src/generated` after a change in `proto`:
//! `cargo run -p strongroom-plugin-protocol --example generate`.

#[path = "../tests/codegen/mod.rs"]
mod codegen;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    codegen::generate(&codegen::checked_in())
}
