//! `nbdbox top`, for scripts and in a terminal.

use std::process::{Child, Command, Stdio};

use nbdbox_tests::{Server, nbdbox, run, shell};
use serde_json::Value;

use super::scene::{hosting, socket, uri};

/// A client that reads without end until it's killed.
struct Reader(Child);

impl Reader {
    fn start(server: &Server) -> Self {
        let script = "import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
while True:
    h.pread(65536, 0)
";
        let uri = uri(server, "alice", "disk");
        let child = Command::new("/usr/bin/python3")
            .args(["-c", script, &uri])
            .stdin(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The client may have failed already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn top(server: &Server, options: &[&str]) -> String {
    let socket = socket(server);
    let arguments = ["top"].iter().chain(options).copied();
    run(nbdbox(), arguments.chain([socket.to_str().unwrap()])).ok()
}

#[test]
fn a_script_gets_what_a_client_does_as_json() {
    let server = hosting();
    let _reader = Reader::start(&server);
    // The reader may be slow to start.
    let rows = loop {
        let rows: Value = serde_json::from_str(&top(&server, &["--json"])).unwrap();
        if rows[0]["ops_per_second"].as_f64().unwrap() > 0.0 {
            break rows;
        }
    };
    assert_eq!(rows.as_array().unwrap().len(), 4);
    let first = &rows[0];
    assert_eq!(
        (&first["tenant"], &first["export"]),
        (&"alice".into(), &"disk".into())
    );
    let [ops, bytes] = ["ops_per_second", "bytes_per_second"].map(|key| first[key].as_f64());
    // A few reads may have ended between the two numbers.
    assert!(
        (bytes.unwrap() / ops.unwrap() / 65536.0 - 1.0).abs() < 0.5,
        "{first}"
    );
    assert!(first["p99_us"].as_u64().unwrap() > 0, "{first}");
    assert!(first["cpu_percent"].as_f64().unwrap() > 0.0, "{first}");
    assert!(first["memory"].as_u64().unwrap() >= 65536, "{first}");
    assert_eq!(
        (&first["connections"], &first["faults"]),
        (&1.into(), &0.into())
    );
    // Equal rows stay in the order of names.
    let names: Vec<&Value> = (1..4).map(|row| &rows[row]["tenant"]).collect();
    assert_eq!(names, ["bob", "carol", "mallory"]);
    assert!(rows[1]["p99_us"].is_null());
}

#[test]
fn once_prints_a_table() {
    let server = hosting();
    let table = top(&server, &["--once", "--sort", "name", "--by", "tenant"]);
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 6, "{table}");
    assert_eq!(lines[0][..4], ["TENANT", "EXPORT", "CONN", "OPS/S"]);
    assert_eq!(lines[1][..6], ["alice", "-", "0", "0", "0.0", "-"]);
    assert_eq!(lines[4][0], "mallory");
    assert_eq!(lines[5][0], "process:", "{table}");
}

#[test]
fn it_draws_in_a_terminal_and_q_ends_it() {
    let server = hosting();
    let program = nbdbox();
    let (program, socket) = (program.display(), socket(&server));
    let drawn = shell(&format!(
        "(sleep 2; printf q) |
         TERM=xterm script -qec 'stty rows 24 cols 100; {program} top {}' /dev/null",
        socket.display()
    ));
    let drawn = drawn.ok();
    assert!(
        drawn.contains("TENANT") && drawn.contains("mallory"),
        "{drawn}"
    );
    // The terminal is as before: `top` has left the alternate screen.
    assert!(drawn.contains("\x1b[?1049l"), "{drawn:?}");
}

/// Runs `top` on a terminal of its own, and sends it a signal after the first drawing. Prints its status, whether it
/// changed the terminal's settings and restored them, how often it left the alternate screen, and whether the cursor is
/// visible.
const SIGNALLED: &str = "
import fcntl, os, pty, re, select, signal, struct, subprocess, sys, termios, time
program, admin, name, hangs_up = sys.argv[1:]
controller, terminal = pty.openpty()
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 100, 0, 0))
before = termios.tcgetattr(terminal)
environment = dict(os.environ, TERM='xterm')
def heard():  # the process that runs the tests may ignore SIGHUP
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
top = subprocess.Popen([program, 'top', admin], stdin=terminal, stdout=terminal, stderr=terminal, env=environment,
                       start_new_session=True, preexec_fn=heard)
seen, deadline = b'', time.time() + 60
def read():
    global seen
    if select.select([controller], [], [], 0.05)[0]:
        seen += os.read(controller, 65536)
while b'TENANT' not in seen:
    assert top.poll() is None and time.time() < deadline, seen
    read()
during = termios.tcgetattr(terminal)
top.send_signal(getattr(signal, name))
if hangs_up == 'yes':
    os.close(terminal)
    os.close(controller)
    print(top.wait(60))
    sys.exit()
while top.poll() is None:
    assert time.time() < deadline, seen
    read()
read()
print(top.returncode, during != before, termios.tcgetattr(terminal) == before, seen.count(b'\\x1b[?1049l'),
      seen.rindex(b'\\x1b[?25h') > seen.rindex(b'\\x1b[?25l'))
";

fn signalled(server: &Server, signal: &str, hangs_up: bool) -> String {
    let (program, socket) = (nbdbox(), socket(server));
    let hangs_up = if hangs_up { "yes" } else { "no" };
    let words = [
        "-c",
        SIGNALLED,
        program.to_str().unwrap(),
        socket.to_str().unwrap(),
        signal,
        hangs_up,
    ];
    run("/usr/bin/python3", words).ok().trim().to_owned()
}

#[test]
fn a_signal_ends_it_and_the_terminal_is_as_it_was() {
    let server = hosting();
    for (name, number) in [
        ("SIGHUP", 1),
        ("SIGINT", 2),
        ("SIGQUIT", 3),
        ("SIGUSR1", 10),
        ("SIGTERM", 15),
    ] {
        let said = signalled(&server, name, false);
        assert_eq!(said, format!("{} True True 1 True", 128 + number), "{name}");
    }
}

#[test]
fn a_terminal_that_is_gone_ends_it_without_a_panic() {
    let server = hosting();
    assert_eq!(signalled(&server, "SIGHUP", true), "129");
}

#[test]
fn an_address_where_nobody_listens_is_an_error() {
    let ran = run(nbdbox(), ["top", "--once", "/nowhere/admin"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .contains("can't read from the admin listener at /nowhere/admin"),
        "{}",
        ran.stderr
    );
    let ran = run(nbdbox(), ["top", "0.0.0.0:1"]);
    assert_eq!(ran.code, 2);
}
