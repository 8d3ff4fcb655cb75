//! Extended headers. Of these clients only QEMU's support them, and its trace shows what was negotiated. libnbd has
//! them since 1.18.

use nbd_proto::wire::StateFlags;
use nbd_proto::{CommandFlags, Descriptor, Framing};
use nbdbox_tests::{Client, Run, Server, run};

/// Runs qemu-io commands with a trace of the protocol.
fn traced(server: &Server, options: &[&str], commands: &[&str]) -> Run {
    let uri = server.uri();
    let mut arguments = vec!["--trace", "nbd_*", "-f", "raw"];
    arguments.extend(options);
    arguments.extend(commands.iter().flat_map(|command| ["-c", command]));
    arguments.push(&uri);
    run("qemu-io", arguments)
}

#[test]
fn qemu_and_the_server_agree_on_extended_headers() {
    let server = Server::plugin("sparse", &["size=1M"]);
    let run = traced(&server, &["-r"], &["map"]);
    assert_eq!(run.code, 0, "{run:?}");
    for line in [
        "Received option reply 11 (extended headers), type 1 (ack)",
        "type = 6 (block status (64-bit))",
    ] {
        assert!(run.stderr.contains(line), "{line} isn't in\n{}", run.stderr);
    }
}

#[test]
fn qemu_asks_for_two_tebibytes_at_once_and_gets_them_in_one_reply() {
    let server = Server::plugin("memory", &["size=2T"]);
    let run = traced(&server, &["-r"], &["map"]);
    assert_eq!(run.code, 0, "{run:?}");
    let asked = ".from = 0, .len = 2199023255552, .cookie = 1, .flags = 0x8, .type = 7";
    assert!(run.stderr.contains(asked), "{}", run.stderr);
    let replies = run
        .stderr
        .matches("type = 6 (block status (64-bit))")
        .count();
    let requests = run.stderr.matches(".type = 7 (block status)").count();
    assert_eq!(replies, requests, "{}", run.stderr);
    // All of it is one hole, so QEMU sends no request for what follows.
    assert!(!run.stderr.contains(".from = 2199023255"), "{}", run.stderr);
    assert!(!run.stderr.contains(".from = 1"), "{}", run.stderr);
    // QEMU's word for bytes that read as zeroes without a look at a backing file.
    let said = "2 TiB (0x20000000000) bytes     allocated at offset 0 bytes";
    assert!(run.stdout.contains(said), "{}", run.stdout);
}

#[test]
fn qemu_writes_with_extended_headers() {
    let server = Server::plugin("memory", &["size=2T"]);
    let commands = [
        "write -P 0xab 1T 64k",
        "read -P 0xab 1T 64k",
        "read -P 0 0 64k",
    ];
    let run = traced(&server, &[], &commands);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        !run.stdout.contains("Pattern verification failed"),
        "{}",
        run.stdout
    );
}

#[test]
fn qemu_zeroes_gibibytes_in_one_request() {
    let server = Server::plugin("memory", &["size=2T"]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    for offset in [0, 5 << 30, 6 << 30] {
        client
            .write(offset, b"data", CommandFlags::empty())
            .unwrap();
    }
    let run = traced(&server, &["-d", "unmap"], &["write -z -u -n 0 6G"]);
    assert_eq!(run.code, 0, "{run:?}");
    let asked = ".from = 0, .len = 6442450944, ";
    assert!(run.stderr.contains(asked), "{}", run.stderr);
    let page = 32 << 10;
    let kept = client.map(0, 2 << 40, 2 << 40);
    let data: Vec<_> = kept.iter().filter(|extent| !extent.is_hole()).collect();
    assert_eq!(data.len(), 1, "{kept:?}");
    assert_eq!((data[0].offset, data[0].length), (6 << 30, page));
}

#[test]
fn one_reply_describes_four_tebibytes() {
    let server = Server::plugin("memory", &["size=4T"]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let page = 32 << 10;
    for offset in [1 << 40, 3 << 40] {
        client
            .write(offset, b"data", CommandFlags::empty())
            .unwrap();
    }
    let hole = StateFlags::HOLE | StateFlags::ZERO;
    let data = StateFlags::empty();
    let expected = [
        (1 << 40, hole),
        (page, data),
        ((2 << 40) - page, hole),
        (page, data),
    ]
    .into_iter()
    .chain([((1 << 40) - page, hole)])
    .map(|(length, flags)| Descriptor { length, flags });
    let status = client.status(0, 4 << 40, CommandFlags::empty()).unwrap();
    assert_eq!(status, expected.collect::<Vec<_>>());
}

#[test]
fn one_reply_describes_every_run_of_a_sparse_pebibyte() {
    let server = Server::plugin("sparse", &["size=1P", "runlength=1T"]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let status = client.status(0, 1 << 50, CommandFlags::empty()).unwrap();
    let total: u64 = status.iter().map(|descriptor| descriptor.length).sum();
    assert_eq!(total, 1 << 50);
    assert!(status.len() > 500, "{} descriptors", status.len());
    assert!(
        status
            .iter()
            .all(|descriptor| descriptor.length.is_multiple_of(1 << 40))
    );
}

#[test]
fn zeroes_and_trims_longer_than_32_bits_are_one_request() {
    let server = Server::plugin("memory", &["size=4T"]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let whole = |client: &mut Client| client.status(0, 4 << 40, CommandFlags::empty()).unwrap();
    let empty = whole(&mut client);
    assert_eq!(empty.len(), 1);
    for trims in [false, true] {
        client
            .write(2 << 40, b"data", CommandFlags::empty())
            .unwrap();
        assert_eq!(whole(&mut client).len(), 3);
        if trims {
            client.trim(0, 4 << 40, CommandFlags::empty()).unwrap();
        } else {
            client.zero(0, 4 << 40, CommandFlags::empty()).unwrap();
        }
        assert_eq!(whole(&mut client), empty);
    }
}

#[test]
fn compact_and_extended_replies_have_the_same_map() {
    let server = Server::plugin("sparse", &["size=64G", "runlength=1G"]);
    let mut compact = Client::connect(&server.socket(), Framing::Structured);
    let mut extended = Client::connect(&server.socket(), Framing::Extended);
    let map = extended.map(0, 64 << 30, 64 << 30);
    assert!(map.len() > 10, "{map:?}");
    assert_eq!(compact.map(0, 64 << 30, 3 << 30), map);
}
