//! [`OpenLdap`]: a real OpenLDAP, from Debian's packages `slapd` and `ldap-utils`.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::programs::skip_test;
use crate::rabbitmq::free_ports;
use crate::wait::wait_until;

/// A running OpenLDAP with the entries of a test. It is no service of the machine: configuration, data
/// and ports are its own. When it is dropped, or the test process ends, the server is stopped and its
/// data is removed.
pub struct OpenLdap {
    /// Its script ends the server when the pipe to its standard input is closed.
    _script: Child,
    port: u16,
    tls_port: u16,
}

/// The suffix of the directory's names.
pub const SUFFIX: &str = "dc=example";
/// An account that may read everything but passwords, and at most ten entries of a search at once.
pub const READER: &str = "cn=reader,dc=example";
/// The first password of [`READER`].
pub const READER_PASSWORD: &str = "password-of-the-reader";

const PROGRAM: &str = "/usr/sbin/slapd";
const START_TIMEOUT: Duration = Duration::from_secs(30);
const SCRIPT: &str = r#"
"$1" -f "$2/slapd.conf" -h "$3" -d 0 & server=$!
cat > /dev/null
kill "$server"; wait "$server"
rm -rf "$2"
"#;

const BASE_ENTRIES: &str = "dn: dc=example\nobjectClass: domain\ndc: example\n\n\
    dn: cn=reader,dc=example\nobjectClass: person\ncn: reader\nsn: reader\n\
    userPassword: password-of-the-reader\n\n";

impl OpenLdap {
    /// Starts a server with these entries (LDIF), below [`SUFFIX`], and with this certificate for
    /// 127.0.0.1 and its key, both in PEM. What is below `ou=open` may be read anonymously. `None` if
    /// OpenLDAP isn't installed, with a message; with `STRONGROOM_REQUIRE_INTEROP=1` that fails the
    /// test instead.
    pub async fn start(test: &str, entries: &str, certificate: &str, key: &str) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            skip_test(test, "the Debian package slapd is not installed");
            return None;
        }
        // The script removes the folder.
        let folder = tempfile::tempdir().unwrap().keep();
        let path = |name: &str| folder.join(name);
        fs::create_dir(path("data")).unwrap();
        fs::write(path("cert.pem"), certificate).unwrap();
        fs::write(path("key.pem"), key).unwrap();
        fs::write(path("entries.ldif"), format!("{BASE_ENTRIES}{entries}")).unwrap();
        fs::write(path("slapd.conf"), configuration(&folder)).unwrap();
        let loaded = Command::new("/usr/sbin/slapadd")
            .arg("-f")
            .arg(path("slapd.conf"))
            .arg("-l")
            .arg(path("entries.ldif"))
            .output()
            .unwrap();
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        let [port, tls_port] = free_ports();
        let log = fs::File::create(path("log")).unwrap();
        let script = Command::new("sh")
            .args(["-c", SCRIPT, "openldap", PROGRAM])
            .arg(&folder)
            .arg(format!("ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let what = format!("OpenLDAP runs, see {}", path("log").display());
        wait_until(&what, START_TIMEOUT, || async {
            TcpStream::connect(("127.0.0.1", tls_port)).is_ok().then_some(())
        })
        .await;
        Some(Self { _script: script, port, tls_port })
    }

    /// The URL without TLS, where StartTLS is possible.
    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// The URL of the port that speaks TLS.
    pub fn tls_url(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.tls_port)
    }

    /// Changes entries as the administrator. `changes` is LDIF.
    pub fn change(&self, changes: &str) {
        let mut tool = Command::new("ldapmodify");
        tool.args(["-x", "-D", "cn=admin,dc=example", "-w", ADMIN_PASSWORD, "-H", &self.url()]);
        let mut running = tool
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = running.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, changes.as_bytes()).unwrap();
        drop(input);
        let done = running.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Whether one can bind with this name and password.
    pub fn accepts(&self, name: &str, password: &str) -> bool {
        let mut tool = Command::new("ldapwhoami");
        tool.args(["-x", "-D", name, "-w", password, "-H", &self.url()]);
        tool.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }
}

const ADMIN_PASSWORD: &str = "password-of-the-admin";

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    let schemas = ["core", "cosine", "inetorgperson", "nis"]
        .map(|name| format!("include /etc/ldap/schema/{name}.schema\n"))
        .concat();
    format!(
        r#"{schemas}
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCertificateFile {folder}/cert.pem
TLSCertificateKeyFile {folder}/key.pem
database mdb
suffix "{SUFFIX}"
rootdn "cn=admin,{SUFFIX}"
rootpw {ADMIN_PASSWORD}
directory {folder}/data
maxsize 10485760
dbnosync
limits dn.exact="{READER}" size.soft=10 size.hard=10 size.prtotal=unlimited
access to attrs=userPassword by self =w by anonymous auth by * none
access to dn.subtree="ou=open,{SUFFIX}" by * read
access to * by dn.exact="{READER}" read by self read by * none
"#
    )
}
