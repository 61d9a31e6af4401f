//! An object of the client's, looked into: its numbers would be misread, its values get out.

use strongroom_sdk::Verbatim;

fn look(sent: &Verbatim) -> Option<String> {
    println!("{sent}");
    sent.get("password").map(|raw| raw.to_string())
}

fn main() {
    let _ = look;
}
