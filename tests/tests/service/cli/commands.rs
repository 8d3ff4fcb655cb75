//! `nbdbox serve`, `inspect` and `--help` for an operator: every option, and every way to end.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nbd_proto::wire;
use nbdbox_tests::{Raw, nbdbox, plugin, run, shell};
use rustix::fs::OFlags;
use rustix::process::Signal;

use super::scene::Scene;

fn wasm(name: &str) -> String {
    plugin(name).display().to_string()
}

/// Runs `serve` with these arguments and `--run SCRIPT`. Returns the script's output.
fn run_with(arguments: &[&str], script: &str) -> String {
    let scene = Scene::new();
    let printed = scene
        .run(["serve"].iter().chain(arguments).chain(&["--run", script]))
        .ok();
    scene.assert_clean();
    printed
}

// Where the server listens

#[test]
fn a_unix_socket_and_a_pidfile_come_when_it_listens_and_go_at_the_end() {
    let scene = Scene::new();
    let server = scene.serve(["-U", "socket", &wasm("pattern")]);
    let socket = fs::symlink_metadata(scene.path("socket")).unwrap();
    assert!(socket.file_type().is_socket());
    let pid = fs::read_to_string(scene.path("pid")).unwrap();
    assert_eq!(pid.trim(), server.pid().to_string());
    assert_eq!(
        run("nbdinfo", ["--size", &scene.uri()]).ok().trim(),
        "1048576"
    );
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert_eq!(
        (&ended.stdout[..], &ended.log[..]),
        ("", ""),
        "without an error the log is empty"
    );
    scene.assert_clean();
}

