//! A plugin that imports WASI gets clocks, random numbers and a log, and nothing else.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use nbd_proto::Framing;
use nbd_proto::wire::command;
use nbdbox_tests::{Answer, Dialog, Neighbour, Server, guest, nbdbox, plugin, run};

const EPERM: u32 = 1;
const EIO: u32 = 5;

/// A server for the plugin that imports WASI.
fn wasi(options: &[&str], settings: &[&str]) -> Server {
    let plugin = guest("wasi").to_string_lossy().into_owned();
    let options = options.iter().copied();
    Server::start(
        options
            .chain([plugin.as_str()])
            .chain(settings.iter().copied()),
    )
}

/// The plugin that imports WASI, next to a neighbour at work in the same process.
struct Scene {
    server: Server,
    neighbour: Neighbour,
}

impl Scene {
    fn new(settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| {
            let (key, value) = setting.split_once('=').unwrap();
            format!("{key} = \"{value}\"")
        });
        let settings: Vec<String> = settings.collect();
        let config = format!(
            "[[listener]]\nname = \"all\"\nunix = \"FOLDER/socket\"\n\
             [tenant.bad]\nclients = [{{ listener = \"all\" }}]\n\
             [[tenant.bad.export]]\nname = \"\"\nplugin = \"{}\"\nsettings = {{ {} }}\n\
             [[tenant.bad.export]]\nname = \"good\"\nplugin = \"{}\"\nsettings = {{ size = \"1G\" }}\n",
            guest("wasi").display(),
            settings.join(", "),
            plugin("pattern").display(),
        );
        let server = Server::hosting(&config);
        let neighbour = Neighbour::start(&server, "good");
        Self { server, neighbour }
    }

    /// Checks that the server is alive and that the neighbour's reads were right.
    fn end(mut self) {
        self.neighbour.goes_on();
        self.neighbour.end();
        assert!(self.server.is_alive());
    }
}

fn connect(server: &Server) -> Dialog {
    Dialog::open(server, Framing::Structured)
}

/// Sends the read in which the plugin acts as its settings have it.
fn ask(dialog: &mut Dialog) -> Answer {
    dialog.ask(0, command::READ, 0, 8)
}

/// The number that the plugin returns.
fn number(settings: &[&str]) -> u64 {
    let scene = Scene::new(settings);
    let answer = ask(&mut connect(&scene.server));
    assert_eq!(answer.error, 0, "{settings:?}: {}", answer.text);
    scene.end();
    u64::from_be_bytes(answer.data.try_into().unwrap())
}

/// Checks that the export comes back after a pause, if an instance was lost.
fn assert_served_again(dialog: &mut Dialog) {
    let served = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(20));
        dialog.ask(0, command::READ, 1, 1).error == 0
    });
    assert!(served, "the export doesn't come back");
}

/// It reads the environment. Result: it is empty.
#[test]
fn the_servers_environment_is_not_the_plugins() {
    // The server has variables: it's a child of this test.
    assert!(std::env::vars_os().count() > 0);
    assert_eq!(number(&["do=environment"]), 0);
}

/// It reads the arguments. Result: there are none.
#[test]
fn the_servers_arguments_are_not_the_plugins() {
    assert_eq!(number(&["do=arguments"]), 0);
}

/// It requests the working directory. Result: there is none.
#[test]
fn there_is_no_working_directory() {
    assert_eq!(number(&["do=folder"]), 0);
}

/// It requests the open directories. Result: there are none.
#[test]
fn no_directory_is_open() {
    assert_eq!(number(&["do=preopens"]), 0);
}

/// It reads stdin. Result: end of file.
#[test]
fn there_is_nothing_to_read_on_stdin() {
    assert_eq!(number(&["do=stdin"]), 0);
}

/// It requests random numbers. Result: random numbers.
#[test]
fn random_numbers_are_random() {
    assert_ne!(number(&["do=random"]), number(&["do=random"]));
}

/// It prints escapes and a forged log line. Result: one escaped line of the log, under its name.
#[test]
fn what_is_printed_is_an_escaped_line_of_the_log() {
    let scene = Scene::new(&["do=stdout"]);
    let answer = ask(&mut connect(&scene.server));
    assert_eq!((answer.error, answer.data), (0, vec![0; 8]));
    let log = scene.server.log();
    scene.end();
    let printed = log.lines().find(|line| line.contains("printed "));
    let printed = printed.unwrap_or_else(|| panic!("no such line in\n{log}"));
    assert!(printed.contains("\\nforged line"), "{printed}");
    assert!(printed.contains("plugin=\"wasi\""), "{printed}");
    assert!(!log.contains('\x1b'), "{log}");
}

