//! A plugin that misbehaves fails only its own request, and the log names it.

use std::time::{Duration, Instant};

use nbd_proto::wire::command;
use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Disk, Raw, Server, Transmission, guest};

const EPERM: u32 = 1;
const EIO: u32 = 5;
const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;

/// A server for the misbehaving plugin.
fn bad(settings: &[&str]) -> Server {
    bad_with(&[], settings)
}

fn bad_with(options: &[&str], settings: &[&str]) -> Server {
    let plugin = guest("bad").to_string_lossy().into_owned();
    Server::start(
        options
            .iter()
            .copied()
            .chain([plugin.as_str()])
            .chain(settings.iter().copied()),
    )
}

/// A client with simple replies.
fn connect(server: &Server) -> Transmission {
    let mut raw = server.connect();
    let _flags = raw.hello(3);
    raw.go("")
}

fn read(client: &mut Transmission, offset: u64, length: u32) -> Result<Vec<u8>, u32> {
    client.request(0, command::READ, 7, offset, length);
    match client.simple_reply() {
        (0, 7) => Ok(client.raw.receive(length as usize)),
        (error, 7) => Err(error),
        (_, cookie) => panic!("reply to another request: {cookie}"),
    }
}

fn write(client: &mut Transmission, offset: u64, bytes: &[u8]) -> u32 {
    client.request(
        0,
        command::WRITE,
        8,
        offset,
        u32::try_from(bytes.len()).unwrap(),
    );
    client.raw.send(bytes);
    client.simple_reply().0
}

/// A crashed instance comes back after a pause of some milliseconds.
fn wait_for_restart(client: &mut Transmission) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while read(client, 0, 512).is_err() {
        assert!(Instant::now() < deadline, "the instance isn't restarted");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn write_fua(client: &mut Transmission, offset: u64) -> u32 {
    client.request(CommandFlags::FUA.bits(), command::WRITE, 8, offset, 1);
    client.raw.send(b"x");
    client.simple_reply().0
}

fn effect(client: &mut Transmission, command: u16, offset: u64, length: u32) -> u32 {
    client.request(0, command, 9, offset, length);
    client.simple_reply().0
}

/// Reads at 4096 misbehave. Before and after, the export must serve reads at 0.
fn faulty_read(deed: &str, log_word: &str) {
    // Attacks on other limits must meet those limits, and not the CPU time on a busy machine.
    let limit = if deed == "loop" {
        "cpu=100ms"
    } else {
        "cpu=20s"
    };
    let deed_setting = format!("do={deed}");
    let settings = ["mode=parallel", "at=read", &deed_setting, "offset=4096"];
    let server = bad_with(&["--limit", limit], &settings);
    let mut client = connect(&server);
    assert_eq!(read(&mut client, 0, 512), Ok(vec![0x42; 512]));
    assert_eq!(read(&mut client, 4096, 512), Err(EIO), "{deed}");
    // A crashed instance comes back after a pause of some milliseconds.
    let again = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        read(&mut client, 0, 512).ok()
    });
    assert_eq!(again, Some(vec![0x42; 512]), "{deed}");
    let exit = server.stop();
    assert_eq!(exit.code, Some(0));
    let lines = exit
        .log
        .lines()
        .filter(|line| line.contains(log_word))
        .count();
    assert!(
        lines >= 1 && exit.log.contains("plugin=\"bad\""),
        "{deed}:\n{}",
        exit.log
    );
}

#[test]
fn a_short_reply_is_eio() {
    faulty_read("short", "filled 511 of 512");
}

#[test]
fn a_long_reply_is_eio() {
    faulty_read("long", "more than the 512");
}

#[test]
fn a_reply_filled_twice_is_eio() {
    faulty_read("twice", "more than the 512");
}

#[test]
fn a_reply_that_was_not_touched_is_eio() {
    faulty_read("untouched", "filled 0 of 512");
}

#[test]
fn an_abort_is_eio() {
    faulty_read("trap", "trapped");
}