#[test]
fn a_dash_makes_a_private_socket() {
    let scene = Scene::new();
    let server = scene.serve(["-U", "-", "--print-uri", &wasm("pattern")]);
    let uri = server.stdout();
    let (_, socket) = uri.trim().split_once("?socket=").unwrap();
    let folder = std::path::Path::new(socket).parent().unwrap();
    assert_eq!(folder.parent().unwrap(), scene.temporary());
    assert_eq!(
        fs::metadata(folder).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(
        run("nbdinfo", ["--size", uri.trim()]).ok().trim(),
        "1048576"
    );
    assert_eq!(server.stop().status.code(), Some(0));
    scene.assert_clean();
}

#[test]
fn port_0_takes_any_that_is_free() {
    let scene = Scene::new();
    let server = scene.serve([
        "-i",
        "localhost",
        "-p",
        "0",
        "--print-uri",
        &wasm("pattern"),
    ]);
    let uri = server.stdout();
    assert!(uri.starts_with("nbd://") && !uri.contains(":0/"), "{uri}");
    assert_eq!(
        run("nbdinfo", ["--size", uri.trim()]).ok().trim(),
        "1048576"
    );
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    scene.assert_clean();
}

#[test]
fn a_pidfile_that_is_a_device_stays_one() {
    let scene = Scene::new();
    let device = scene.path("null");
    std::os::unix::fs::symlink("/dev/null", &device).unwrap();
    let ran = scene.run(["serve", "-P", "null", &wasm("pattern"), "--run", "true"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(fs::read_link(device).unwrap().to_str(), Some("/dev/null"));
    assert!(
        fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );
}

#[test]
fn a_port_can_be_chosen() {
    // The port was free a moment ago. If another process takes it now, the bind fails.
    let probe = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port().to_string();
    drop(probe);
    let arguments = ["-p", &port, "--print-uri", &wasm("pattern")];
    let printed = run_with(&arguments, "echo \"$uri $port\"");
    let uri = format!("nbd://127.0.0.1:{port}/");
    assert_eq!(printed, format!("{uri}\n{uri} {port}\n"));
}

#[test]
fn ipv6_addresses_stand_in_brackets() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: this machine has no IPv6");
        return;
    }
    let printed = run_with(
        &["-i", "::1", "-p", "0", &wasm("pattern")],
        "nbdinfo --size \"$uri\"",
    );
    assert_eq!(printed.trim(), "1048576");
}

// What the server serves

#[test]
fn without_a_name_it_is_the_default_export() {
    let script = "nbdinfo --size \"$uri\"; ! nbdinfo --size \"nbd+unix:///x?socket=$unixsocket\"";
    let printed = run_with(&[&wasm("pattern")], script);
    assert_eq!(printed.trim(), "1048576");
}

#[test]
fn with_a_name_other_names_are_unknown() {
    for option in ["-e", "--export", "--exportname"] {
        let scene = Scene::new();
        let server = scene.serve(["-U", "socket", option, "vm-1", &wasm("pattern")]);
        let uri = |name: &str| scene.uri().replace("///", &format!("///{name}"));
        assert_eq!(
            run("nbdinfo", ["--size", &uri("vm-1")]).ok().trim(),
            "1048576"
        );
        for other in ["vm-2", "VM-1", "vm-1/", "vm"] {
            let refused = run("nbdinfo", ["--size", &uri(other)]);
            assert_ne!(refused.code, 0, "{other}: {}", refused.stdout);
            assert!(
                refused.stderr.contains("No such file"),
                "{other}: {}",
                refused.stderr
            );
        }
        let list = run("nbdinfo", ["--list", &scene.uri()]).ok();
        assert_eq!(list.matches("export=").count(), 1, "{list}");
        assert!(list.contains("export=\"vm-1\""), "{list}");
        assert_eq!(server.stop().status.code(), Some(0));
    }
}

#[test]
fn names_and_paths_that_need_quoting_work_in_the_uri() {
    let scene = Scene::new();
    let odd = scene.path("a b&c#ü");
    fs::create_dir(&odd).unwrap();
    let socket = odd.join("so cket").display().to_string();
    let name = "räksmörgås/1 % & ?#+";
    let script = "nbdinfo --size \"$uri\"; printf '%s\\n' \"$exportname\" \"$unixsocket\"";
    let pattern = wasm("pattern");
    let arguments = [
        "serve", "-U", &socket, "-e", name, &pattern, "--run", script,
    ];
    let printed = scene.run(arguments).ok();
    assert_eq!(printed, format!("1048576\n{name}\n{socket}\n"));
    assert_eq!(fs::read_dir(odd).unwrap().count(), 0);
}

#[test]
fn read_only_is_read_only_whatever_the_plugin_can() {
    for option in ["-r", "--read-only", "--readonly"] {
        let script = "nbdinfo --is readonly \"$uri\"";
        let printed = run_with(&[option, &wasm("memory")], script);
        assert_eq!(printed, "", "{option}");
    }
    // And the reverse: without the option, the export isn't read-only.
    run_with(&[&wasm("memory")], "! nbdinfo --is readonly \"$uri\"");
}

#[test]
fn a_read_only_export_takes_the_right_to_write_from_the_grant() {
    let scene = Scene::new();
    let disk = scene.write("disk", [7; 65536]);
    fs::set_permissions(&disk, fs::Permissions::from_mode(0o444)).unwrap();
    // Root may write to anything, so the test checks that the server holds no writable file.
    let grant = "--blob=disk=disk:rw";
    let server = scene.serve(["-U", "socket", "-r", grant, &wasm("file")]);
    let refused = run("qemu-io", ["-f", "raw", "-c", "write 0 512", &scene.uri()]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    let modes = open_modes(server.serving_pid(), &disk);
    assert_eq!(modes, [O_RDONLY], "the file is open for reading only");
    assert_eq!(server.stop().status.code(), Some(0));
    assert_eq!(fs::read(&disk).unwrap(), [7; 65536]);
}

/// The access modes with which a process has opened a file.
fn open_modes(pid: u32, path: &std::path::Path) -> Vec<u32> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    descriptors
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
        .map(|entry| {
            let number = entry.file_name().into_string().unwrap();
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap();
            let flags = info
                .lines()
                .find_map(|line| line.strip_prefix("flags:"))
                .unwrap();
            u32::from_str_radix(flags.trim(), 8).unwrap() & 3
        })
        .collect()
}

const O_RDONLY: u32 = 0;

fn workers(pid: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .filter(|name| name.starts_with("tokio-rt-worker"))
        .count()
}

#[test]
fn threads_sets_the_number_of_workers() {
    for count in ["1", "3"] {
        let scene = Scene::new();
        let server = scene.serve(["-U", "socket", "-t", count, &wasm("pattern")]);
        assert_eq!(
            run("nbdinfo", ["--size", &scene.uri()]).ok().trim(),
            "1048576"
        );
        // A thread sets its own name. A thread that read the compile cache ends after a rest of 10 s.
        let named = (0..6000).any(|_| {
            thread::sleep(Duration::from_millis(10));
            workers(server.serving_pid()).to_string() == count
        });
        assert!(
            named,
            "{} workers, not {count}",
            workers(server.serving_pid())
        );
        assert_eq!(server.stop().status.code(), Some(0));
    }
}

// --run and --print-uri

#[test]
fn run_gives_the_command_a_private_socket_and_ends_with_it() {
    let script = "test -S \"$unixsocket\" && nbdcopy \"$uri\" - | sha256sum
        printf '%s|' \"$uri\" \"$port\" \"$exportname\" \"$nbd\"; echo \"$unixsocket\"";
    let printed = run_with(&[&wasm("pattern"), "size=64K"], script);
    let (sum, variables) = printed.split_once('\n').unwrap();
    let own = "python3 -c \"import sys
for at in range(0, 65536, 8): sys.stdout.buffer.write(at.to_bytes(8, 'big'))\" | sha256sum";
    assert_eq!(sum, shell(own).ok().trim(), "the bytes are the plugin's");
    let parts: Vec<&str> = variables.trim().split('|').collect();
    let socket = parts[4];
    assert_eq!(parts[0], format!("nbd+unix:///?socket={socket}"));
    assert_eq!(parts[1..4], ["", "", parts[0]]);
}

#[test]
fn run_ends_with_the_commands_own_status() {
    let scene = Scene::new();
    for (script, status) in [
        ("true", 0),
        ("exit 1", 1),
        ("exit 2", 2),
        ("exit 200", 200),
        ("no-such-command-anywhere", 127),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
    ] {
        let ran = scene.run(["serve", &wasm("pattern"), "--run", script]);
        assert_eq!(ran.code, status, "{script}: {}", ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{script}: {}", ran.stderr);
        scene.assert_clean();
    }
}

#[test]
fn run_says_where_to_connect_as_nbdkit_does() {
    let show = "echo \"$uri|$nbd|$port|$unixsocket|$exportname|${tls-none}\"";
    let pattern = wasm("pattern");
    for (words, expected) in [
        (&["-i", "localhost", "-p", "0"][..], "nbd://localhost:PORT/"),
        (&["-i", "::1", "-p", "0"], "nbd://[::1]:PORT/"),
        (
            &["-i", "127.0.0.1", "-p", "0", "-e", "a b"],
            "nbd://127.0.0.1:PORT/a%20b",
        ),
    ] {
        let scene = Scene::new();
        let end = [&*pattern, "--run", show];
        let arguments = ["serve"].iter().chain(words).chain(&end);
        let printed = scene.run(arguments).ok();
        let fields: Vec<&str> = printed.trim_end().split('|').collect();
        let [uri, nbd, port, socket, export, tls] = fields[..] else {
            panic!("{printed}")
        };
        assert_eq!(uri, expected.replace("PORT", port));
        assert_eq!((nbd, socket, tls), (uri, "", "none"));
        assert_eq!(export, if words.contains(&"-e") { "a b" } else { "" });
        scene.assert_clean();
    }
    let printed = run_with(&["-U", "-", &pattern], show);
    let fields: Vec<&str> = printed.trim_end().split('|').collect();
    assert_eq!(fields[0], format!("nbd+unix:///?socket={}", fields[3]));
    assert_eq!((fields[1], fields[2]), (fields[0], ""));
}

#[test]
fn run_says_whether_there_is_tls() {
    let scene = Scene::new();
    let pki = nbdbox_tests::pki::Authority::new();
    let folder = pki.server(&nbdbox_tests::pki::localhost());
    for (mode, level) in [("off", "none"), ("on", "1"), ("require", "2")] {
        let mut command = scene.command(["serve", "--tls", mode, "--tls-certificates"]);
        command
            .arg(folder.path())
            .args([&wasm("pattern"), "--run", "echo ${tls-none}"]);
        // A value that another program set isn't passed on.
        command.env("tls", "7");
        assert_eq!(scene.launch(command).end().stdout.trim(), level, "{mode}");
    }
}

#[test]
fn the_commands_whole_group_ends_with_the_server() {
    for (script, status) in [
        ("echo up; sleep 1000 & sleep 1000", 128 + 15),
        // This command doesn't end by itself.
        (
            "trap '' TERM; echo up; sleep 1000 & while :; do sleep 1; done",
            128 + 15,
        ),
    ] {
        let scene = Scene::new();
        let mut server = scene.start(["serve", &wasm("pattern"), "--run", script]);
        let up = scene.path("stdout0");
        server.wait_for(|| fs::read(&up).is_ok_and(|printed| !printed.is_empty()));
        let ended = server.stop();
        assert_eq!(ended.status.code(), Some(status), "{}", ended.log);
        scene.assert_clean();
    }
}

#[test]
fn the_command_is_served_while_it_ends() {
    let scene = Scene::new();
    let script =
        "trap 'nbdinfo --size \"$uri\"; exit 3' TERM; echo up; while :; do sleep 0.01; done";
    let mut server = scene.start(["serve", &wasm("pattern"), "--run", script]);
    let up = scene.path("stdout0");
    server.wait_for(|| fs::read(&up).is_ok_and(|printed| !printed.is_empty()));
    let ended = server.stop();
    assert_eq!(ended.stdout, "up\n1048576\n", "{}", ended.log);
    assert_eq!(ended.status.code(), Some(128 + 15), "{}", ended.log);
    scene.assert_clean();
}

#[test]
fn run_works_with_a_socket_and_a_port_too() {
    let pattern = wasm("pattern");
    let scene = Scene::new();
    let printed = scene
        .run([
            "serve",
            "-U",
            "socket",
            &pattern,
            "--run",
            "echo $unixsocket",
        ])
        .ok();
    assert_eq!(printed.trim(), scene.path("socket").display().to_string());
    scene.assert_clean();
    let script = "nbdinfo --size \"nbd://127.0.0.1:$port\"; echo \"[$unixsocket]\"";
    assert_eq!(run_with(&["-p", "0", &pattern], script), "1048576\n[]\n");
}

#[test]
fn the_uri_is_printed_before_the_command_runs() {
    let printed = run_with(&["--print-uri", &wasm("pattern")], "echo \"$uri\"");
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 2, "{printed}");
    assert_eq!(lines[0], lines[1]);
}

// The log

#[test]
fn it_logs_more_with_verbose() {
    let log = |arguments: &[&str], filter: Option<&str>| {
        let scene = Scene::new();
        let mut command = scene.command(["serve"]);
        command
            .args(arguments)
            .args([&wasm("pattern"), "--run", "nbdinfo --size \"$uri\""]);
        if let Some(filter) = filter {
            command.env("NBDBOX_LOG", filter);
        }
        let ended = scene.launch(command).end();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
        ended.log
    };
    assert_eq!(log(&[], None), "");
    assert_eq!(log(&[], Some("")), "", "empty is as if it weren't set");
    for log in [
        log(&["-v"], None),
        log(&["--verbose"], None),
        log(&[], Some("nbdbox=debug")),
    ] {
        assert!(
            log.contains("listening on") && log.contains("connected"),
            "{log}"
        );
        assert!(!log.contains('\u{1b}'), "no colours in a file: {log}");
    }
    assert_eq!(
        log(&["-v"], Some("error")),
        "",
        "the environment overrides the option"
    );
}

#[test]
fn a_log_that_nobody_reads_any_more_stops_nothing() {
    let scene = Scene::new();
    let script = "sleep 0.2; nbdinfo --size \"$uri\"";
    let mut command = scene.command(["serve", "-v", &wasm("pattern"), "--run", script]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1048576");
    scene.assert_clean();
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let scene = Scene::new();
    let pattern = wasm("pattern");
    for arguments in [
        &["serve", "--print-uri", &pattern, "--run", "exit 4"][..],
        &["inspect", &pattern],
        &["--help"],
    ] {
        let mut command = scene.command(arguments);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = output.wait_with_output().unwrap();
        let expected = if arguments[0] == "serve" { 4 } else { 0 };
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{arguments:?}: {words}"
        );
        assert_eq!(words, "", "{arguments:?}");
    }
}

// How the server ends

#[test]
fn signals_drain_and_end_with_status_0() {
    for signal in [
        Signal::TERM,
        Signal::INT,
        Signal::HUP,
        Signal::QUIT,
        Signal::USR1,
        Signal::ALARM,
        Signal::XCPU,
    ] {
        let scene = Scene::new();
        let server = scene.serve(["-U", "socket", &wasm("pattern"), "size=1G"]);
        let mut client = Raw::connect(&scene.path("socket"));
        let _ = client.hello(3);
        let mut client = client.go("");
        // Eight reads in one write: all are in flight when the first is answered.
        let (count, length) = (8, 4 << 20);
        let mut requests = Vec::new();
        for cookie in 0..count {
            requests.extend(wire::REQUEST_MAGIC.to_be_bytes());
            requests.extend([0; 4]);
            requests.extend(u64::to_be_bytes(cookie));
            requests.extend((cookie * u64::from(length)).to_be_bytes());
            requests.extend(u32::to_be_bytes(length));
        }
        client.raw.send(&requests);
        let mut answered = Vec::new();
        for number in 0..count {
            let (error, cookie) = client.simple_reply();
            assert_eq!(error, 0);
            let bytes = client.raw.receive(length as usize);
            assert_eq!(bytes[..8], (cookie * u64::from(length)).to_be_bytes());
            answered.push(cookie);
            if number == 0 {
                server.signal(signal);
            }
        }
        answered.sort_unstable();
        assert!(
            answered.into_iter().eq(0..count),
            "every request is answered once"
        );
        assert!(client.raw.is_closed());
        let ended = server.end();
        assert_eq!(ended.status.code(), Some(0), "{signal:?}: {}", ended.log);
        scene.assert_clean();
    }
}

/// A process that reads a pipe waits for its other end, as another may wait for a disk that hangs.
#[test]
fn a_signal_ends_what_waits_for_a_configuration() {
    for signal in [Signal::TERM, Signal::INT, Signal::USR1] {
        let scene = Scene::new();
        let _ = run("mkfifo", [scene.path("pipe")]).ok();
        let mut begins = scene.start(["serve", "-P", "pid", "--config", "pipe"]);
        let mut other_end = None;
        begins.wait_for(|| {
            other_end = writer(&scene.path("pipe"));
            other_end.is_some()
        });
        begins.signal(signal);
        let ended = begins.end();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
        assert!(ended.log.contains("stopped by a signal"), "{}", ended.log);

        let text = format!(
            "[[listener]]\nname = \"l\"\nunix = \"socket\"\n[tenant.a]\nclients = [{{ listener = \"l\" }}]\n\
             [[tenant.a.export]]\nname = \"\"\nplugin = \"{}\"\n",
            wasm("pattern")
        );
        scene.write("nbdbox.toml", text);
        let mut reloads = scene.serve(["--config", "nbdbox.toml"]);
        fs::rename(scene.path("pipe"), scene.path("nbdbox.toml")).unwrap();
        reloads.wait_for(|| {
            other_end = writer(&scene.path("nbdbox.toml"));
            other_end.is_some()
        });
        assert_eq!(
            run("nbdinfo", ["--size", &scene.uri()]).ok().trim(),
            "1048576"
        );
        reloads.signal(signal);
        let ended = reloads.end();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
        scene.assert_clean();
    }
}

/// The other end of a pipe, as soon as a process reads it.
fn writer(pipe: &std::path::Path) -> Option<fs::File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let mut options = fs::OpenOptions::new();
    options.write(true).custom_flags(flags).open(pipe).ok()
}

