//! Three tenants, each known by a socket of its own.

use std::process::{Child, Command, Stdio};

use nbdbox_tests::{Run, Server, run};

pub(crate) use nbdbox_tests::tenancy::{export, tenant, uri};

/// Alice and Bob have exports of the same name; Carol has another.
pub(crate) fn three() -> String {
    [
        tenant("alice", ""),
        export("alice", "disk", "pattern", "settings = { size = \"1M\" }"),
        tenant("bob", ""),
        export("bob", "disk", "memory", "settings = { size = \"2M\" }"),
        tenant("carol", ""),
        export("carol", "secret", "sparse", "settings = { size = \"4M\" }"),
    ]
    .concat()
}

/// Runs `nbdinfo` on an export.
pub(crate) fn info(server: &Server, tenant: &str, name: &str, option: &str) -> Run {
    run("nbdinfo", [option, &uri(server, tenant, name)])
}

/// The names in the list that a tenant's client gets.
pub(crate) fn listed(server: &Server, tenant: &str) -> Vec<String> {
    let script = "\
import nbd, sys
h = nbd.NBD()
h.set_opt_mode(True)
h.connect_uri(sys.argv[1])
names = []
h.opt_list(lambda name, description: names.append(name))
print('\\n'.join(sorted(names)))
";
    let uri = uri(server, tenant, "");
    let names = run("/usr/bin/python3", ["-c", script, &uri]).ok();
    names
        .lines()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A client that reads an export again and again until its input ends, and that fails at the first error or wrong byte.
pub(crate) struct Reader(Child);

impl Reader {
    /// Starts the client, and waits until its first read was right.
    pub(crate) fn start(server: &Server, tenant: &str, name: &str) -> Self {
        Self::of(&uri(server, tenant, name))
    }

    /// As [`start`](Self::start), with an export's URI.
    pub(crate) fn of(uri: &str) -> Self {
        use std::io::BufRead as _;
        let script = "\
import nbd, select, sys
h = nbd.NBD()
h.set_uri_allow_local_file(True)
h.connect_uri(sys.argv[1])
first = h.pread(65536, 0)
print('reading', flush=True)
rounds = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    assert h.pread(65536, 0) == first
    rounds += 1
print(rounds, flush=True)
";
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", script, uri])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        let output = child.stdout.as_mut().unwrap();
        let mut line = String::new();
        // Reads byte by byte, so that it takes nothing of what follows.
        std::io::BufReader::with_capacity(1, output)
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "reading\n");
        Self(child)
    }

    /// Ends the client. Returns the number of its reads, all of which were right.
    pub(crate) fn stop(mut self) -> u64 {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().unwrap();
        assert!(output.status.success(), "the reader failed");
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().parse().unwrap()
    }
}
