//! Other entrances than a socket that the server makes: sockets that it was handed, standard input and output, and
//! options of the command line that override a configuration.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use nbdbox_tests::{nbdbox, plugin, run};
use rustix::process::Signal;

use super::scene::Scene;

fn wasm(name: &str) -> String {
    plugin(name).display().to_string()
}

/// A configuration with two listeners. Its rules are for the first.
fn configuration(scene: &Scene) {
    let text = format!(
        "[[listener]]\nname = \"first\"\nunix = \"socket\"\n[[listener]]\nname = \"other\"\nunix = \"other\"\n\
         [tenant.a]\nclients = [{{ listener = \"first\" }}]\n[[tenant.a.export]]\nname = \"x\"\nplugin = \"{}\"\n",
        wasm("pattern")
    );
    scene.write("nbdbox.toml", text);
}

/// Runs a Python script with libnbd's `h`, which starts its server itself: `command` has the server's words.
fn python(scene: &Scene, words: &[&str], script: &str) -> String {
    let program = nbdbox().display().to_string();
    let words: Vec<&str> = [&*program].iter().chain(words).copied().collect();
    let script = format!("import nbd, sys\nh = nbd.NBD()\ncommand = {words:?}\n{script}");
    let mut python = Command::new("/usr/bin/python3");
    let like = scene.command([""; 0]);
    for (name, value) in like.get_envs() {
        python.env(name, value.unwrap_or_default());
    }
    python.env_remove("NBDBOX_LOG");
    python
        .current_dir(scene.path(""))
        .args(["-c", &script])
        .stdin(Stdio::null());
    nbdbox_tests::Run::from(scene.launch(python).end()).ok()
}

#[test]
fn a_socket_that_was_handed_over_is_used() {
    for words in [
        &["serve"][..],
        &["serve", "-p", "0"],
        &["serve", "-U", "socket"],
    ] {
        let scene = Scene::new();
        let pattern = wasm("pattern");
        let words: Vec<&str> = words.iter().copied().chain([&*pattern]).collect();
        let script =
            "h.connect_systemd_socket_activation(command)\nprint(h.get_size())\nh.shutdown()";
        assert_eq!(python(&scene, &words, script).trim(), "1048576");
        assert!(!scene.path("socket").exists());
    }
}

#[test]
fn an_authors_server_uses_a_socket_that_was_handed_over() {
    for words in [&["dev"][..], &["dev", "-U", "socket"]] {
        let scene = Scene::new();
        let pattern = wasm("pattern");
        let words: Vec<&str> = words.iter().copied().chain([&*pattern]).collect();
        let script = "h.connect_systemd_socket_activation(command)\nprint('size', h.get_size())\nh.shutdown()";
        let printed = python(&scene, &words, script);
        assert!(printed.contains("size 1048576"), "{printed}");
        assert!(!scene.path("socket").exists());
    }
}

#[test]
fn all_sockets_that_were_handed_over_are_used_and_names_are_in_the_log() {
    let scene = Scene::new();
    let like = scene.command(["serve", "-P", "pid", "-v", "--print-uri", &wasm("pattern")]);
    let mut activate = Command::new("systemd-socket-activate");
    for name in ["socket", "other"] {
        activate.arg("-l").arg(scene.path(name));
    }
    activate.arg("--fdname=one:two");
    activate
        .arg("-E")
        .arg(format!("TMPDIR={}", scene.temporary().display()));
    activate
        .arg("-E")
        .arg("XDG_CACHE_HOME")
        .arg(like.get_program())
        .args(like.get_args());
    for (name, value) in like.get_envs() {
        activate.env(name, value.unwrap_or_default());
    }
    activate.current_dir(scene.path("")).stdin(Stdio::null());
    let mut server = scene.launch(activate);
    let socket = scene.path("socket");
    // The first client starts the server.
    server.wait_for(|| UnixStream::connect(&socket).is_ok());
    server.wait_for(|| scene.path("pid").exists());
    for name in ["socket", "other"] {
        let uri = format!("nbd+unix:///?socket={}", scene.path(name).display());
        assert_eq!(run("nbdinfo", ["--size", &uri]).ok().trim(), "1048576");
    }
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(ended.log.contains("two"), "{}", ended.log);
}

