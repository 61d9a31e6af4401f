//! Field names by which servers tell errors and raw answers from data.

use strongroom_sdk::ResponseData;

#[derive(ResponseData)]
struct LooksLikeAnError {
    error: String,
}

#[derive(ResponseData)]
struct LooksRaw {
    http_status_code: u16,
}

fn main() {}