#[test]
fn a_panic_is_eio() {
    faulty_read("panic", "trapped");
}

#[test]
fn endless_recursion_is_eio() {
    faulty_read("recurse", "trapped");
}

#[test]
fn an_endless_loop_is_eio() {
    faulty_read("loop", "CPU time");
}

#[test]
fn growing_memory_without_end_is_eio() {
    faulty_read("grow", "out of memory");
}

#[test]
fn an_instance_that_grows_for_ever_is_replaced_before_it_fails() {
    let limit = ["--limit", "memory=16MiB"];
    let server = bad_with(&limit, &["mode=parallel", "at=read", "do=leak"]);
    let mut client = connect(&server);
    for _ in 0..100 {
        assert_eq!(read(&mut client, 0, 1), Ok(vec![0x42]));
    }
    assert!(!server.log().contains("out of memory"), "{}", server.log());
    // In mode `single` the instance's memory may be the disk, so the host stops it only at its limit.
    let server = bad_with(&limit, &["at=read", "do=leak"]);
    let mut client = connect(&server);
    let failed = (0..100).any(|_| read(&mut client, 0, 1) == Err(EIO));
    assert!(
        failed && server.log().contains("out of memory"),
        "{}",
        server.log()
    );
}

#[test]
fn a_failed_memory_growth_does_not_cost_the_instance() {
    let server = bad(&["at=read", "do=grow-politely"]);
    let mut client = connect(&server);
    assert_eq!(read(&mut client, 0, 512), Err(12));
    assert_eq!(
        read(&mut client, 0, 512),
        Err(12),
        "the instance is still alive"
    );
}

#[test]
fn the_plugins_words_reach_the_client() {
    let server = bad(&["at=read", "do=explain"]);
    let mut raw = server.connect();
    let _flags = raw.hello(3);
    raw.option(nbd_proto::wire::option::STRUCTURED_REPLY, &[]);
    let _ack = raw.option_reply(nbd_proto::wire::option::STRUCTURED_REPLY);
    let mut client = raw.go("");
    client.request(0, command::READ, 1, 0, 512);
    let (_, _, _, payload) = client.chunk();
    assert!(payload.ends_with(b"the words of the plugin"), "{payload:?}");
}

#[test]
fn an_answered_errno_does_not_cost_the_instance() {
    let server = bad(&["at=read", "do=einval", "offset=512"]);
    let mut client = connect(&server);
    assert_eq!(read(&mut client, 512, 1), Err(EINVAL));
    assert_eq!(read(&mut client, 0, 1), Ok(vec![0x42]));
}

#[test]
fn an_errno_for_a_prefetch_reaches_the_client() {
    let server = bad(&["at=cache", "do=einval"]);
    let mut client = connect(&server);
    assert_eq!(effect(&mut client, command::CACHE, 0, 512), EINVAL);
    assert_eq!(effect(&mut client, command::CACHE, 0, 512), EINVAL);
    assert_eq!(read(&mut client, 0, 1), Ok(vec![0x42]));
}

#[test]
fn a_single_writable_export_fails_for_good_when_its_instance_is_lost() {
    let server = bad(&["at=read", "do=trap", "offset=512"]);
    let mut client = connect(&server);
    assert_eq!(write(&mut client, 0, b"precious"), 0);
    assert_eq!(read(&mut client, 512, 1), Err(EIO));
    // Zeroes, or 0x42, would be wrong bytes.
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(read(&mut client, 0, 8), Err(EIO));
    }
    assert_eq!(write(&mut client, 0, b"x"), EIO);
    assert!(server.log().contains("failed for good"), "{}", server.log());
}

#[test]
fn a_single_read_only_export_is_restarted() {
    let server = bad_with(&["-r"], &["at=read", "do=trap", "offset=512"]);
    let mut client = connect(&server);
    assert_eq!(read(&mut client, 512, 1), Err(EIO));
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(read(&mut client, 0, 1), Ok(vec![0x42]));
}

