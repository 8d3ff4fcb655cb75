//! `qemu-io`: patterns, discards, zeroes and flushes, aligned or not. It uses extended headers.

use nbdbox_tests::{Run, Server, run};

use super::oracle::{Disk, pattern};

fn qemu_io(server: &Server, options: &[&str], commands: &[&str]) -> Run {
    let uri = server.uri();
    let mut arguments = vec!["-f", "raw"];
    arguments.extend(options);
    arguments.extend(commands.iter().flat_map(|command| ["-c", command]));
    arguments.push(&uri);
    run("qemu-io", arguments)
}

fn assert_works(server: &Server, commands: &[&str]) {
    let text = qemu_io(server, &["-d", "unmap"], commands).ok();
    assert!(!text.contains("Pattern verification failed"), "{text}");
    assert!(!text.contains("failed:"), "{text}");
}

/// The requests that the commands of a qemu-io run sent, in QEMU's words: `write`, flags 0x1.
fn sent(server: &Server, commands: &[&str]) -> Vec<(String, String)> {
    let options = [
        "-d",
        "unmap",
        "-t",
        "writeback",
        "--trace",
        "nbd_send_request",
    ];
    let run = qemu_io(server, &options, commands);
    let (said, trace) = (run.stdout.clone() + &run.stderr, run.stderr.clone());
    assert_eq!(run.code, 0, "{said}");
    let word = |line: &str, before: &str, after: &str| {
        let rest = line.split_once(before).unwrap().1;
        rest.split_once(after).unwrap().0.to_owned()
    };
    let lines = trace
        .lines()
        .filter(|line| line.starts_with("nbd_send_request"));
    lines
        .map(|line| (word(line, "(", ")"), word(line, ".flags = ", ",")))
        .filter(|(name, _)| name != "disconnect" && name != "flush")
        .collect()
}

const ALIGNED: &[&str] = &[
    "write -P 0xab 0 64k",
    "read -P 0xab 0 64k",
    "write -P 0xcd 16k 4k",
    "read -P 0xab 0 16k",
    "read -P 0xcd 16k 4k",
    "read -P 0xab 20k 44k",
    "flush",
    "read -P 0 64k 64k",
];

const UNALIGNED: &[&str] = &[
    "write -P 0xab 3 1000",
    "read -P 0xab 3 1000",
    "read -P 0 0 3",
    "read -P 0 1003 21",
    "write -P 0x11 511 2",
    "read -P 0x11 511 2",
    "read -P 0xab 513 490",
    "writev -P 0x22 40001 1 2 3 4000",
    "read -P 0x22 40001 4006",
    "flush",
];

const ZEROES: &[&str] = &[
    "write -P 0xab 0 256k",
    "write -z 0 64k",
    "write -z -u 64k 64k",
    "discard 128k 64k",
    "read -P 0 0 192k",
    "read -P 0xab 192k 64k",
    "write -z 200001 7",
    "write -z -u 210001 4097",
    "read -P 0 200001 7",
    "read -P 0 210001 4097",
    "read -P 0xab 200008 9993",
    "flush",
];

#[test]
fn memory_keeps_aligned_patterns() {
    assert_works(&Server::plugin("memory", &["size=1M"]), ALIGNED);
}

#[test]
fn file_keeps_aligned_patterns() {
    assert_works(&Disk::new(&[0; 1 << 20]).serve("rw"), ALIGNED);
}

#[test]
fn memory_keeps_unaligned_patterns() {
    assert_works(&Server::plugin("memory", &["size=1M"]), UNALIGNED);
}

#[test]
fn file_keeps_unaligned_patterns() {
    assert_works(&Disk::new(&[0; 1 << 20]).serve("rw"), UNALIGNED);
}

#[test]
fn memory_zeroes_and_discards() {
    assert_works(&Server::plugin("memory", &["size=1M"]), ZEROES);
}

#[test]
fn file_zeroes_and_discards() {
    assert_works(&Disk::new(&[0; 1 << 20]).serve("rw"), ZEROES);
}

#[test]
fn a_wrong_pattern_would_be_noticed() {
    let server = Server::plugin("sparse", &["size=1M"]);
    let run = qemu_io(&server, &["-r"], &["read -P 0xee 0 4k"]);
    assert!(
        run.stdout.contains("Pattern verification failed"),
        "{run:?}"
    );
    assert_eq!(run.code, 1);
}

#[test]
fn reads_at_odd_offsets_are_the_patterns() {
    let server = Server::plugin("pattern", &["size=1M"]);
    let text = qemu_io(&server, &["-r"], &["read -v 4093 9"]).ok();
    let expected: Vec<String> = pattern(8192)[4093..4102]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(text.contains(&expected.join(" ")), "{text}");
}

#[test]
fn zeroes_are_sent_as_zeroes_with_and_without_unmapping() {
    let server = Server::plugin("memory", &["size=1M"]);
    let commands = ["write -z 0 64k", "write -z -u 64k 64k", "discard 128k 64k"];
    let expected = [
        ("write zeroes", "0x2"),
        ("write zeroes", "0x0"),
        ("trim", "0x0"),
    ];
    let sent = sent(&server, &commands);
    let sent: Vec<_> = sent
        .iter()
        .map(|(name, flags)| (name.as_str(), flags.as_str()))
        .collect();
    assert_eq!(sent, expected);
    let map = run("nbdinfo", ["--map", &server.uri()]).ok();
    let lines: Vec<Vec<&str>> = map
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    // Ranges that were zeroed without unmapping are allocated. Everything else is a hole.
    assert_eq!(
        lines,
        [
            vec!["0", "65536", "0", "data"],
            vec!["65536", "983040", "3", "hole,zero"]
        ]
    );
}

#[test]
fn a_write_through_cache_sends_fua() {
    let server = Server::plugin("memory", &["size=1M"]);
    let options = ["-t", "writethrough", "--trace", "nbd_send_request"];
    let run = qemu_io(
        &server,
        &options,
        &["write -P 1 0 4k", "write -z 4k 4k", "read -P 1 0 4k"],
    );
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stderr.contains(".flags = 0x1, .type = 1 (write)"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains(".flags = 0x3, .type = 6 (write zeroes)"),
        "{}",
        run.stderr
    );
}

#[test]
fn requests_in_flight_are_all_answered() {
    let server = Server::plugin("memory", &["size=1M"]);
    let mut commands: Vec<String> = (0..16)
        .map(|at| format!("aio_write -P {} {}k 64k", at + 1, at * 64))
        .collect();
    commands.push("aio_flush".into());
    commands.extend((0..16).map(|at| format!("read -P {} {}k 64k", at + 1, at * 64)));
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    assert_works(&server, &commands);
}
