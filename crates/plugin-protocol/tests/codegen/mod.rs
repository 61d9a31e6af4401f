//! Makes `src/generated` from `proto`: by the example `generate`, and by the test that compares.

use std::error::Error;
use std::path::{Path, PathBuf};

/// The crate's own folder.
pub(crate) fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the checked-in code lies.
pub(crate) fn checked_in() -> PathBuf {
    crate_folder().join("src/generated")
}

/// Writes one file a package into `out`.
pub(crate) fn generate(out: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let protos = crate_folder().join("proto");
    let descriptors = protox::compile(
        [
            "plugin.proto",
            "health.proto",
            "multiplexing.proto",
            "logical.proto",
            "backend.proto",
            "strongroom.proto",
        ],
        [protos],
    )?;
    tonic_prost_build::configure()
        .out_dir(out)
        .emit_rerun_if_changed(false)
        // Channels and servers are this crate's own: see `transport`.
        .build_transport(false)
        .codec_path("crate::codec::WireCodec")
        // Values are cut out of the receive buffer instead of copied.
        .bytes(".")
        // The same message always has the same bytes.
        .btree_map(".")
        // Requests and responses are large, and messages are moved often on their way.
        .boxed(".pb.HandleRequestArgs.request")
        .boxed(".pb.HandleRequestReply.response")
        .boxed(".pb.HandleExistenceCheckArgs.request")
        // These may hold secrets, or what authors printed. `redact` gives them a Debug that
        // names only what is harmless.
        .skip_debug([
            ".plugin.StdioData",
            ".logical.EventData",
            ".pb.Auth",
            ".pb.GenerateIdentityTokenResponse",
            ".pb.GeneratePasswordFromPolicyReply",
            ".pb.Header",
            ".pb.RecordObservationRequest",
            ".pb.Request",
            ".pb.Response",
            ".pb.ResponseWrapDataArgs",
            ".pb.ResponseWrapInfo",
            ".pb.Secret",
            ".pb.SetupArgs",
            ".pb.StorageEntry",
            ".pb.TokenEntry",
            ".strongroom.v1.Put",
            ".strongroom.v1.Versioned",
        ])
        .compile_fds(descriptors)?;
    Ok(())
}