#[test]
fn a_signal_for_upgrades_ends_nothing() {
    let scene = Scene::new();
    let mut server = scene.serve(["-U", "socket", &wasm("pattern")]);
    server.signal(Signal::USR2);
    let log = scene.path("stderr0");
    server.wait_for(|| fs::read_to_string(&log).is_ok_and(|log| log.contains("SIGUSR2")));
    assert_eq!(
        run("nbdinfo", ["--size", &scene.uri()]).ok().trim(),
        "1048576"
    );
    assert_eq!(server.stop().status.code(), Some(0));
}

#[test]
fn a_hangup_of_the_terminal_ends_no_server_under_nohup() {
    let scene = Scene::new();
    let mut nohup = Command::new("nohup");
    let command = scene.command(["serve", "-P", "pid", "-U", "socket", &wasm("pattern")]);
    nohup.arg(command.get_program()).args(command.get_args());
    nohup.current_dir(scene.path("")).stdin(Stdio::null());
    let mut server = scene.launch(nohup);
    server.wait_for(|| scene.path("pid").exists());
    server.signal(Signal::HUP);
    assert_eq!(
        run("nbdinfo", ["--size", &scene.uri()]).ok().trim(),
        "1048576"
    );
    assert_eq!(server.stop().status.code(), Some(0));
    scene.assert_clean();
}

