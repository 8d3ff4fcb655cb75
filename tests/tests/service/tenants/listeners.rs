//! Listeners on sockets of every kind.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use nbdbox_tests::{Server, run};

use super::scene::{export, info, tenant};

fn alice() -> String {
    tenant("alice", "") + &export("alice", "disk", "pattern", "settings = { size = \"1M\" }")
}

#[test]
fn a_unix_socket_has_the_mode_and_owner_that_were_asked_for() {
    let own = rustix::process::getgid().as_raw();
    let with = format!("FOLDER/alice\"\nmode = \"0620\"\nowner = \":{own}\"");
    let server = Server::hosting(&alice().replace("FOLDER/alice\"", &with));
    let metadata = server.folder().join("alice").metadata().unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o620);
    assert_eq!(metadata.gid(), own);
    assert_eq!(info(&server, "alice", "disk", "--size").ok(), "1048576\n");
}

#[test]
fn tcp_v4_and_v6_listen_on_one_port() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let tcp =
        format!("[[listener]]\ntcp = \"0.0.0.0:{port}\"\n[[listener]]\ntcp = \"[::]:{port}\"\n");
    let config = tcp
        + &alice().replace(
            "clients = [",
            "clients = [{ source = \"127.0.0.1\" }, { source = \"::1\" }, ",
        );
    let server = Server::hosting(&config);
    for host in ["127.0.0.1", "[::1]"] {
        let uri = format!("nbd://{host}:{port}/disk");
        assert_eq!(run("nbdinfo", ["--size", &uri]).ok(), "1048576\n", "{host}");
    }
    drop(server);
}

#[test]
fn systemds_sockets_are_used_and_it_is_told_when_clients_can_come() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("given");
    let notified = folder.path().join("notify");
    let config = "[[listener]]\ninherited = \"nbd\"\n".to_owned()
        + &alice()
            .replace(
                "clients = [",
                "clients = [{ listener = \"inherited socket `nbd`\" }, ",
            )
            .replace("FOLDER", folder.path().to_str().unwrap());
    let path = folder.path().join("nbdbox.toml");
    std::fs::write(&path, config).unwrap();
    let notify = std::os::unix::net::UnixDatagram::bind(&notified).unwrap();
    // Does what systemd does, in a few lines: passes the socket as descriptor 3, and the id of the process that it's
    // for.
    let script = "\
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_FDNAMES='nbd', LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=sys.argv[2])
os.execv(sys.argv[3], [sys.argv[3], 'serve', '--config', sys.argv[4]])
";
    let mut child = Command::new("python3")
        .args(["-c", script])
        .args([&socket, &notified])
        .arg(nbdbox_tests::nbdbox())
        .arg(&path)
        .spawn()
        .unwrap();
    let mut words = [0; 256];
    let mut told = || {
        let length = notify.recv(&mut words).unwrap();
        String::from_utf8_lossy(&words[..length]).into_owned()
    };
    assert_eq!(told(), "READY=1\n");
    let uri = format!("nbd+unix:///disk?socket={}", socket.display());
    assert_eq!(run("nbdinfo", ["--size", &uri]).ok(), "1048576\n");
    let _ = run("kill", ["-HUP", &child.id().to_string()]).ok();
    let reloading = told();
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert_eq!(told(), "READY=1\n");
    assert_eq!(run("nbdinfo", ["--size", &uri]).ok(), "1048576\n");
    let _ = run("kill", [child.id().to_string()]).ok();
    assert_eq!(told(), "STOPPING=1\n");
    assert!(child.wait().unwrap().success());
}

/// The state of a vsock port: `unknown` if the kernel has no vsock, else `free` or `taken`.
fn vsock(port: u32) -> String {
    let script = "\
import errno, socket, sys
try:
    s = socket.socket(socket.AF_VSOCK)
    s.bind((socket.VMADDR_CID_ANY, int(sys.argv[1])))
    print('free')
except OSError as error:
    print('taken' if error.errno == errno.EADDRINUSE else 'unknown')
";
    let port = port.to_string();
    run("/usr/bin/python3", ["-c", script, &port])
        .ok()
        .trim()
        .to_owned()
}

/// The hypervisor decides whether a client can connect through it: few machines are guests of themselves.
#[test]
fn a_vsock_port_is_taken_where_the_kernel_has_them() {
    let port = (1 << 20) | std::process::id();
    let before = vsock(port);
    let config = format!("[[listener]]\nvsock = {port}\n") + &alice();
    if before == "unknown" {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nbdbox.toml");
        let config = config.replace("FOLDER", folder.path().to_str().unwrap());
        std::fs::write(&path, config).unwrap();
        let ran = run(
            nbdbox_tests::nbdbox(),
            ["serve", "--config", path.to_str().unwrap()],
        );
        assert_eq!(ran.code, 1);
        assert!(
            ran.stderr.contains(&format!("vsock port {port}")),
            "{}",
            ran.stderr
        );
        return;
    }
    assert_eq!(before, "free");
    let server = Server::hosting(&config);
    assert_eq!(vsock(port), "taken");
    assert!(
        server
            .log()
            .contains(&format!("listens on vsock port {port}")),
        "{}",
        server.log()
    );
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(vsock(port), "free");
}

#[test]
fn systemd_accepts_the_units_and_their_exposure_is_low() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/systemd");
    let folder = tempfile::tempdir().unwrap();
    let [service, socket] = ["nbdbox.service", "nbdbox.socket"].map(|name| {
        let text = std::fs::read_to_string(units.join(name)).unwrap();
        // systemd-analyze needs the program to exist.
        let text = text.replace(
            "/usr/local/bin/nbdbox",
            nbdbox_tests::nbdbox().to_str().unwrap(),
        );
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    });
    let verified = run("systemd-analyze", ["verify", &service, &socket]);
    assert_eq!((verified.code, &verified.stderr[..]), (0, ""));
    // The exposure is at most 2.0 of 10, in tenths.
    let judge = [
        "security",
        "--offline=true",
        "--threshold=20",
        "--no-pager",
        &service,
    ];
    let judged = run("systemd-analyze", judge);
    assert_eq!(judged.code, 0, "{}", judged.stdout);
}
