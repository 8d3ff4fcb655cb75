//! What the host passes between two layers, and how it attributes faults.

use std::thread;

use nbd_proto::{CommandFlags, Errno, Framing};
use nbdbox_tests::{Client, Disk, Random, Refused, Server, guest, plugin};

use super::compare::{options, serve};

const SIZE: usize = 1 << 20;

/// The filter `sly` over a file.
fn sly(deed: &str) -> (Server, Client, Vec<u8>) {
    let bytes = Random::seeded(1).bytes(SIZE);
    let disk = Disk::holding(&bytes);
    // Less than the CPU time of 4096 calls, with the time between them.
    let cpu = if deed == "busy" { "20ms" } else { "1s" };
    let server = serve(&disk, &[&format!("sly,do={deed},limit.cpu={cpu}")]);
    let client = Client::connect(&server.socket(), Framing::Extended);
    (server, client, bytes)
}

/// The bad read fails with `errno`, the log blames the filter, and other reads go on.
fn misread(deed: &str, errno: Errno, words: &str) {
    let (server, mut client, bytes) = sly(deed);
    let refused = client.read(4096, 512).unwrap_err();
    assert_eq!(refused.errno, errno, "{deed}: {refused:?}");
    let log = server.log();
    let line = log.lines().find(|line| line.contains(words));
    let line = line.unwrap_or_else(|| panic!("{deed}: no `{words}` in\n{log}"));
    assert!(line.contains("sly"), "{deed}: {line}");
    let other_blamed = log
        .lines()
        .any(|line| line.contains("WARN") && !line.contains("sly"));
    assert!(!other_blamed, "{deed}:\n{log}");
    let read = again(|| client.read(8192, 512));
    assert!(read == bytes[8192..8704], "{deed}");
}

/// Calls `ask` until the pause after a crash is over.
fn again<T>(mut ask: impl FnMut() -> Result<T, Refused>) -> T {
    loop {
        match ask() {
            Err(refused) if refused.text.contains("will be restarted") => thread::yield_now(),
            done => return done.unwrap(),
        }
    }
}

#[test]
fn a_filter_cannot_ask_outside_the_layer_below() {
    for deed in ["outside", "across", "wrap"] {
        misread(deed, Errno::Eio, "outside the layer below");
    }
    misread("direct", Errno::Einval, "outside the layer below");
}

#[test]
fn a_filter_cannot_ask_for_more_than_it_was_asked_for() {
    misread("long", Errno::Eio, "filled more than the 512");
    misread("short", Errno::Eio, "filled 511 of 512");
    misread("huge", Errno::Einval, "more at once");
    misread("fill", Errno::Einval, "more at once");
}

#[test]
fn a_filter_that_loops_is_stopped_whether_it_asks_or_not() {
    misread("loop", Errno::Eio, "CPU time");
    misread("questions", Errno::Eio, "too many requests");
    misread("busy", Errno::Eio, "CPU time");
}

#[test]
fn a_filter_that_lies_about_its_size_gets_errors_past_the_end() {
    let (_server, mut client, bytes) = sly("grow");
    assert_eq!(client.size(), 2 * SIZE as u64);
    let end = SIZE as u64;
    assert!(client.read(end - 512, 512).unwrap() == bytes[SIZE - 512..]);
    assert_eq!(client.read(end, 512).unwrap_err().errno, Errno::Eio);
    assert_eq!(client.read(end - 256, 512).unwrap_err().errno, Errno::Eio);
    let written = client.write(end, &[1; 512], CommandFlags::empty());
    assert_eq!(written.unwrap_err().errno, Errno::Eio);
    // The extents of bytes that don't exist are data, which is the safe answer.
    let map = client.map(0, 2 * end, 2 * end);
    assert!(map.iter().all(|extent| !extent.is_hole()), "{map:?}");
}

#[test]
fn a_filter_that_goes_past_the_end_when_it_opens_is_not_served() {
    let mut words = vec!["serve".to_owned()];
    words.extend(options(&["sly,do=end"]));
    words.push(plugin("pattern").display().to_string());
    words.extend(["--run".to_owned(), "true".to_owned()]);
    let refused = nbdbox_tests::run(nbdbox_tests::nbdbox(), &words);
    assert_eq!(refused.code, 1);
    let wanted = "sly refused to open: outside the layer below";
    assert!(refused.stderr.contains(wanted), "{}", refused.stderr);
}

#[test]
fn nothing_is_written_through_a_read_only_layer() {
    for (deed, errno) in [
        ("", Errno::Eio),
        ("write-now", Errno::Eperm),
        ("write-bytes", Errno::Eperm),
        ("zero", Errno::Eperm),
    ] {
        let bytes = Random::seeded(2).bytes(SIZE);
        let disk = Disk::holding(&bytes);
        let mut words = options(&[&format!("sly,do={deed}")]);
        words.extend([
            "--blob".to_owned(),
            format!("disk={}:ro", disk.path().display()),
        ]);
        words.push(plugin("file").display().to_string());
        let server = Server::start(words);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        let refused = client
            .write(0, &[1; 512], CommandFlags::empty())
            .unwrap_err();
        assert_eq!(refused.errno, errno, "{deed}");
        assert!(disk.bytes() == bytes, "{deed}");
    }
}