#[test]
fn a_write_past_the_process_limit_of_a_files_size_ends_nothing() {
    let scene = Scene::new();
    fs::File::create(scene.path("disk"))
        .unwrap()
        .set_len(4 << 20)
        .unwrap();
    let mut limited = Command::new("prlimit");
    let command = scene.command([
        "serve",
        "-P",
        "pid",
        "-U",
        "socket",
        "--blob=disk=disk:rw",
        &wasm("file"),
    ]);
    limited
        .arg("--fsize=1048576")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    limited.current_dir(scene.path("")).env_remove("NBDBOX_LOG");
    let mut server = scene.launch(limited);
    server.wait_for(|| scene.path("pid").exists());
    let script = "\
try:
    h.pwrite(b'x' * 4096, 2 << 20)
except nbd.Error:
    print('refused')
h.pwrite(b'x' * 4096, 0)
h.flush()
";
    assert_eq!(
        nbdbox_tests::nbdsh(&scene.uri(), script).ok().trim(),
        "refused"
    );
    assert_eq!(server.stop().status.code(), Some(0));
}

#[test]
fn a_socket_and_a_pidfile_that_a_killed_server_left_are_replaced() {
    let scene = Scene::new();
    let mut server = scene.serve(["-U", "socket", "--admin", "admin", &wasm("pattern")]);
    server.signal(Signal::KILL);
    assert_eq!(server.end().status.code(), None);
    fs::remove_file(scene.path("pid")).unwrap();
    server = scene.serve(["-U", "socket", "--admin", "admin", &wasm("pattern")]);
    assert_eq!(
        run("nbdinfo", ["--size", &scene.uri()]).ok().trim(),
        "1048576"
    );
    let ended = server.stop();
    let told = |name: &str| {
        ended
            .log
            .lines()
            .any(|line| line.contains("replaced the socket") && line.contains(name))
    };
    assert!(told("/socket") && told("admin"), "{}", ended.log);
    assert!(!scene.path("admin").exists());
    scene.assert_clean();
}

