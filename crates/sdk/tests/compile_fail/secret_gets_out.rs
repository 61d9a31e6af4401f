//! A secret can't be printed, copied, compared or serialised.

use strongroom_sdk::Secret;

fn main() {
    let (secret, other) = (Secret::from_text("a"), Secret::from_text("b"));
    let _ = format!("{secret:?}");
    let _ = format!("{secret}");
    let _ = secret.clone();
    let _ = secret == other;
    let _ = serde_json::to_string(&secret);
}
