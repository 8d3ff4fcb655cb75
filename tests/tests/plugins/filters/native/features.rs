//! `nozero`, `notrim`, `nocache`, `noextents`, `fua`: what the server advertises, which calls reach the layer below,
//! and which bytes are then on the disk.

use std::fs;

use nbd_proto::{CommandFlags, Errno, ExportFlags, Framing};
use nbdbox_tests::{Client, nbdbox, plugin, run};

use super::super::compare::{Pair as Files, options};
use super::Pair;

/// The flags that follow from the layers, without those of the server itself.
const FLAGS: ExportFlags = ExportFlags::SEND_FLUSH
    .union(ExportFlags::SEND_FUA)
    .union(ExportFlags::SEND_TRIM)
    .union(ExportFlags::SEND_WRITE_ZEROES)
    .union(ExportFlags::SEND_FAST_ZERO)
    .union(ExportFlags::SEND_CACHE);

/// Both servers with this filter and its settings.
fn both(filter: &str, settings: &[&str]) -> Pair {
    let ours = [&[filter], settings].concat().join(",");
    Pair::new(&[&ours], &[filter], settings)
}

/// The lines of the calls that reached the layer below, for both servers. Calls in `skip` are left out.
fn below(filter: &str, settings: &[&str], skip: &[&str]) -> [Vec<String>; 2] {
    let ours = [&[filter], settings].concat().join(",");
    let settings = [settings, &["logfile=FOLDER/log"]].concat();
    let pair = Pair::new(
        &[&ours, "log,logfile=FOLDER/log"],
        &[filter, "log"],
        &settings,
    );
    let sockets = [pair.ours.socket(), pair.theirs.socket()];
    for socket in sockets {
        let mut client = Client::connect(&socket, Framing::Structured);
        let flags = client.connection().flags;
        let fua = match flags.contains(ExportFlags::SEND_FUA) {
            true => CommandFlags::FUA,
            false => CommandFlags::empty(),
        };
        client.write(0, &[1; 512], fua).unwrap();
        client
            .write(4096, &[2; 512], CommandFlags::empty())
            .unwrap();
        if flags.contains(ExportFlags::SEND_TRIM) {
            client.trim(0, 512, fua).unwrap();
        }
        if flags.contains(ExportFlags::SEND_WRITE_ZEROES) {
            client.zero(8192, 512, fua).unwrap();
            client.zero(8192, 512, CommandFlags::NO_HOLE).unwrap();
        }
        let _ = client.map(0, client.size(), client.size());
        client.flush().unwrap();
    }
    let logs = pair.in_folders("log");
    drop(pair.ours.stop());
    drop(pair.theirs);
    logs.map(|log| {
        let text = fs::read_to_string(log).unwrap();
        let calls = text.lines().filter(|line| line.ends_with("..."));
        let calls = calls.filter_map(|line| line.split_once("connection=1 "));
        let calls = calls.map(|(_, call)| call.to_owned());
        calls
            .filter(|call| !skip.iter().any(|word| call.starts_with(word)))
            .map(without_id)
            .collect()
    })
}