#[test]
fn a_pidfile_of_another_server_stays() {
    let scene = Scene::new();
    let first = scene.serve(["-U", "-", &wasm("pattern")]);
    let pid = || fs::read_to_string(scene.path("pid")).unwrap();
    let firsts = pid();
    let mut second = scene.start(["serve", "-P", "pid", "-U", "-", &wasm("pattern")]);
    second.wait_for(|| pid() != firsts);
    assert_eq!(first.stop().status.code(), Some(0));
    assert_eq!(pid().trim(), second.pid().to_string());
    assert_eq!(second.stop().status.code(), Some(0));
    scene.assert_clean();
}

#[test]
fn idle_clients_dont_hold_up_the_end() {
    let scene = Scene::new();
    let server = scene.serve(["-U", "socket", &wasm("pattern")]);
    let mut idle = Raw::connect(&scene.path("socket"));
    let _ = idle.hello(1);
    let mut idle = idle.go("");
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(!ended.log.contains("didn't end in time"), "{}", ended.log);
    assert!(idle.raw.is_closed());
    scene.assert_clean();
}

#[test]
fn clients_that_are_silent_in_the_handshake_dont_hold_up_the_end() {
    let scene = Scene::new();
    // The handshake's own limit is longer than the limit on draining.
    let limit = "--limit=handshake=50s";
    let server = scene.serve(["-U", "socket", limit, &wasm("pattern")]);
    let mut silent = Raw::connect(&scene.path("socket"));
    let _ = silent.receive(wire::HELLO_LEN);
    let mut haggling = Raw::connect(&scene.path("socket"));
    let _ = haggling.hello(1);
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(!ended.log.contains("didn't end in time"), "{}", ended.log);
    assert!(silent.is_closed() && haggling.is_closed());
    scene.assert_clean();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let scene = Scene::new();
    let server = scene.serve(["-U", "socket", &wasm("pattern"), "size=1G"]);
    let mut client = Raw::connect(&scene.path("socket"));
    let _ = client.hello(1);
    let mut client = client.go("");
    // The client requests many bytes and reads one header, so the server can't send the rest of the reply.
    client.request(0, wire::command::READ, 1, 0, 32 << 20);
    assert_eq!(client.simple_reply(), (0, 1));
    server.signal(Signal::TERM);
    // Pending signals of one kind count once.
    std::thread::sleep(Duration::from_millis(200));
    server.signal(Signal::INT);
    let ended = server.end();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(!ended.log.contains("didn't end in time"), "{}", ended.log);
    scene.assert_clean();
}