#[test]
fn an_export_stays_down_if_the_operator_wants_that() {
    let settings = ["mode=parallel", "at=read", "do=trap", "offset=512"];
    let server = bad_with(&["--on-failure", "fail"], &settings);
    let mut client = connect(&server);
    assert_eq!(read(&mut client, 0, 1), Ok(vec![0x42]));
    assert_eq!(read(&mut client, 512, 1), Err(EIO));
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(read(&mut client, 0, 1), Err(EIO));
    assert!(server.log().contains("failed for good"), "{}", server.log());
}

#[test]
fn every_other_call_fails_by_itself_too() {
    for (at, number, expected) in [
        ("flush", command::FLUSH, EIO),
        ("trim", command::TRIM, EIO),
        ("zero", command::WRITE_ZEROES, EIO),
        ("cache", command::CACHE, EIO),
    ] {
        let at = format!("at={at}");
        let server = bad(&["mode=parallel", &at, "do=loop", "after=1"]);
        let mut client = connect(&server);
        let (offset, length) = if number == command::FLUSH {
            (0, 0)
        } else {
            (0, 512)
        };
        assert_eq!(effect(&mut client, number, offset, length), 0, "{at}");
        assert_eq!(
            effect(&mut client, number, offset, length),
            expected,
            "{at}"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(read(&mut client, 0, 1), Ok(vec![0x42]), "{at}");
    }
}

#[test]
fn a_flush_fails_once_when_unflushed_changes_were_lost() {
    let settings = ["mode=parallel", "at=write", "do=trap", "offset=512"];
    let server = bad(&settings);
    let mut client = connect(&server);
    assert_eq!(write(&mut client, 0, b"answered, never flushed"), 0);
    assert_eq!(write(&mut client, 512, b"x"), EIO);
    std::thread::sleep(std::time::Duration::from_millis(50));
    // The changes of another connection are flushed when it disconnects; that doesn't report the loss to this one.
    let mut other = connect(&server);
    assert_eq!(write(&mut other, 1024, b"x"), 0);
    other.request(0, command::DISC, 10, 0, 0);
    assert!(other.raw.is_closed());
    assert_eq!(effect(&mut client, command::FLUSH, 0, 0), EIO);
    assert_eq!(effect(&mut client, command::FLUSH, 0, 0), 0);
}

/// On Linux, fsync reports a failed write once to each open file, in any order.
#[test]
fn every_client_that_was_there_hears_once_of_lost_changes() {
    for asks in [command::FLUSH, command::WRITE] {
        let server = bad(&["mode=parallel", "at=write", "do=trap", "offset=512"]);
        let mut clients = [connect(&server), connect(&server), connect(&server)];
        let [writer, crasher, bystander] = &mut clients;
        assert_eq!(write(writer, 0, b"answered, never flushed"), 0);
        assert_eq!(write(crasher, 512, b"x"), EIO);
        wait_for_restart(bystander);
        let hears = |client: &mut Transmission| match asks {
            command::FLUSH => effect(client, asks, 0, 0),
            _ => write_fua(client, 1024),
        };
        // The client that lost its write flushes last.
        for client in [bystander, crasher, writer] {
            assert_eq!(hears(client), EIO);
            assert_eq!(hears(client), 0);
        }
        assert_eq!(hears(&mut connect(&server)), 0, "this client came later");
    }
}

/// A plugin that reports a loss once, as fsync does, reports it to one client.
#[test]
fn a_flush_that_fails_fails_for_every_client_that_was_there() {
    let server = bad(&["mode=parallel", "at=flush", "do=explain-once"]);
    let (mut writer, mut flusher) = (connect(&server), connect(&server));
    assert_eq!(write(&mut writer, 0, b"answered, not flushed"), 0);
    assert_eq!(effect(&mut flusher, command::FLUSH, 0, 0), EIO);
    assert_eq!(effect(&mut flusher, command::FLUSH, 0, 0), 0);
    assert_eq!(effect(&mut writer, command::FLUSH, 0, 0), EIO);
    assert_eq!(effect(&mut writer, command::FLUSH, 0, 0), 0);
}

/// The plugin below a filter loses changes: the filter gets the error, and so does each client.
#[test]
fn every_client_hears_of_what_the_layer_below_lost() {
    let plain = nbdbox_tests::plugin("offset").display().to_string();
    let server = bad_with(
        &["--filter", &format!("{plain},range=512K")],
        &["mode=parallel", "at=write", "do=trap", "offset=512"],
    );
    let (mut writer, mut crasher) = (connect(&server), connect(&server));
    assert_eq!(write(&mut writer, 0, b"answered, never flushed"), 0);
    assert_eq!(write(&mut crasher, 512, b"x"), EIO);
    wait_for_restart(&mut crasher);
    for client in [&mut crasher, &mut writer] {
        assert_eq!(effect(client, command::FLUSH, 0, 0), EIO);
        assert_eq!(effect(client, command::FLUSH, 0, 0), 0);
    }
}

#[test]
fn a_client_that_comes_back_hears_of_what_nobody_has_heard_of() {
    let server = bad(&["mode=parallel", "at=write", "do=trap", "offset=512"]);
    let mut client = connect(&server);
    assert_eq!(write(&mut client, 0, b"answered, never flushed"), 0);
    assert_eq!(write(&mut client, 512, b"x"), EIO);
    client.request(0, command::DISC, 10, 0, 0);
    assert!(client.raw.is_closed());
    let mut again = connect(&server);
    wait_for_restart(&mut again);
    assert_eq!(effect(&mut again, command::FLUSH, 0, 0), EIO);
    assert_eq!(effect(&mut again, command::FLUSH, 0, 0), 0);
}

#[test]
fn reading_past_the_payload_stops_the_guest() {
    let server = bad(&["mode=parallel", "at=write", "do=past-payload"]);
    let mut client = connect(&server);
    assert_eq!(write(&mut client, 0, b"x"), EIO);
    assert!(server.log().contains("payload"), "{}", server.log());
}

#[test]
fn failing_extents_are_answered_with_data() {
    for deed in ["loop", "trap", "explain", "same", "outside", "empty"] {
        let server = bad(&["mode=parallel", "at=report", &format!("do={deed}")]);
        let map = nbdbox_tests::run("nbdinfo", ["--map", &server.uri()]).ok();
        let fields: Vec<&str> = map.split_whitespace().collect();
        assert_eq!(fields, ["0", "1048576", "0", "data"], "{deed}");
    }
}

#[test]
fn extents_errors_are_passed_on_if_the_operator_wants_that() {
    let server = bad_with(
        &["--extents-on-error", "error"],
        &["at=report", "do=explain"],
    );
    let map = nbdbox_tests::run("nbdinfo", ["--map", &server.uri()]);
    assert_ne!(map.code, 0, "{}", map.stdout);
}

#[test]
fn a_report_may_add_four_times_what_is_kept_and_64() {
    for (length, most) in [(1, 68), (100, 464), (1 << 20, 65_600)] {
        for (adds, allowed) in [(most, true), (most + 1, false)] {
            let options = ["--extents-on-error", "error", "--limit", "cpu=20s"];
            let deed = format!("do=adds-{adds}");
            let server = bad_with(&options, &["mode=parallel", "at=report", &deed]);
            let mut client = Client::connect(&server.socket(), Framing::Structured);
            let status = client.status(0, length, CommandFlags::empty());
            assert_eq!(status.is_ok(), allowed, "{adds} adds, {length} bytes");
        }
    }
}

#[test]
fn extents_past_2_64_are_einval_and_clipped_ones_are_fine() {
    let server = bad_with(
        &["--extents-on-error", "error"],
        &["at=report", "do=overflow"],
    );
    let map = nbdbox_tests::run("nbdinfo", ["--map", &server.uri()]);
    assert!(map.stderr.contains("Invalid argument"), "{}", map.stderr);
    let server = bad(&["at=report", "do=hole"]);
    let map = nbdbox_tests::run("nbdinfo", ["--map", &server.uri()]).ok();
    let fields: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(fields, ["0", "1048576", "3", "hole,zero"]);
}

#[test]
fn a_request_overtakes_an_endless_one_where_the_plugin_is_parallel() {
    // The loop never ends by itself, however busy the machine is.
    let limits = ["--limit", "cpu=60min", "--limit", "wall=60min"];
    let server = bad_with(
        &limits,
        &["mode=parallel", "at=read", "do=loop", "offset=512"],
    );
    let mut client = connect(&server);
    client.request(0, command::READ, 1, 512, 1);
    client.request(0, command::READ, 2, 0, 1);
    assert_eq!(client.simple_reply(), (0, 2));
    assert_eq!(client.raw.receive(1), [0x42]);
}

#[test]
fn requests_of_a_single_plugin_are_answered_in_their_order() {
    let server = bad(&["mode=single", "at=read", "do=slow", "offset=512"]);
    let mut client = connect(&server);
    client.request(0, command::READ, 1, 512, 1);
    client.request(0, command::READ, 2, 0, 1);
    for cookie in [1, 2] {
        assert_eq!(client.simple_reply(), (0, cookie));
        assert_eq!(client.raw.receive(1), [0x42]);
    }
}

#[test]
fn a_client_that_hangs_up_half_way_does_not_cost_a_single_export_its_instance() {
    let server = bad(&["at=read", "do=slow", "offset=512"]);
    let mut client = connect(&server);
    client.request(0, command::READ, 1, 512, 1);
    drop(client);
    let mut other = connect(&server);
    assert_eq!(read(&mut other, 0, 1), Ok(vec![0x42]));
}

#[test]
fn a_looping_plugin_does_not_hold_up_another_connection() {
    let server = bad_with(
        &["-t", "1"],
        &["mode=parallel", "at=read", "do=loop", "offset=512"],
    );
    let mut attacker = connect(&server);
    let mut neighbour = connect(&server);
    attacker.request(0, command::READ, 1, 512, 1);
    for _ in 0..100 {
        // On the same single worker thread, while the loop runs.
        assert_eq!(read(&mut neighbour, 0, 1), Ok(vec![0x42]));
    }
    assert_eq!(attacker.simple_reply(), (EIO, 1));
}

#[test]
fn leaked_handles_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    std::fs::write(&path, [1; 4096]).unwrap();
    let grant = format!("--blob=b={}", path.display());
    let server = bad_with(
        &[&grant],
        &["mode=parallel", "blob=b", "at=read", "do=handles"],
    );
    let mut client = connect(&server);
    assert_eq!(read(&mut client, 0, 1), Err(EIO));
    assert!(server.log().contains("handles"), "{}", server.log());
}

