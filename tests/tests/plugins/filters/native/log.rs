//! `log` writes the same lines as nbdkit's.

use std::fs;

use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Server, nbdbox, plugin, run};
use tempfile::TempDir;

use super::Pair;

/// The lines without their times. Three differ and are left out or cut: the greeting of a client; the range of extents,
/// because nbdkit's file plugin reports more than the request's; and a disconnect, which may come late.
fn lines(text: &str) -> Vec<&str> {
    let lines = text
        .lines()
        .filter_map(|line| line.split_once("connection="));
    let lines = lines.map(|(_, line)| line);
    let different = [" Connect ", " Disconnect ", "...Extents "];
    let same = |line: &&str| !different.iter().any(|word| line.contains(word));
    lines.filter(same).collect()
}

#[test]
fn lines_are_those_of_nbdkits() {
    let pair = Pair::new(
        &[
            "log,logfile=FOLDER/log",
            "error,error-pread-rate=1,error-pread-file=FOLDER/inject",
        ],
        &["log", "error"],
        &[
            "logfile=FOLDER/log",
            "error-pread-rate=1",
            "error-pread-file=FOLDER/inject",
        ],
    );
    let injects = pair.in_folders("inject");
    for (socket, inject) in [pair.ours.socket(), pair.theirs.socket()]
        .iter()
        .zip(injects)
    {
        for _ in 0..2 {
            let mut client = Client::connect(socket, Framing::Structured);
            client.read(0, 512).unwrap();
            client.write(4096, &[0; 1000], CommandFlags::FUA).unwrap();
            client
                .write(4096, &[0; 1000], CommandFlags::empty())
                .unwrap();
            client.zero(0, 4096, CommandFlags::NO_HOLE).unwrap();
            client.trim(0, 4096, CommandFlags::empty()).unwrap();
            client.flush().unwrap();
            let _ = client.map(0, 65_536, 65_536);
            let _ = client.status(0, 512, CommandFlags::REQ_ONE).unwrap();
            fs::write(&inject, "").unwrap();
            client.read(0, 512).unwrap_err();
            fs::remove_file(&inject).unwrap();
        }
    }
    let [ours, theirs] = pair.in_folders("log");
    drop(pair.ours.stop());
    drop(pair.theirs);
    let [ours, theirs] = [ours, theirs].map(|log| fs::read_to_string(log).unwrap());
    assert_eq!(lines(&ours), lines(&theirs));
    assert!(ours.contains("error=EIO"), "{ours}");
    assert!(
        ours.contains("connection=2 Disconnect transactions=9"),
        "{ours}"
    );
}

#[test]
fn a_look_at_the_configuration_leaves_the_log_alone() {
    let folder = TempDir::with_prefix("nbdbox-log-").unwrap();
    let log = folder.path().join("calls");
    let config = format!(
        "[[listener]]\nname = \"l\"\nunix = \"FOLDER/socket\"\n[tenant.a]\nclients = [{{ listener = \"l\" }}]\n\
         [[tenant.a.export]]\nname = \"\"\nplugin = \"{}\"\n\
         filters = [{{ plugin = \"log\", settings = {{ logfile = \"{}\" }} }}]\n",
        plugin("pattern").display(),
        log.display()
    );
    let server = Server::hosting(&config);
    let check = || {
        let path = server.folder().join("nbdbox.toml");
        let _ = run(nbdbox(), ["check".as_ref(), path.as_os_str()]).ok();
    };
    check();
    assert!(
        !log.exists(),
        "the filter makes the log when a client connects"
    );
    let mut client = Client::connect(&server.socket(), Framing::Structured);
    client.read(0, 512).unwrap();
    // The filter writes a line soon after the call.
    let written = || fs::read_to_string(&log).unwrap_or_default();
    nbdbox_tests::until("the log has the read", || written().contains("...Read"));
    let before = written();
    check();
    assert_eq!(written(), before);
    client.read(0, 512).unwrap();
    drop(client);
    let _ = server.stop();
    let lines = written();
    assert!(lines.starts_with(&before), "{lines}");
    assert_eq!(lines.matches("...Read").count(), 2, "{lines}");
    assert_eq!(lines.matches(" Disconnect ").count(), 1, "{lines}");
}