/// Whether a process has started another one.
fn has_child(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let children = tasks
        .flatten()
        .map(|task| fs::read(task.path().join("children")));
    children.flatten().any(|children| !children.is_empty())
}

#[test]
fn stopped_while_it_compiles_it_leaves_nothing() {
    let memory = wasm("memory");
    for arguments in [
        &["serve", "-U", "socket", &memory][..],
        &["inspect", &memory],
    ] {
        let scene = Scene::new();
        let mut command = scene.command(arguments);
        command.env("XDG_CACHE_HOME", scene.path("cache"));
        let mut program = scene.launch(command);
        let cache = scene.path("cache/nbdbox");
        let pid = program.pid();
        program.wait_for(|| has_child(pid));
        let ended = program.stop();
        if ended.status.code() == Some(0) {
            // The compiler was faster than the signal.
            continue;
        }
        assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
        assert!(ended.log.contains("stopped by a signal"), "{}", ended.log);
        let left: Vec<_> = fs::read_dir(&cache).unwrap().flatten().collect();
        let whole = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".cwasm");
        assert!(
            left.iter().all(|entry| whole(&entry.file_name())),
            "{left:?}"
        );
        scene.assert_clean();
    }
}

#[test]
fn stopped_while_a_file_cant_be_opened_it_ends() {
    let scene = Scene::new();
    let _ = run("mkfifo", [scene.path("pipe")]).ok();
    // The open of a pipe may wait for the other end, or the server refuses the pipe at once; the test accepts both.
    let server = scene.start(["serve", "-U", "socket", "--blob=disk=pipe", &wasm("file")]);
    std::thread::sleep(Duration::from_millis(200));
    let ended = server.stop_or_end();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert_eq!(ended.log.lines().count(), 1, "{}", ended.log);
    scene.assert_clean();
}