/// The errno of a request in which the plugin uses a blob of 4096 bytes; 0 if it succeeds.
fn use_blob(access: &str, at: &str, deed: &str) -> u32 {
    let disk = Disk::holding(&[1; 4096]);
    let grant = format!("--blob=b={}:{access}", disk.path().display());
    let (at_setting, deed) = (format!("at={at}"), format!("do={deed}"));
    let settings = ["mode=parallel", "blob=b", "size=4096", &at_setting, &deed];
    let server = bad_with(&[&grant, "--extents-on-error", "error"], &settings);
    if at == "report" {
        let map = nbdbox_tests::run("nbdinfo", ["--map", &server.uri()]);
        return if map.code == 0 { 0 } else { EIO };
    }
    let mut client = connect(&server);
    match at {
        "write" => write(&mut client, 0, b"new!"),
        _ => read(&mut client, 0, 4).err().unwrap_or(0),
    }
}

#[test]
fn a_write_past_a_blobs_end_is_enospc() {
    assert_eq!(use_blob("rw", "read", "blob-write-past"), ENOSPC);
}

#[test]
fn the_manuals_table_of_grants_is_what_each_grant_allows() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/MANUAL.md");
    let manual = std::fs::read_to_string(path).unwrap();
    let table = manual.split("| A blob | `map-only` | `ro` | `rw` |").nth(1);
    let rows = table.unwrap().split("\n\n").next().unwrap().lines().skip(2);
    let mut checked = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        for method in cells[0].split('`').skip(1).step_by(2) {
            let (at, deed) = match method {
                "read-reply.blob" => ("read", "blob".to_owned()),
                "extents.blob" => ("report", "blob-extents".to_owned()),
                "mapping.blob" => ("locate", "map".to_owned()),
                "write-payload.store" => ("write", "store".to_owned()),
                own => ("read", format!("blob-{own}")),
            };
            for (access, said) in ["map-only", "ro", "rw"].iter().zip(&cells[1..]) {
                let expected = match *said {
                    "yes" | "does nothing" => 0,
                    "`eperm`" => EPERM,
                    "the write fails" => EIO,
                    other => panic!("{other} isn't a word of this table"),
                };
                let errno = use_blob(access, at, &deed);
                assert_eq!(errno, expected, "{method} of a blob that is {access}");
            }
            checked.push(method.to_owned());
        }
    }
    assert_eq!(checked.len(), 12, "{checked:?}");
}

