//! The auth method linked in and behind the plug-in protocol, with a fake directory.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may be blunt")]

mod active_directory;
mod documents;
mod faults;
mod logins;
mod names;
mod openldap;
mod renewals;
mod rotation;

use strongroom_fakes::directory::{FakeDirectory, FakeEntry};
use strongroom_sdk::testing::{ErrorKind, TestError, TestHost, TestResponse, json};

const PASSWORD: &str = "correct horse";
const READER: &str = "cn=reader,dc=example";
const READER_PASSWORD: &str = "reader's own";
const REFUSED: &str = "ldap operation failed: failed to bind as user";

/// Alice, who is in the group `Admins` by her name and in `Staff` by her uid.
fn alice() -> FakeEntry {
    FakeEntry::new("uid=Alice,ou=people,dc=example")
        .password(PASSWORD)
        .value("uid", "Alice")
        .value("cn", "Alice Liddell")
        .value("mail", "alice@example.com")
}

async fn start_directory() -> FakeDirectory {
    let entries = [
        FakeEntry::new(READER).password(READER_PASSWORD),
        alice(),
        FakeEntry::new("uid=bob,ou=people,dc=example").password("bob's").value("uid", "bob"),
        FakeEntry::new("cn=Admins,ou=groups,dc=example")
            .value("cn", "Admins")
            .value("member", "uid=Alice,ou=people,dc=example"),
        FakeEntry::new("cn=Staff,ou=groups,dc=example")
            .value("cn", "Staff")
            .value("memberUid", "alice"),
        FakeEntry::new("cn=Others,ou=groups,dc=example")
            .value("cn", "Others")
            .value("memberUid", "bob"),
    ];
    FakeDirectory::start(entries).await.unwrap()
}

/// Configures the method with an account for searches.
async fn configure(host: &TestHost, directory: &FakeDirectory) {
    let config = json!({
        "url": directory.url(),
        "binddn": READER,
        "bindpass": READER_PASSWORD,
        "userdn": "ou=people,dc=example",
        "userattr": "uid",
        "groupdn": "ou=groups,dc=example",
        "token_policies": "everybody",
        "token_ttl": "1h",
        "token_max_ttl": "2h",
    });
    host.write("config", config).await.unwrap();
}

async fn log_in(host: &TestHost, name: &str, password: &str) -> Result<TestResponse, TestError> {
    host.log_in(&format!("login/{name}"), json!({ "password": password })).await
}

async fn alias_of(host: &TestHost, name: &str) -> String {
    let got =
        log_in(host, name, PASSWORD).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    got.login().alias.as_ref().unwrap().name.clone()
}

async fn assert_refused(host: &TestHost, name: &str, password: &str) {
    let Err(error) = log_in(host, name, password).await else { panic!("{name:?} is accepted") };
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, REFUSED), "{name:?}");
}