// What help shows

#[test]
fn help_teaches_by_examples() {
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["-h"],
        &["help", "serve"],
    ] {
        let help = run(nbdbox(), arguments).ok();
        assert!(help.contains("Usage: nbdbox"), "{help}");
        let (_, examples) = help.split_once("Examples:\n").expect("examples");
        for line in examples.lines().filter(|line| !line.is_empty()) {
            assert!(line.starts_with("  nbdbox "), "`{line}` can be copied");
        }
        assert!(
            examples.contains("--run") && examples.contains("--blob"),
            "{examples}"
        );
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
    }
    let help = run(nbdbox(), ["--help"]).ok();
    for word in ["serve", "inspect", "--blob", "--limit"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(
        !help.contains("compile-plugin"),
        "help hides the commands that nbdbox starts for itself"
    );
}

#[test]
fn the_examples_of_help_are_understood() {
    let scene = Scene::new();
    for name in ["pattern", "sparse", "memory", "file"] {
        fs::copy(plugin(name), scene.path(&format!("{name}.wasm"))).unwrap();
    }
    fs::copy(plugin("pattern"), scene.path("mydisk.wasm")).unwrap();
    scene.write("disk.img", [0; 4096]);
    let config = "[[listener]]\nunix = \"s\"\n[tenant.a]\nclients = [{ uid = 1 }]\n";
    scene.write("nbdbox.toml", config);
    for command in [&["--help"][..], &["serve", "--help"]] {
        let help = run(nbdbox(), command).ok();
        let (_, examples) = help.split_once("Examples:\n").unwrap();
        for line in examples.lines().filter(|line| !line.is_empty()) {
            let line = line.trim().split("   ").next().unwrap();
            // The same command, in the scene, on a free port or the scene's own socket, and with an end.
            let here = line.replace("/srv/", "").replace("/run/disk", "./disk");
            let here = here.replace("serve --config /etc/nbdbox", "check nbdbox.toml");
            // These commands don't end by themselves, or need more than the scene has. Other tests run them.
            let here = here.replace("top /run/nbdbox/admin.sock", "top --help");
            let here = here.replace(
                "--tls require --tls-certificates /etc/pki/nbdbox",
                "--tls off",
            );
            let limited = if here.contains(" dev ") {
                // A signal ends it in order.
                format!("timeout --signal=INT --preserve-status 3 {here} -p 0")
            } else if !here.contains(" serve ") || here.contains("--run") {
                here
            } else if here.contains("-U") {
                format!("{here} --run true")
            } else {
                format!("{here} -p 0 --run true")
            };
            let folder = nbdbox().parent().unwrap().display().to_string();
            let script = format!("PATH={folder}:$PATH; {limited}");
            let mut shell = Command::new("bash");
            shell.args(["-euc", &script]).current_dir(scene.path("."));
            let output = shell.output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{line}: {words}");
        }
    }
}