#[test]
fn a_blobs_size_is_the_one_that_it_was_opened_with() {
    let disk = Disk::holding(&[1; 4096]);
    let grant = format!("--blob=b={}", disk.path().display());
    let settings = [
        "mode=parallel",
        "blob=b",
        "size=4096",
        "at=read",
        "do=blob-size",
    ];
    let server = bad_with(&[&grant], &settings);
    let mut client = connect(&server);
    for size in [4096, 8192, 100] {
        disk.resize(size);
        assert_eq!(read(&mut client, 0, 1), Ok(vec![0x42]), "{size}");
    }
}

#[test]
fn a_grant_bounds_what_a_plugin_can_do_with_a_blob() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    std::fs::write(&path, [1; 4096]).unwrap();
    let case = |access: &str, at: &str, deed: &str| {
        let grant = format!("--blob=b={}:{access}", path.display());
        let (at, deed) = (format!("at={at}"), format!("do={deed}"));
        let settings = ["mode=parallel", "blob=b", &at, &deed];
        let server = bad_with(&[&grant], &settings);
        let mut client = connect(&server);
        match at.as_str() {
            "at=read" => read(&mut client, 0, 4).err().unwrap_or(0),
            _ => write(&mut client, 0, b"new!"),
        }
    };
    // The host sends the bytes by reference; the plugin itself may not read them.
    assert_eq!(case("map-only", "read", "blob"), 0);
    assert_eq!(case("map-only", "read", "blob-read"), EPERM);
    assert_eq!(case("ro", "read", "blob-read"), 0);
    assert_eq!(case("ro", "read", "access"), EPERM);
    assert_eq!(case("map-only", "write", "store"), EIO);
    assert_eq!(case("ro", "write", "store"), EIO);
    assert_eq!(std::fs::read(&path).unwrap(), [1; 4096]);
    assert_eq!(case("rw", "write", "store"), 0);
    assert_eq!(std::fs::read(&path).unwrap()[..5], *b"new!\x01");
    for (at, deed) in [
        ("read", "past-blob"),
        ("write", "past-blob"),
        ("write", "store-past-payload"),
    ] {
        assert_eq!(case("rw", at, deed), EIO, "{at} {deed}");
    }
}

