//! The server as a process: signals, and a life over several starts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;

use crate::process::{
    StrongroomProcess, dev_server, dev_server_with, run_with_input, strongroom_command,
};

#[test]
fn sigterm_and_sigint_seal_and_stop() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = dev_server();
        server.send_signal(signal);
        let (status, lines, _) = server.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{lines:#?}");
        assert!(lines.iter().any(|line| line == "==> Vault shutdown triggered"), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("the server is sealed")), "{lines:#?}");
    }
}

#[test]
fn requests_finish_despite_repeated_sigterm() {
    let server = dev_server_with(&["-dev-kv-v1"]);
    let mut begun = begin_request(&server);
    server.send_signal(Signal::TERM);
    server.wait_for_line("shutdown triggered");
    server.send_signal(Signal::TERM);
    begun.write_all(b"\"b\"}").unwrap();
    let mut answer = String::new();
    begun.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 204"), "{answer}");
    assert_eq!(server.wait_for_exit().0.code(), Some(0));
}

#[test]
fn interrupt_during_shutdown_exits_at_once() {
    let server = dev_server_with(&["-dev-kv-v1"]);
    let _begun = begin_request(&server);
    server.send_signal(Signal::INT);
    server.wait_for_line("shutdown triggered");
    server.send_signal(Signal::INT);
    server.wait_for_line("interrupted before the server was sealed");
    assert_eq!(server.wait_for_exit().0.code(), Some(1));
}

#[test]
fn dev_stores_its_root_token_by_default() {
    let server = dev_server();
    let found = server.command(&["token", "lookup", "-field=id"]).output().unwrap();
    assert_eq!(String::from_utf8(found.stdout).unwrap(), "root");
    let server = dev_server_with(&["-dev-no-store-token"]);
    assert!(!server.home().join(".vault-token").exists());
    let found = server.command(&["token", "lookup"]).output().unwrap();
    assert_eq!(found.status.code(), Some(2));
}

/// The reference prints the whole table there (vault#32089): who asks for silence means it.
#[test]
fn unstorable_token_is_printed_unless_no_print() {
    let server = dev_server();
    let home = tempfile::tempdir().unwrap();
    // A folder can't be replaced by a file.
    std::fs::create_dir_all(home.path().join(".vault-token/x")).unwrap();
    let login = |flags: &[&str]| {
        let mut command = strongroom_command(home.path(), &[&["login"], flags, &["root"]].concat());
        let done = command.env("VAULT_ADDR", server.address()).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(done.stdout), text(done.stderr))
    };
    let (shown, told) = login(&["-no-print"]);
    assert_eq!(shown, "");
    assert!(told.contains("Error storing the token"), "{told}");
    assert!(!told.contains("root\n"), "{told}");
    assert!(login(&[]).0.contains("token_policies"));
    assert_eq!(login(&["-field=token"]).0, "root");
}

/// `unwrap` looks into the data of a KV version 2 secret, and loses nothing to a wrong field.
#[test]
fn unwrap_prints_all_if_the_field_is_missing() {
    let server = dev_server();
    command_output(&server, &["kv", "put", "secret/a", "a=b", "n=1"]);
    let unwrap = |field: &str| {
        let token = command_output(
            &server,
            &["kv", "get", "-wrap-ttl=5m", "-field=wrapping_token", "secret/a"],
        );
        let flag = format!("-field={field}");
        let done = server.command(&["unwrap", &flag, &token]).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    assert_eq!(unwrap("a"), (Some(0), "b".to_owned()));
    assert_eq!(unwrap("data"), (Some(0), "map[a:b n:1]".to_owned()));
    let (code, shown) = unwrap("nope");
    assert_eq!(code, Some(1));
    assert!(shown.contains("map[a:b n:1]"), "{shown}");
}

#[test]
fn tls_to_a_plain_http_server_is_explained() {
    let server = dev_server();
    let address = server.address().replace("http://", "-address=https://");
    let done = server.command(&["read", &address, "kv/a"]).output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(told.contains("the server does not support TLS at this address"), "{told}");
}

#[test]
fn dev_mounts_the_chosen_kv_version() {
    for (flags, version) in [(&[][..], "2"), (&["-dev-kv-v1"], "1"), (&["-dev-no-kv"], "")] {
        let server = dev_server_with(flags);
        let shown =
            server.command(&["read", "-format=json", "sys/mounts/secret"]).output().unwrap();
        assert_eq!(shown.status.success(), !version.is_empty(), "{flags:?}: {shown:?}");
        let shown = String::from_utf8(shown.stdout).unwrap();
        let said = shown.contains(&format!("\"version\": \"{version}\""));
        assert!(said || version.is_empty(), "{flags:?}: {shown}");
    }
}

#[test]
fn dev_registers_a_plugin_folder() {
    let folder = tempfile::tempdir().unwrap();
    let flag = format!("-dev-plugin-dir={}", folder.path().display());
    let server = dev_server_with(&[&flag]);
    let status = server.command(&["status"]).output().unwrap();
    assert_eq!(status.status.code(), Some(0));

    // What can't be a program is passed over with a warning.
    let readme = folder.path().join("README");
    std::fs::write(&readme, "no program").unwrap();
    drop(dev_server_with(&[&flag]));

    // A program that is no plug-in stops the start, before anybody is told that the server runs.
    std::fs::copy("/bin/true", folder.path().join("true")).unwrap();
    // As everything is that is made with umask 002.
    for path in [folder.path(), &folder.path().join("true")] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o775)).unwrap();
    }
    let arguments = ["server", "-dev", "-dev-listen-address=127.0.0.1:0", &flag];
    let refused = strongroom_command(&server.home(), &arguments).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("can't be registered"), "{told}");
    assert!(told.contains("it ended (exit status: 0) before it was ready"), "{told}");
    assert!(told.contains("the group may write to this"), "{told}");
    assert!(!String::from_utf8(refused.stdout).unwrap().contains("started"));
}