#[test]
fn it_prints_its_version() {
    for option in ["--version", "-V"] {
        let version = run(nbdbox(), [option]).ok();
        // All members of the workspace have one version.
        assert_eq!(version, concat!("nbdbox ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

#[test]
fn without_a_command_it_shows_help_and_fails() {
    let none: [&str; 0] = [];
    let help = run(nbdbox(), none);
    assert_eq!(help.code, 2);
    assert!(help.stderr.contains("Examples:"), "{}", help.stderr);
}

#[test]
fn inspect_shows_what_a_plugin_is_and_needs() {
    let inspect = |name: &str| run(nbdbox(), ["inspect", &wasm(name)]).ok();
    let pattern = inspect("pattern");
    for words in [
        "pattern 0.1.0",
        "sha256:",
        "READ (read-only)",
        "nbdbox:plugin/device@0.1.0",
        "size=SIZE",
        "[default: 1M]",
    ] {
        assert!(pattern.contains(words), "{words}: {pattern}");
    }
    let file = inspect("file");
    for words in [
        "WRITE",
        "TRIM",
        "BLOCK_STATUS",
        "CACHE",
        "--blob disk=PATH:map-only",
    ] {
        assert!(file.contains(words), "{words}: {file}");
    }
    assert!(!file.contains("setting"), "{file}");
    // The second time the plugin is in the cache.
    assert!(inspect("file").contains("found in the cache"));
}