#[test]
fn a_log_flood_is_dropped_and_escaped() {
    let server = bad(&["at=read", "do=log"]);
    let mut client = connect(&server);
    assert_eq!(read(&mut client, 0, 1), Ok(vec![0x42]));
    let log = server.log();
    assert!(!log.contains('\x1b') && !log.contains("\nforged"), "{log}");
    assert!(log.contains("\\nforged line"), "{log}");
    assert!(log.len() < 200_000, "{} bytes of log", log.len());
    let server = bad(&["at=read", "do=log-long"]);
    let mut client = connect(&server);
    assert_eq!(read(&mut client, 0, 1), Ok(vec![0x42]));
    assert!(server.log().lines().all(|line| line.len() < 5000));
    let server = bad(&["at=read", "do=log-huge"]);
    let mut client = connect(&server);
    assert_eq!(read(&mut client, 0, 1), Err(EIO));
    assert!(server.log().contains("too much"), "{}", server.log());
}

#[test]
fn an_open_that_misbehaves_fails_the_start_in_words() {
    for (settings, word) in [
        (["at=open", "do=loop"], "CPU time"),
        (["at=open", "do=trap"], "trapped"),
        (["at=open", "do=explain"], "the words of the plugin"),
        (["at=describe", "do=block-sizes"], "block size"),
        (["at=describe", "do=huge"], "too large"),
    ] {
        let plugin = guest("bad").to_string_lossy().into_owned();
        let arguments = [
            "serve",
            "-U",
            "-",
            &plugin,
            settings[0],
            settings[1],
            "--run",
            "true",
        ];
        let ended = nbdbox_tests::run(nbdbox_tests::nbdbox(), arguments);
        assert_eq!(ended.code, 1, "{settings:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(word),
            "{settings:?}: {}",
            ended.stderr
        );
    }
}

