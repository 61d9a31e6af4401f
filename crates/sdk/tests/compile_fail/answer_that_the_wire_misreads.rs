//! Field names by which servers tell errors and raw answers from data.

use strongroom_sdk::Answer;

#[derive(Answer)]
struct LooksLikeAnError {
    error: String,
}

#[derive(Answer)]
struct LooksRaw {
    http_status_code: u16,
}

fn main() {}
