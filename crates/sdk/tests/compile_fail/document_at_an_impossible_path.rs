//! Paths are looked at when the engine is compiled.

use strongroom_sdk::Document;

#[derive(Document)]
#[document(path = "/roles/{name}")]
struct LeadingSlash {}

#[derive(Document)]
#[document(path = "roles/{na me}")]
struct BadCapture {}

#[derive(Document)]
#[document(path = "roles/{name..}/members")]
struct BelowManySegments {}

#[derive(Document)]
#[document(path = "roles/{name+}")]
struct UnknownForm {}

#[derive(Document)]
#[document(path = "config", folds_case)]
struct NoNameToFold {}

#[derive(Document)]
#[document(path = "wal/{id}")]
struct WhereIntentsLie {}

fn main() {}
