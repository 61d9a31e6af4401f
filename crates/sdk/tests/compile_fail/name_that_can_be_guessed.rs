//! The name of a credential is the SDK's: unguessable, and stored before it is used.

use strongroom_sdk::CredentialName;

fn main() {
    let _ = CredentialName { display: "token".to_owned(), unique: "1".to_owned() };
}