#[test]
fn sockets_of_another_process_are_none_of_ours_and_a_wrong_number_is_refused() {
    let scene = Scene::new();
    let serve = |pid: &str, count: &str| {
        let script = format!("export LISTEN_PID={pid} LISTEN_FDS={count}; exec \"$@\"");
        let mut shell = Command::new("sh");
        let words = [
            "serve",
            &wasm("pattern"),
            "--run",
            "nbdinfo --size \"$uri\"; echo ${LISTEN_FDS-none}",
        ];
        let like = scene.command(words);
        shell
            .args(["-c", &script, "sh"])
            .arg(like.get_program())
            .args(like.get_args());
        for (name, value) in like.get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        shell.current_dir(scene.path("")).env_remove("NBDBOX_LOG");
        scene.launch(shell).end()
    };
    assert_eq!(serve("1", "1").stdout, "1048576\nnone\n");
    assert_eq!(serve("$$", "0").stdout, "1048576\nnone\n");
    for (count, words) in [
        ("many", "LISTEN_FDS=many"),
        ("1", "inherited socket"),
        ("-1", "LISTEN_FDS"),
    ] {
        let ended = serve("$$", count);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
        assert!(ended.log.contains(words), "{}", ended.log);
    }
}

#[test]
fn one_client_on_standard_input_and_output() {
    let scene = Scene::new();
    let words = ["serve", "-s", &wasm("memory"), "size=8M"];
    let script = "\
h.connect_command(command)
h.pwrite(b'x' * 100000, 5)
print(h.get_size(), h.pread(100000, 5) == b'x' * 100000)
h.shutdown()
";
    assert_eq!(python(&scene, &words, script).trim(), "8388608 True");
    scene.assert_clean();
}

#[test]
fn one_client_on_two_pipes() {
    let scene = Scene::new();
    let words = ["serve", "--single", &wasm("pattern"), "size=64M"];
    // libnbd needs one socket, so this script copies between the socket and the pipes.
    let script = "\
import socket, subprocess, threading
server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
ours, theirs = socket.socketpair()
def up():
    while data := theirs.recv(65536):
        server.stdin.write(data)
    server.stdin.close()
def down():
    while data := server.stdout.read(1 << 20):
        theirs.sendall(data)
    theirs.close()
threads = [threading.Thread(target=work) for work in (up, down)]
[thread.start() for thread in threads]
h.connect_socket(ours.detach())
print(sum(len(h.pread(1 << 20, offset << 20)) for offset in range(64)))
h.shutdown()
[thread.join() for thread in threads]
print(server.wait())
";
    assert_eq!(python(&scene, &words, script), "67108864\n0\n");
    scene.assert_clean();
}

#[test]
fn one_client_of_a_configuration() {
    let scene = Scene::new();
    configuration(&scene);
    let script = "\
h.set_export_name('x')
h.connect_command(command)
print(h.get_size())
h.shutdown()
";
    let printed = python(&scene, &["serve", "--config", "nbdbox.toml", "-s"], script);
    assert_eq!(printed.trim(), "1048576");
    assert!(!scene.path("other").exists());
    scene.assert_clean();
}

#[test]
fn a_configuration_and_a_command() {
    let scene = Scene::new();
    configuration(&scene);
    let script = "echo $uri $exportname; nbdinfo --size \"$uri\"; test -e other && echo other";
    let ran = scene.run([
        "serve",
        "--config",
        "nbdbox.toml",
        "-e",
        "x",
        "--run",
        script,
    ]);
    let uri = format!("nbd+unix:///x?socket={}", scene.path("socket").display());
    assert_eq!(ran.ok(), format!("{uri} x\n1048576\nother\n"));
    scene.assert_clean();
}