/// The line of a call without its number.
fn without_id(call: String) -> String {
    call.split(' ')
        .filter(|word| !word.starts_with("id="))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn the_flags_are_those_of_nbdkits_filters() {
    for (filter, settings) in [
        ("nozero", &[][..]),
        ("nozero", &["zeromode=emulate"]),
        ("nozero", &["zeromode=emulate", "fastzeromode=none"]),
        ("nozero", &["zeromode=notrim"]),
        ("nozero", &["zeromode=plugin", "fastzeromode=slow"]),
        ("nozero", &["zeromode=plugin", "fastzeromode=none"]),
        ("nocache", &[]),
        ("nocache", &["cachemode=emulate"]),
        ("nocache", &["cachemode=nop"]),
        ("fua", &[]),
        ("fua", &["fuamode=emulate"]),
        ("fua", &["fuamode=native"]),
        ("fua", &["fuamode=force"]),
        ("fua", &["fuamode=pass"]),
        ("fua", &["fuamode=discard"]),
        ("noextents", &[]),
    ] {
        let pair = both(filter, settings);
        let flags = [pair.ours.socket(), pair.theirs.socket()].map(|socket| {
            let client = Client::connect(&socket, Framing::Structured);
            let mut flags = client.connection().flags & FLAGS;
            // Below, nbdbox's file can zero fast, and nbdkit's can't.
            let decides = settings.contains(&"zeromode=emulate") || settings.len() > 1;
            if filter != "nozero" || !decides {
                flags.remove(ExportFlags::SEND_FAST_ZERO);
            }
            flags
        });
        assert_eq!(flags[0], flags[1], "{filter} {settings:?}");
    }
}

#[test]
fn the_calls_below_are_those_below_nbdkits_filters() {
    for (filter, settings) in [
        ("nozero", &["zeromode=notrim"][..]),
        ("nozero", &["zeromode=plugin"]),
        ("fua", &[]),
        ("fua", &["fuamode=emulate"]),
        ("fua", &["fuamode=native"]),
        ("fua", &["fuamode=force"]),
        ("fua", &["fuamode=discard"]),
        ("noextents", &[]),
    ] {
        let [ours, theirs] = below(filter, settings, &[]);
        assert_eq!(ours, theirs, "{filter} {settings:?}");
        assert!(!ours.is_empty());
    }
}

#[test]
fn fast_zeroes_are_answered_as_nbdkits_answer_them() {
    for settings in [
        &["zeromode=emulate"][..],
        &["zeromode=plugin", "fastzeromode=slow"],
    ] {
        let pair = both("nozero", settings);
        let answers = [pair.ours.socket(), pair.theirs.socket()].map(|socket| {
            let mut client = Client::connect(&socket, Framing::Structured);
            let refused = client.zero(4096, 4096, CommandFlags::FAST_ZERO);
            refused.unwrap_err().errno
        });
        assert_eq!(answers, [Errno::Enotsup; 2], "{settings:?}");
    }
    // These are the manual's results. nbdkit 1.32 refuses the first, and crashes at the second.
    for zero in ["zeromode=emulate", "zeromode=plugin"] {
        let pair = Pair::new(&[&format!("nozero,{zero},fastzeromode=ignore")], &[], &[]);
        let mut client = Client::connect(&pair.ours.socket(), Framing::Structured);
        client.zero(4096, 4096, CommandFlags::FAST_ZERO).unwrap();
    }
}

#[test]
fn zeroes_that_are_written_are_zeroes() {
    let pair = both("nozero", &["zeromode=emulate"]);
    let length = 1_000_000;
    for socket in [pair.ours.socket(), pair.theirs.socket()] {
        let mut client = Client::connect(&socket, Framing::Structured);
        client.zero(4097, length, CommandFlags::FUA).unwrap();
    }
    let (ours, theirs) = (pair.our_disk.bytes(), pair.their_disk.bytes());
    assert!(ours == theirs);
    assert!(ours[4097..][..1_000_000].iter().all(|byte| *byte == 0));
}

#[test]
fn without_extents_all_is_data() {
    let bytes = vec![0; 1 << 20];
    let mut pair = Files::new(&bytes, "noextents", &["--filter=noextents"], &[]);
    let maps = [&mut pair.ours, &mut pair.theirs].map(|client| client.map(0, 1 << 20, 1 << 20));
    assert_eq!(maps[0], maps[1]);
    assert_eq!(maps[0].len(), 1);
    assert!(!maps[0][0].is_zero());
}

#[test]
fn trimming_is_taken_away() {
    let pair = Pair::new(&["notrim"], &[], &[]);
    let client = Client::connect(&pair.ours.socket(), Framing::Structured);
    let flags = client.connection().flags;
    assert!(!flags.contains(ExportFlags::SEND_TRIM));
    assert!(flags.contains(ExportFlags::SEND_WRITE_ZEROES));
}

#[test]
fn reading_ahead_is_done_by_reading() {
    let pair = Pair::new(
        &["nocache,cachemode=emulate", "log,logfile=FOLDER/log"],
        &[],
        &[],
    );
    let script = "h.cache(300000, 4096)";
    assert_eq!(nbdbox_tests::nbdsh(&pair.ours.uri(), script).code, 0);
    let [log, _] = pair.in_folders("log");
    drop(pair.ours.stop());
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.contains("Read id=1 offset=0x1000 count=0x493e0 ..."),
        "{log}"
    );
    assert!(!log.contains("Cache"), "{log}");
}

#[test]
fn a_setting_that_is_wrong_is_named() {
    for (filter, wrong) in [
        (
            "nozero,zeromode=never",
            "zeromode=never: it must be one of none, emulate, notrim, plugin",
        ),
        ("fua,mode=none", "unknown key `mode`: fua knows fuamode"),
        ("delay,rdelay=1h", "rdelay=1h"),
        ("error,error-rate=2", "error-rate=2"),
        (
            "log,logfile=/nowhere/log",
            "logfile=/nowhere/log: No such file",
        ),
        ("delay,limit.memory=1M", "no blobs or limits"),
        ("notrim,x=1", "unknown key `x`: notrim takes none"),
    ] {
        let pattern = nbdbox_tests::plugin("pattern");
        let words = ["serve", "--run", "true", "--filter", filter];
        let words = words.map(std::ffi::OsStr::new).into_iter();
        let ran = run(nbdbox_tests::nbdbox(), words.chain([pattern.as_os_str()]));
        assert_ne!(ran.code, 0, "{filter}");
        assert!(ran.stderr.contains(wrong), "{filter}: {}", ran.stderr);
    }
}

/// The layers over `noextents` get what clients get: that everything is data.
#[test]
fn nothing_over_noextents_takes_the_layer_below_for_one_that_knows_its_holes() {
    for (filters, knows) in [
        (&[][..], true),
        (&["delay,rdelay=0"], true),
        (&["noextents"], false),
        (&["delay,rdelay=0", "noextents"], false),
        (&["noextents", "nozero"], false),
    ] {
        let mut words = vec!["test".to_owned(), "--only=extents-answer".to_owned()];
        words.extend(options(filters));
        words.extend([plugin("sparse").display().to_string(), "size=1M".to_owned()]);
        let said = run(nbdbox(), words).ok();
        let expected = match knows {
            true => "1 kept, 0 broken, 0 skipped",
            false => "0 kept, 0 broken, 1 skipped",
        };
        assert!(said.contains(expected), "{filters:?}: {said}");
    }
}
