//! Listeners of all kinds, and what SIGHUP reads again.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::process::{StrongroomProcess, dev_server_with, strongroom_command};

type ListenerTestCa = CertifiedIssuer<'static, KeyPair>;
type TlsConnection = StreamOwned<ClientConnection, TcpStream>;

#[test]
fn listens_on_tcp_tls_and_unix_at_once() {
    let home = home_with_certificates(&listener_with_client_certs("tls13"));
    let stranger = new_authority();
    issue_certificate(&stranger, home.path(), "stranger");
    let server = start_server(home);
    let home = server.home();

    // Through the first listener, with a certificate that the server knows, and with none.
    let at = |name: &str| home.join(name).display().to_string();
    let status = |with: &[(&str, String)]| {
        let mut command = server.command(&["status"]);
        command.envs(with.iter().cloned()).env("VAULT_CACERT", at("ca.pem"));
        command.env("VAULT_MAX_RETRIES", "0").output().unwrap().status.code()
    };
    let own = |name: &str| {
        let (cert, key) = (at(&format!("{name}.pem")), at(&format!("{name}.key")));
        [("VAULT_CLIENT_CERT", cert), ("VAULT_CLIENT_KEY", key)]
    };
    assert_eq!(status(&own("client")), Some(2), "it is answered: the server isn't initialised");
    assert_eq!(status(&[]), Some(1), "nobody is let in without a certificate");
    assert_eq!(status(&own("stranger")), Some(1), "nor with somebody else's");

    // Whoever is sent away gets to read why, although the request is on its way by then.
    let mut anonymous = connect_tls_with(&server, &home, rustls::ALL_VERSIONS, false).unwrap();
    anonymous.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let why = anonymous.read(&mut [0]).unwrap_err().to_string();
    assert!(why.contains("CertificateRequired"), "{why}");

    // It speaks nothing older than what it was told.
    let old = connect_tls(&server, &home, &[&rustls::version::TLS12]);
    assert!(old.unwrap_err().contains("ProtocolVersion"));
    assert!(connect_tls(&server, &home, &[&rustls::version::TLS13]).is_ok());

    // Through the other two.
    let plain = format!("http://{}", server.listen_addresses()[1]);
    assert_eq!(status(&[("VAULT_ADDR", plain)]), Some(2));
    let socket = home.join("api.sock");
    assert_eq!(server.listen_addresses()[2], socket.display().to_string());
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(status(&[("VAULT_ADDR", format!("unix://{}", socket.display()))]), Some(2));

    server.send_signal(Signal::TERM);
    let (ended, lines, _home) = server.wait_for_exit();
    assert_eq!(ended.code(), Some(0), "{lines:#?}");
    assert!(!socket.exists(), "the socket is left behind");
}

#[test]
fn any_certificate_is_accepted_where_none_is_required() {
    for version in ["tls12", "tls13"] {
        let listener = move |home: &Path| {
            format!(
                r#"
                listener "tcp" {{
                    address         = "127.0.0.1:0"
                    tls_cert_file   = "{home}/server.pem"
                    tls_key_file    = "{home}/server.key"
                    tls_max_version = "{version}"
                }}
                "#,
                home = home.display(),
            )
        };
        let home = home_with_certificates(&listener);
        issue_certificate(&new_authority(), home.path(), "client");
        let server = start_server(home);
        let home = server.home();
        for with_certificate in [true, false] {
            let all = rustls::ALL_VERSIONS;
            let mut client = connect_tls_with(&server, &home, all, with_certificate).unwrap();
            client.write_all(b"GET /v1/sys/health HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            let mut answer = [0; 12];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 501", "it answers that it isn't initialised");
        }
    }
}

