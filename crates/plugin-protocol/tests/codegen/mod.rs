//! Generates `src/generated` from `proto`, for the example `generate` and for the test that
//! compares the result with the files in the repository.

use std::error::Error;
use std::path::{Path, PathBuf};

/// The root folder of the crate.
pub(crate) fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the checked-in generated code.
pub(crate) fn checked_in() -> PathBuf {
    crate_folder().join("src/generated")
}

/// Writes one file for each protobuf package into `out`.
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
        // Clients and servers use this crate's own transport: see `transport`.
        .build_transport(false)
        .codec_path("crate::codec::WireCodec")
        // Byte fields are slices of the receive buffer instead of copies.
        .bytes(".")
        // Sorted maps, so that the same message always encodes to the same bytes.
        .btree_map(".")
        // Requests and responses are large, and messages are moved often.
        .boxed(".pb.HandleRequestArgs.request")
        .boxed(".pb.HandleRequestReply.response")
        .boxed(".pb.HandleExistenceCheckArgs.request")
        // These may hold secrets, or output of plug-ins. `redact` implements a `Debug` for them
        // that prints only harmless fields.
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