/// It calls exit. Result: EIO; a fresh instance serves the next request.
#[test]
fn exit_fails_the_request_and_the_server_lives() {
    let scene = Scene::new(&["do=exit"]);
    let mut dialog = connect(&scene.server);
    assert_eq!(ask(&mut dialog).error, EIO);
    assert_served_again(&mut dialog);
    let log = scene.server.log();
    scene.end();
    let told = log
        .lines()
        .any(|line| line.contains("the plugin called exit") && line.contains("plugin=\"wasi\""));
    assert!(told, "{log}");
}

/// It sleeps endlessly. Result: EIO at `wall`; others are served meanwhile.
#[test]
fn sleep_ends_at_the_limit_and_meanwhile_others_are_served() {
    let options = ["-t", "1", "--limit", "wall=300ms"];
    let server = wasi(&options, &["do=sleep"]);
    let mut sleeper = connect(&server);
    let mut neighbour = connect(&server);
    sleeper.send(0, command::READ, 0, 8);
    for _ in 0..20 {
        // On the same single worker thread.
        assert_eq!(neighbour.read(1, 4), [0; 4]);
    }
    assert!(
        !server.log().contains("took too long"),
        "others were served while it slept"
    );
    assert_eq!(sleeper.receive().error, EIO);
    let log = server.log();
    let told = log
        .lines()
        .any(|line| line.contains("the plugin took too long") && line.contains("wall=300ms"));
    assert!(told, "{log}");
    assert_served_again(&mut sleeper);
    neighbour.disconnect();
}

/// It sleeps within its limits. Result: the right answer, with no CPU time charged.
#[test]
fn a_nap_is_not_charged_as_cpu_time_whatever_others_do_meanwhile() {
    let server = wasi(&["-t", "1"], &["do=nap"]);
    let mut napping = connect(&server);
    let mut busy = connect(&server);
    napping.send(0, command::READ, 0, 8);
    for _ in 0..40 {
        let _zeroes = busy.read(4, 1);
    }
    let answer = napping.receive();
    assert_eq!(answer.error, 0, "{}\n{}", answer.text, server.log());
}

/// It connects a socket to the host. Result: access-denied; no connection arrives.
#[test]
fn a_socket_can_not_be_connected() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let open = listener.local_addr().unwrap().port().to_string();
    for port in ["1", &open] {
        assert_denied(&["do=socket", &format!("port={port}")], "access-denied");
    }
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock);
}

/// It sends datagrams, resolves names. Result: access-denied.
#[test]
fn there_are_no_datagrams_and_no_names_either() {
    assert_denied(&["do=datagrams"], "access-denied");
    // wasmtime's error if it may not look up names; an unknown name would have another one.
    assert_denied(&["do=lookup"], "permanent-resolver-failure");
}

/// Checks that the host denies the call with this error, which the plugin passes on. Nothing is even tried.
fn assert_denied(settings: &[&str], word: &str) {
    let scene = Scene::new(settings);
    let answer = ask(&mut connect(&scene.server));
    assert_eq!(answer.error, EPERM, "{}", answer.text);
    assert!(answer.text.contains(word), "{}", answer.text);
    scene.end();
}

/// Checks that wasmtime bounds what WASI takes of the host's memory and time. The words are wasmtime's.
fn assert_stopped(deed: &str, words: &str) {
    let scene = Scene::new(&[deed]);
    let mut dialog = connect(&scene.server);
    assert_eq!(ask(&mut dialog).error, EIO, "{deed}");
    assert_served_again(&mut dialog);
    let log = scene.server.log();
    scene.end();
    let told = log
        .lines()
        .any(|line| line.contains(words) && line.contains("plugin=\"wasi\""));
    assert!(told, "{deed}: no `{words}` in\n{log}");
}

/// It takes handles of WASI endlessly. Result: EIO; a fresh instance serves the next request.
#[test]
fn too_many_handles_are_eio() {
    assert_stopped("do=pollables", "resource table has no free keys");
}

/// It requests gigabytes of random numbers. Result: EIO; a fresh instance serves the next request.
#[test]
fn too_many_random_numbers_at_once_are_eio() {
    assert_stopped("do=random-flood", "exceeds limit 1048576");
}

#[test]
fn inspect_shows_that_it_imports_wasi_and_what_it_gets() {
    let plugin = guest("wasi");
    let report = run(nbdbox(), ["inspect".as_ref(), plugin.as_os_str()]).ok();
    for interface in [
        "wasi:cli/environment@0.2.",
        "wasi:cli/exit@0.2.",
        "wasi:clocks/monotonic-clock@0.2.",
        "wasi:filesystem/preopens@0.2.",
        "wasi:io/poll@0.2.",
        "wasi:random/random@0.2.",
        "wasi:sockets/tcp-create-socket@0.2.",
    ] {
        let line = format!("imports    {interface}");
        assert!(
            report.lines().any(|shown| shown.starts_with(&line)),
            "{interface}:\n{report}"
        );
    }
    let note = "note       it imports WASI, and gets clocks, random numbers and a log";
    assert!(report.lines().any(|line| line == note), "{report}");
}
