//! `exitlast` and `exitwhen`: the server ends by itself.

use std::fs;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use nbd_proto::Framing;
use nbdbox_tests::{Client, Server, nbdbox, plugin, run};
use tempfile::TempDir;

use super::super::compare::options;

fn serve(filter: &str) -> Server {
    let mut words = options(&[filter]);
    words.push(plugin("pattern").display().to_string());
    Server::start(words)
}

fn client(server: &Server) -> Client {
    Client::connect(&server.socket(), Framing::Structured)
}

#[test]
fn a_server_ends_with_its_last_client() {
    let server = serve("exitlast");
    let (mut one, two) = (client(&server), client(&server));
    drop(two);
    one.read(0, 512).unwrap();
    drop(one);
    let exit = server.ended();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
}

#[test]
fn a_server_ends_when_a_file_is_there() {
    let folder = TempDir::with_prefix("nbdbox-stop-").unwrap();
    let file = folder.path().join("stop");
    let server = serve(&format!(
        "exitwhen,exit-when-poll=1,exit-when-file-created={}",
        file.display()
    ));
    let mut stays = client(&server);
    fs::write(&file, "").unwrap();
    // The server takes no new client, and the connected one may go on.
    let run = run("nbdinfo", ["--size", &server.uri()]);
    assert_ne!(run.code, 0, "{}", run.stdout);
    stays.read(0, 512).unwrap();
    drop(stays);
    let exit = server.ended();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
}

#[test]
fn an_idle_server_looks_whether_a_process_or_a_file_is_gone() {
    let mut sleeper = std::process::Command::new("sleep")
        .arg("3600")
        .spawn()
        .unwrap();
    let folder = TempDir::with_prefix("nbdbox-stop-").unwrap();
    let file = folder.path().join("stop");
    fs::write(&file, "").unwrap();
    let servers = [
        serve(&format!(
            "exitwhen,exit-when-poll=1,exit-when-process-exits={}",
            sleeper.id()
        )),
        serve(&format!(
            "exitwhen,exit-when-poll=1,exit-when-file-deleted={}",
            file.display()
        )),
    ];
    for server in &servers {
        client(server).read(0, 512).unwrap();
    }
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    fs::remove_file(file).unwrap();
    for server in servers {
        let exit = server.ended();
        assert_eq!(exit.code, Some(0), "{}", exit.log);
    }
}

#[test]
fn a_server_ends_when_a_pipe_is_closed() {
    let folder = TempDir::with_prefix("nbdbox-stop-").unwrap();
    let socket = folder.path().join("socket");
    // The reading end is the server's standard input. The shell's child holds the other end while a file exists.
    let script = format!(
        "touch {0}/there; while [ -e {0}/there ]; do sleep 0.1; done | \
         exec {1} serve -U {2} --filter exitwhen,exit-when-poll=1,exit-when-pipe-closed=0 {3}",
        folder.path().display(),
        nbdbox().display(),
        socket.display(),
        plugin("pattern").display(),
    );
    let mut child = std::process::Command::new("sh")
        .args(["-c", &script])
        .spawn()
        .unwrap();
    let start = Instant::now();
    while UnixStream::connect(&socket).is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the server doesn't listen"
        );
        thread::sleep(Duration::from_millis(10));
    }
    Client::connect(&socket, Framing::Structured)
        .read(0, 512)
        .unwrap();
    assert!(child.try_wait().unwrap().is_none());
    fs::remove_file(folder.path().join("there")).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_configuration_has_no_filter_that_ends_the_server() {
    let folder = TempDir::with_prefix("nbdbox-exit-").unwrap();
    let path = folder.path().join("nbdbox.toml");
    let text = format!(
        r#"
        [[listener]]
        unix = "{0}/socket"
        name = "here"

        [tenant.alice]
        clients = [{{ listener = "here" }}]

        [[tenant.alice.export]]
        name = ""
        plugin = "{1}"
        filters = [{{ plugin = "exitlast" }}]
        "#,
        folder.path().display(),
        plugin("pattern").display()
    );
    fs::write(&path, text).unwrap();
    let checked = run(nbdbox(), ["check".as_ref(), path.as_os_str()]);
    assert_ne!(checked.code, 0);
    assert!(
        checked
            .stderr
            .contains("the filter exitlast: it ends the server"),
        "{}",
        checked.stderr
    );
}
