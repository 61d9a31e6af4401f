//! An object of the client's, looked into: its numbers would be misread, its values get out.

use strongroom_sdk::Verbatim;

fn read_password(sent: &Verbatim) -> Option<String> {
    println!("{sent}");
    sent.get("password").map(|raw| raw.to_string())
}

fn main() {
    let _ = read_password;
}
