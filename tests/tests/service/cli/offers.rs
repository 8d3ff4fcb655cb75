//! Options that offer less of the protocol, as nbdkit has them: the same client runs against both servers.

use std::process::Command;

use nbdbox_tests::plugin;

use super::scene::Scene;

/// What libnbd gets: whether it's connected, the handshake flags, structured replies, block status, and bytes.
const CLIENT: &str = r#"
import nbd, sys
h = nbd.NBD()
h.add_meta_context('base:allocation')
try:
    h.connect_uri(sys.argv[1])
    print(h.get_protocol(), h.get_structured_replies_negotiated(),
          h.can_meta_context('base:allocation'), h.get_size(), h.pread(512, 512).hex()[:32])
except nbd.Error as error:
    print('refused')
"#;

/// The hello, and the reply to `NBD_OPT_EXPORT_NAME` with these client flags: how many bytes, with zeroes or without.
const BARE: &str = r#"
import socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
def read(count):
    got = b''
    while len(got) < count:
        more = s.recv(count - len(got))
        if not more:
            return got
        got += more
    return got
hello = read(18)
said = [hello[:16], int.from_bytes(hello[16:], 'big')]
try:
    # A server that doesn't like the flags may hang up before the rest.
    s.sendall(struct.pack('>I', int(sys.argv[2])) + b'IHAVEOPT' + struct.pack('>II', 1, 0))
    s.shutdown(socket.SHUT_WR)
    said.append(len(read(1000)))
except OSError:
    said.append(0)
print(said)
"#;

fn ask(server: &mut Command, script: &str, more: &str) -> String {
    let run = format!("/usr/bin/python3 -c \"$SCRIPT\" {more}");
    let output = server
        .env("SCRIPT", script)
        .args(["--run", &run])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        !printed.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}

/// Runs the script against nbdbox and nbdkit with the same options.
#[track_caller]
fn assert_same(options: &[&str], script: &str, more: &str) -> String {
    let scene = Scene::new();
    let mut ours = scene.command(["serve", "-U", "-"]);
    ours.args(options).arg(plugin("pattern")).arg("size=1M");
    let ours = ask(&mut ours, script, more);
    let mut theirs = Command::new("nbdkit");
    theirs
        .args(["-U", "-"])
        .args(options)
        .args(["pattern", "1M"]);
    let theirs = ask(&mut theirs, script, more);
    assert_eq!(
        ours, theirs,
        "left: nbdbox, right: nbdkit, {options:?} {more}"
    );
    ours
}

#[test]
fn without_structured_replies_there_is_no_block_status() {
    let printed = assert_same(&["--no-sr"], CLIENT, "\"$uri\"");
    assert!(printed.contains("False False"), "{printed}");
}

#[test]
fn a_masked_flag_is_not_offered_and_cannot_be_chosen() {
    for mask in ["0", "1", "2", "3", "0x1", "0xffff"] {
        let option = format!("--mask-handshake={mask}");
        for flags in 0..4 {
            let _ = assert_same(&[&option], BARE, &format!("\"$unixsocket\" {flags}"));
        }
    }
}

#[test]
fn a_client_gets_along_with_an_old_server() {
    for options in [
        &["--mask-handshake=0"][..],
        &["--mask-handshake=2"],
        &["--mask-handshake=0", "--no-sr"],
    ] {
        let printed = assert_same(options, CLIENT, "\"$uri\"");
        assert!(printed.contains("1048576"), "{printed}");
    }
}

#[test]
fn without_extended_headers_there_are_structured_replies() {
    // Debian's nbdkit has neither the option nor the headers.
    let scene = Scene::new();
    let options = |words: &[&str]| {
        let mut command = scene.command(["serve", "-U", "-"]);
        command.args(words).arg(plugin("sparse")).arg("size=1M");
        let script = "\
import socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.recv(18)
s.sendall(struct.pack('>I', 3))
kinds = []
for option in (11, 8):
    s.sendall(b'IHAVEOPT' + struct.pack('>II', option, 0))
    head = b''
    while len(head) < 20: head += s.recv(20 - len(head))
    kind, length = struct.unpack('>II', head[12:])
    while length: length -= len(s.recv(length))
    kinds.append(hex(kind))
print(*kinds)
";
        ask(&mut command, script, "\"$unixsocket\"")
    };
    // ACK, then EXT_HEADER_REQD; UNSUP, then ACK; UNSUP twice.
    assert_eq!(options(&[]), "0x1 0x8000000a\n");
    assert_eq!(options(&["--no-eh"]), "0x80000001 0x1\n");
    assert_eq!(options(&["--no-sr"]), "0x80000001 0x80000001\n");
}