/// A server whose first instance describes another disk than all later ones. The first instance is gone, and the pause
/// after that is over.
fn changing(what: &str) -> (Server, Transmission) {
    let disk = Disk::empty(4096);
    let grant = format!("--blob=b={}:rw", disk.path().display());
    let deed = format!("do=changes-{what}");
    let settings = [
        "mode=parallel",
        "blob=b",
        "at=describe",
        &deed,
        "offset=512",
    ];
    let server = bad_with(&[&grant], &settings);
    let mut client = connect(&server);
    assert_eq!(read(&mut client, 0, 1), Ok(vec![0x42]), "{what}");
    assert_eq!(read(&mut client, 512, 1), Err(EIO), "{what}");
    std::thread::sleep(std::time::Duration::from_millis(50));
    (server, client)
}

#[test]
fn an_instance_that_says_something_else_than_the_first_is_not_used() {
    for what in ["size", "blocks", "mode", "read-only", "immutable"] {
        let (server, mut client) = changing(what);
        assert_eq!(read(&mut client, 0, 1), Err(EIO), "{what}");
        let log = server.log();
        assert!(log.contains("describes another disk"), "{what}: {log}");
    }
}

#[test]
fn the_description_of_the_first_instance_counts() {
    let (server, mut client) = changing("description");
    assert_eq!(read(&mut client, 0, 1), Ok(vec![0x42]));
    assert!(!server.log().contains("says something else"));
}

#[test]
fn a_list_of_exports_that_never_ends_is_an_error_and_nothing_else() {
    let now = std::time::SystemTime::now();
    let now = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let plugin = guest("many").to_string_lossy().into_owned();
    let from = format!("loops-from={}", now + 1500);
    let server = Server::start(["-e", "small", &plugin, &from]);
    let mut raw = server.connect();
    let _flags = raw.hello(3);
    let mut client = raw.go("small");
    std::thread::sleep(std::time::Duration::from_millis(1700));
    let listed = nbdbox_tests::run("nbdinfo", ["--list", &server.uri()]);
    assert_ne!(listed.code, 0, "{}", listed.stdout);
    // A client with an open export doesn't notice.
    assert_eq!(read(&mut client, 0, 4), Ok(vec![0; 4]));
    assert!(server.log().contains("CPU time"), "{}", server.log());
}

#[test]
fn a_new_connection_works_after_garbage() {
    let server = bad(&[]);
    let mut raw: Raw = server.connect();
    let _flags = raw.hello(3);
    let mut client = raw.go("");
    client.raw.send(&[0xff; 28]);
    assert!(client.raw.is_closed());
    let mut other = connect(&server);
    assert_eq!(read(&mut other, 0, 1), Ok(vec![0x42]));
}