#[test]
fn a_filter_keeps_to_the_blocks_below() {
    // This setting makes `bad` serve blocks of 512 bytes.
    let mut words = options(&["sly,do=blocks"]);
    words.push(guest("bad").display().to_string());
    words.extend(["at=describe".to_owned(), "do=blocks-of-512".to_owned()]);
    let server = Server::start(words);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    assert_eq!(client.read(4096, 512).unwrap_err().errno, Errno::Eio);
    let log = server.log();
    assert!(log.contains("off the blocks of the layer below"), "{log}");
    assert_eq!(client.read(512, 512).unwrap(), vec![0x42; 512]);
    assert_eq!(client.read(513, 512).unwrap_err().errno, Errno::Eio);
}

#[test]
fn extents_are_cut_to_the_question() {
    let disk = Disk::empty(SIZE as u64);
    let server = serve(&disk, &["sly,do=wide"]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    for (offset, length) in [(0, 512), (1000, 5000), (SIZE as u64 - 512, 512)] {
        let found = client
            .status(offset, length, CommandFlags::empty())
            .unwrap();
        let total: u64 = found.iter().map(|descriptor| descriptor.length).sum();
        assert_eq!(total, length, "{offset}");
    }
}

#[test]
fn bytes_that_are_changed_are_never_called_zeroes() {
    let disk = Disk::empty(SIZE as u64);
    let server = serve(&disk, &["flip"]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    assert_eq!(client.read(0, 4096).unwrap(), vec![0xff; 4096]);
    let map = client.map(0, SIZE as u64, SIZE as u64);
    assert!(
        map.iter()
            .all(|extent| !extent.is_zero() && !extent.is_hole()),
        "{map:?}"
    );
    client
        .write(100, &[1, 2, 3], CommandFlags::empty())
        .unwrap();
    assert_eq!(client.read(99, 5).unwrap(), [0xff, 1, 2, 3, 0xff]);
    assert_eq!(disk.bytes()[99..104], [0, 0xfe, 0xfd, 0xfc, 0]);
}

#[test]
fn a_filter_that_changes_bytes_cannot_pass_them_on() {
    let disk = Disk::empty(SIZE as u64);
    let server = serve(&disk, &["flip,cheat=yes"]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    assert_eq!(client.read(0, 512).unwrap_err().errno, Errno::Eio);
    let written = client.write(0, &[1; 512], CommandFlags::empty());
    assert_eq!(written.unwrap_err().errno, Errno::Eio);
    assert_eq!(disk.bytes(), vec![0; SIZE]);
    assert!(server.log().contains("passed them on as they are"));
}

#[test]
fn a_fault_below_is_the_layers_below() {
    for (deed, words) in [("trap", "trapped"), ("loop", "CPU time")] {
        let mut filters = options(&["cow,memory=yes", "offset"]);
        filters.push(guest("bad").display().to_string());
        let settings = [
            "mode=parallel",
            "at=read",
            "offset=4096",
            &format!("do={deed}"),
        ];
        filters.extend(settings.map(str::to_owned));
        let server = Server::start(filters);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        let refused = client.read(4096, 512).unwrap_err();
        assert_eq!(refused.errno, Errno::Eio, "{deed}");
        let log = server.log();
        let blamed: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
        let only = blamed.iter().all(|line| line.contains("plugin=\"bad\""));
        assert!(
            only && blamed.iter().any(|line| line.contains(words)),
            "{deed}:\n{log}"
        );
        // The `cow` above, whose memory is the disk, has lost nothing.
        again(|| client.write(0, &[9; 512], CommandFlags::empty()));
        assert_eq!(client.read(0, 512).unwrap(), vec![9; 512], "{deed}");
    }
}

#[test]
fn eight_filters_are_served_and_nine_are_not() {
    let filters = ["offset"; 9];
    let words = |count: usize| {
        let mut words = options(&filters[..count]);
        words.push(plugin("pattern").display().to_string());
        words
    };
    let server = Server::start(words(8));
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let single = Server::plugin("pattern", &[]);
    let mut other = Client::connect(&single.socket(), Framing::Extended);
    assert!(client.read(12_345, 100_000) == other.read(12_345, 100_000));
    let mut nine = words(9);
    nine.insert(0, "serve".to_owned());
    let refused = nbdbox_tests::run(nbdbox_tests::nbdbox(), &nine);
    assert!(
        refused
            .stderr
            .contains("there are 9 filters; at most 8 are allowed"),
        "{refused:?}"
    );
}

#[test]
fn a_plugin_is_no_filter_and_a_filter_no_plugin() {
    let pattern = plugin("pattern").display().to_string();
    let offset = plugin("offset").display().to_string();
    let said = |words: &[&str]| nbdbox_tests::run(nbdbox_tests::nbdbox(), words).stderr;
    let below = said(&["serve", "--filter", &pattern, &pattern, "--run", "true"]);
    assert!(
        below.contains("pattern isn't a filter, but a plugin"),
        "{below}"
    );
    let alone = said(&["serve", &offset, "--run", "true"]);
    assert!(
        alone.contains("offset is a filter: it needs a plugin below"),
        "{alone}"
    );
    let inspected = nbdbox_tests::run(nbdbox_tests::nbdbox(), ["inspect", &offset]).ok();
    assert!(
        inspected.contains("filter     over a plugin"),
        "{inspected}"
    );
}