#[test]
fn cve_2024_6468_refused_clients_stop_no_listener() {
    let proxied = "listener \"tcp\" {\n address = \"127.0.0.1:0\"\n tls_disable = true\n \
                   x_forwarded_for_authorized_addrs = \"192.0.2.1\"\n \
                   x_forwarded_for_reject_not_present = false\n}";
    let listeners = listener_with_client_certs("tls12");
    let server =
        start_server(home_with_certificates(&|home| format!("{}\n{proxied}", listeners(home))));
    let ask = |place: &str, header: &str| {
        let mut stream = TcpStream::connect(place).unwrap();
        let request = format!("GET /v1/sys/init HTTP/1.1\r\nhost: a\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    let proxied = server.listen_addresses()[3].clone();
    for _ in 0..3 {
        assert_eq!(ask(&proxied, "x-forwarded-for: 192.0.2.9\r\n"), "400", "no proxy of ours");
        assert_eq!(ask(&proxied, ""), "200");
        let place = server.listen_addresses()[0].clone();
        let mut garbage = TcpStream::connect(&place).unwrap();
        garbage.write_all(&[0x16, 3, 1, 0xff, 0xff]).unwrap();
        let _ = garbage.read_to_end(&mut Vec::new());
        assert!(connect_tls(&server, &server.home(), rustls::ALL_VERSIONS).is_ok());
    }
}

#[test]
fn a_certificate_is_replaced_under_a_request_being_sent() {
    let home = home_with_certificates(&listener_with_client_certs("tls12"));
    let server = start_server(home);
    let home = server.home();
    let mut begun = connect_tls(&server, &home, rustls::ALL_VERSIONS).unwrap();
    let before = presented_certificate(&begun);
    begun
        .write_all(b"PUT /v1/sys/unseal HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{")
        .unwrap();
    begun.flush().unwrap();

    let fresh = new_authority();
    fs::write(home.join("ca.pem"), fresh.pem()).unwrap();
    issue_certificate(&fresh, &home, "server");
    issue_certificate(&fresh, &home, "client");
    server.send_signal(Signal::HUP);
    server.wait_for_line("certificates and log level were reloaded");

    begun.write_all(b"}").unwrap();
    let mut answer = [0; 12];
    begun.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400", "the request is answered where it was begun");
    let after = connect_tls(&server, &home, rustls::ALL_VERSIONS).unwrap();
    assert_ne!(presented_certificate(&after), before);
}

#[test]
fn a_broken_new_certificate_leaves_the_old_one_and_says_which_file() {
    let server = start_server(home_with_certificates(&listener_with_client_certs("tls12")));
    let home = server.home();
    let before = presented_certificate(&connect_tls(&server, &home, rustls::ALL_VERSIONS).unwrap());
    let good = |name: &str| fs::read(home.join(name)).unwrap();
    let (cert, key, ca) = (good("server.pem"), good("server.key"), good("ca.pem"));
    // A key of another certificate; half a file; no certificates of clients.
    let breakages: [(&str, &[u8]); 3] = [
        ("server.key", &good("client.key")),
        ("server.pem", &cert[..cert.len() / 2]),
        ("ca.pem", b""),
    ];
    for (name, content) in breakages {
        fs::write(home.join(name), content).unwrap();
        server.send_signal(Signal::HUP);
        let line = server.wait_for_line("could not be reloaded; the old one stays");
        assert!(line.contains("ERROR") && line.contains(name), "{line}");
        for (name, content) in [("server.pem", &cert), ("server.key", &key), ("ca.pem", &ca)] {
            fs::write(home.join(name), content).unwrap();
        }
        assert_eq!(
            presented_certificate(&connect_tls(&server, &home, rustls::ALL_VERSIONS).unwrap()),
            before
        );
    }
}

#[test]
fn start_names_the_unusable_file() {
    let home = home_with_certificates(&listener_with_client_certs("tls12"));
    let path = home.path();
    fs::copy(path.join("client.key"), path.join("server.key")).unwrap();
    let config = format!("-config={}", path.join("server.hcl").display());
    let refused = strongroom_command(path, &["server", &config]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("server.key") && told.contains("can't be used"), "{told}");
    assert!(refused.stdout.is_empty());
}

#[test]
fn writes_pid_file_and_log_file() {
    let settings = |home: &Path| {
        let home = home.display();
        format!("pid_file = \"{home}/pid\"\nlog_file = \"{home}/log\"\nlog_level = \"debug\"")
    };
    let home = home_with_certificates(&|home| format!("{}\n{}", plain_listener(), settings(home)));
    let server = StrongroomProcess::start_with_config(
        &home.path().join("server.hcl"),
        home,
        "http://127.0.0.1",
    );
    let home = server.home();
    let (pid_file, log, old) = (home.join("pid"), home.join("log"), home.join("old"));
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), format!("{}\n", server.pid()));

    fs::rename(&log, &old).unwrap();
    server.send_signal(Signal::HUP);
    server.wait_for_line("certificates and log level were reloaded");
    server.send_signal(Signal::TERM);
    let (ended, lines, _home) = server.wait_for_exit();
    assert_eq!(ended.code(), Some(0), "{lines:#?}");
    assert!(!pid_file.exists());
    let logged = fs::read_to_string(&log).unwrap();
    assert!(logged.contains("were reloaded"), "{logged}");
    assert!(!fs::read_to_string(&old).unwrap().contains("were reloaded"));
}