#[test]
fn a_configuration_on_a_private_socket() {
    let scene = Scene::new();
    configuration(&scene);
    let script = "nbdinfo --size \"$uri\"; ls socket other; echo $unixsocket";
    let ran = scene.run([
        "serve",
        "--config",
        "nbdbox.toml",
        "-U",
        "-",
        "-e",
        "x",
        "--run",
        script,
    ]);
    let printed = ran.ok();
    assert!(printed.starts_with("1048576\n/"), "{printed}");
    assert!(
        printed.contains(&scene.temporary().display().to_string()),
        "{printed}"
    );
    scene.assert_clean();
}

#[test]
fn it_ends_with_the_process_that_started_it() {
    let scene = Scene::new();
    let mut shell = Command::new("sh");
    let words = [
        "serve",
        "-U",
        "socket",
        "-P",
        "pid",
        "--exit-with-parent",
        &wasm("pattern"),
    ];
    let like = scene.command(words);
    shell
        .args(["-c", "\"$@\" & wait", "sh"])
        .arg(like.get_program())
        .args(like.get_args());
    for (name, value) in like.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    shell.current_dir(scene.path(""));
    let mut parent = scene.launch(shell);
    parent.wait_for(|| scene.path("pid").exists());
    let pid = fs::read_to_string(scene.path("pid")).unwrap();
    parent.signal(Signal::KILL);
    let _ = parent.end();
    let process = format!("/proc/{}", pid.trim());
    let start = std::time::Instant::now();
    while fs::exists(&process).unwrap() && scene.path("pid").exists() {
        assert!(
            start.elapsed().as_secs() < 60,
            "the server is still running"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    scene.assert_clean();
}

#[test]
fn paths_are_any_bytes() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStrExt as _;
    let scene = Scene::new();
    let odd = |name: &[u8]| OsStr::from_bytes(name).to_owned();
    let folder = scene.path("").join(odd(b"f\xff"));
    fs::create_dir(&folder).unwrap();
    fs::copy(plugin("file"), folder.join(odd(b"p\xfe.wasm"))).unwrap();
    fs::copy(plugin("cow"), folder.join(odd(b"c\xfe.wasm"))).unwrap();
    for name in [&b"d\xff"[..], b"o\xff"] {
        fs::File::create(folder.join(odd(name)))
            .unwrap()
            .set_len(if name[0] == b'o' { 1_114_112 } else { 1 << 20 })
            .unwrap();
    }
    let words: Vec<OsString> = [
        &b"serve"[..], b"-U", b"f\xff/s\xff", b"-P", b"f\xff/pid\xff", b"--admin", b"f\xff/admin\xff", b"--filter",
        b"f\xff/c\xfe.wasm,blob.overlay=f\xff/o\xff:rw", b"--blob", b"disk=f\xff/d\xff:ro", b"f\xff/p\xfe.wasm", b"--run",
        b"nbdinfo --size \"$uri\"; ls \"$unixsocket\" >/dev/null && curl -s --unix-socket f\xff/admin\xff http://localhost/exports",
    ]
    .map(odd)
    .into();
    let printed = scene.run(&words).ok();
    let (size, json) = printed.split_once('\n').unwrap();
    assert_eq!(size, "1048576");
    assert!(
        json.contains('\u{fffd}') && json.contains("exports"),
        "{json}"
    );
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        4,
        "socket, admin and pidfile are gone"
    );

    let config = "[[listener]]\nname = \"l\"\nunix = \"s\"\n[tenant.a]\nclients = [{ listener = \"l\" }]\n\
                  [[tenant.a.export]]\nname = \"\"\nplugin = \"PLUGIN\"\nblobs = { disk = \"disk:ro\" }\n";
    fs::write(
        folder.join(odd(b"c\xff.toml")),
        config.replace("PLUGIN", &wasm("file")),
    )
    .unwrap();
    fs::File::create(folder.join("disk"))
        .unwrap()
        .set_len(2 << 20)
        .unwrap();
    let words: Vec<OsString> = [
        &b"serve"[..],
        b"--config",
        b"f\xff/c\xff.toml",
        b"--run",
        b"nbdinfo --size \"$uri\"",
    ]
    .map(odd)
    .into();
    assert_eq!(scene.run(&words).ok(), "2097152\n");
}