#[test]
fn data_survives_a_restart() {
    let home = tempfile::tempdir().unwrap();
    write_config(home.path(), "error");
    write_certificate(home.path());
    let server = start_server(home);

    let done = server.command(&["operator", "init", "-key-shares=1", "-key-threshold=1"]).output();
    let shown = String::from_utf8(done.unwrap().stdout).unwrap();
    let after = |label: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(label));
        line.unwrap_or_else(|| panic!("no {label:?} in {shown}")).to_owned()
    };
    let (share, token) = (after("Unseal Key 1: "), after("Initial Root Token: "));
    // Secrets go in through standard input, so no list of processes shows them.
    let unsealed = run_with_input(server.command(&["operator", "unseal", "-"]), &share);
    assert_eq!(unsealed.status.code(), Some(0), "{unsealed:?}");
    let known = run_with_input(server.command(&["login", "-no-print", "-"]), &token);
    assert_eq!(known.status.code(), Some(0), "{known:?}");
    command_output(&server, &["secrets", "enable", "-version=1", "kv"]);
    command_output(&server, &["write", "kv/a", "b=c"]);
    server.send_signal(Signal::TERM);
    let (status, lines, home) = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{lines:#?}");

    let server = start_server(home);
    let sealed = server.command(&["status"]).output().unwrap();
    assert_eq!(sealed.status.code(), Some(2));
    let refused = server.command(&["read", "kv/a"]).output().unwrap();
    assert!(String::from_utf8(refused.stderr).unwrap().contains("* Vault is sealed"));
    run_with_input(server.command(&["operator", "unseal", "-"]), &share);
    assert_eq!(command_output(&server, &["read", "-field=b", "kv/a"]), "c");
}

#[test]
fn sighup_reads_certificates_and_log_level_again() {
    let home = tempfile::tempdir().unwrap();
    write_config(home.path(), "error");
    write_certificate(home.path());
    let server = start_server(home);
    let status = || server.command(&["status", "-field=sealed"]).output().unwrap();
    assert_eq!(status().status.code(), Some(2));

    // The server still shows the certificate that is no longer in the file.
    write_certificate(&server.home());
    let stranger = status();
    assert_eq!(stranger.status.code(), Some(1));
    let told = String::from_utf8(stranger.stderr).unwrap();
    assert!(told.contains("the server's certificate "), "{told}");

    write_config(&server.home(), "info");
    server.send_signal(Signal::HUP);
    // A line of this level is only there if the level was read, too.
    server.wait_for_line("certificates and log level were reloaded");
    assert_eq!(status().status.code(), Some(2));

    // What can't be read changes nothing.
    std::fs::write(server.home().join("server.hcl"), "listener").unwrap();
    server.send_signal(Signal::HUP);
    server.wait_for_line("the configuration can't be reloaded");
    assert_eq!(status().status.code(), Some(2));
}

#[test]
fn data_folder_in_use_is_refused() {
    let home = tempfile::tempdir().unwrap();
    write_config(home.path(), "error");
    write_certificate(home.path());
    let server = start_server(home);
    let config = format!("-config={}", server.home().join("server.hcl").display());
    let second = strongroom_command(&server.home(), &["server", &config]).output().unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(second.stdout.is_empty(), "{second:?}");
}

fn start_server(home: tempfile::TempDir) -> StrongroomProcess {
    StrongroomProcess::start_with_config(&home.path().join("server.hcl"), home, "https://localhost")
}

/// A request that the server has begun to read; `"b"}` is still to come.
fn begin_request(server: &StrongroomProcess) -> TcpStream {
    let mut stream = TcpStream::connect(server.address().trim_start_matches("http://")).unwrap();
    let request = "PUT /v1/secret/a HTTP/1.1\r\nhost: x\r\nx-vault-token: root\r\n\
                   content-length: 9\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = [0; 25];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{\"a\":").unwrap();
    stream
}

fn command_output(server: &StrongroomProcess, arguments: &[&str]) -> String {
    let done = server.command(arguments).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{arguments:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

fn write_config(home: &Path, level: &str) {
    let text = format!(
        r#"
        storage "embedded" {{ path = "{home}/data" }}
        listener "tcp" {{
            address = "127.0.0.1:0"
            tls_cert_file = "{home}/cert.pem"
            tls_key_file = "{home}/key.pem"
        }}
        log_level = "{level}"
        "#,
        home = home.display(),
    );
    std::fs::write(home.join("server.hcl"), text).unwrap();
}

/// A new key, and a certificate that it signed itself.
fn write_certificate(home: &Path) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.self_signed(&key).unwrap();
    std::fs::write(home.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(home.join("key.pem"), key.serialize_pem()).unwrap();
}