#[test]
fn dev_tls_removes_its_certificates_at_exit() {
    let certs = tempfile::tempdir().unwrap();
    let folder = format!("-dev-tls-cert-dir={}", certs.path().display());
    let server = dev_server_with(&["-dev-tls", &folder]);
    assert!(server.address().starts_with("https://127.0.0.1:"), "{}", server.address());
    let ca = certs.path().join("vault-ca.pem");
    let read = |ca: &Path| {
        let mut command = server.command(&["token", "lookup", "-field=id"]);
        command.env("VAULT_CACERT", ca).env("VAULT_MAX_RETRIES", "0").output().unwrap()
    };
    assert_eq!(String::from_utf8(read(&ca).stdout).unwrap(), "root");
    let other = certs.path().join("other.pem");
    fs::write(&other, new_authority().pem()).unwrap();
    assert_eq!(read(&other).status.code(), Some(2), "only its own authority vouches for it");
    server.send_signal(Signal::TERM);
    assert_eq!(server.wait_for_exit().0.code(), Some(0));
    assert!(!ca.exists() && !certs.path().join("vault-key.pem").exists());
}

/// A home with a configuration, an authority, and certificates of it for server and client.
fn home_with_certificates(listeners: &dyn Fn(&Path) -> String) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let authority = new_authority();
    fs::write(home.path().join("ca.pem"), authority.pem()).unwrap();
    issue_certificate(&authority, home.path(), "server");
    issue_certificate(&authority, home.path(), "client");
    let text = format!("storage \"inmem\" {{}}\n{}", listeners(home.path()));
    fs::write(home.path().join("server.hcl"), text).unwrap();
    home
}

fn plain_listener() -> &'static str {
    "listener \"tcp\" {\n address = \"127.0.0.1:0\"\n tls_disable = true\n}"
}

fn listener_with_client_certs(version: &'static str) -> Box<dyn Fn(&Path) -> String> {
    Box::new(move |home| {
        format!(
            r#"
            listener "tcp" {{
                address         = "127.0.0.1:0"
                tls_cert_file   = "{home}/server.pem"
                tls_key_file    = "{home}/server.key"
                tls_min_version = "{version}"
                tls_require_and_verify_client_cert = true
                tls_client_ca_file = "{home}/ca.pem"
            }}
            {}
            listener "unix" {{
                address     = "{home}/api.sock"
                socket_mode = "0660"
            }}
            "#,
            plain_listener(),
            home = home.display(),
        )
    })
}

fn start_server(home: tempfile::TempDir) -> StrongroomProcess {
    let file = home.path().join("server.hcl");
    StrongroomProcess::start_with_config(&file, home, "https://localhost")
}

fn new_authority() -> ListenerTestCa {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue_certificate(authority: &ListenerTestCa, home: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.signed_by(&key, authority).unwrap();
    fs::write(home.join(format!("{name}.pem")), cert.pem()).unwrap();
    fs::write(home.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// A connection with the client's certificate, its handshake done.
fn connect_tls(
    server: &StrongroomProcess,
    home: &Path,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<TlsConnection, String> {
    connect_tls_with(server, home, versions, true)
}

/// TLS 1.3 tells a client only after its handshake that it isn't wanted.
fn connect_tls_with(
    server: &StrongroomProcess,
    home: &Path,
    versions: &[&'static rustls::SupportedProtocolVersion],
    with_certificate: bool,
) -> Result<TlsConnection, String> {
    let read = |name: &str| CertificateDer::from_pem_file(home.join(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(read("ca.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = if with_certificate {
        let key = PrivateKeyDer::from_pem_file(home.join("client.key")).unwrap();
        config.with_client_auth_cert(vec![read("client.pem")], key).unwrap()
    } else {
        config.with_no_client_auth()
    };
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let address = server.address().replace("https://localhost", "127.0.0.1");
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|error| error.to_string())?;
    }
    Ok(stream)
}

/// The certificate that the server has shown.
fn presented_certificate(stream: &TlsConnection) -> CertificateDer<'static> {
    stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
}
