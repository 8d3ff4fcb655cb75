//! `nbdbox map`: the same output as nbdinfo, as far as nbdinfo has it, and pictures.

mod liar;
mod xml;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use nbd_proto::wire::chunk;
use nbdbox_tests::{Peer, Run, Server, nbdbox, plugin, run, shell};
use tempfile::TempDir;

use self::liar::Liar;

/// The formats that both nbdinfo and `nbdbox map` have.
const FORMS: [&[&str]; 4] = [&[], &["--json"], &["--totals"], &["--totals", "--json"]];

fn map(arguments: &[&str]) -> Run {
    run(nbdbox(), ["map"].iter().chain(arguments))
}

fn wasm(name: &str) -> String {
    plugin(name).display().to_string()
}

/// Compares all formats, byte for byte.
fn assert_same_as_nbdinfo(uri: &str) {
    for form in FORMS {
        let theirs = run("nbdinfo", ["--map"].iter().chain(form).chain(&[uri])).ok();
        let ours = map(&[form, &[uri]].concat()).ok();
        assert_eq!(ours, theirs, "{form:?}");
    }
}

/// Asserts that the run failed with this status, and that its one line has these words.
fn assert_fails(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, code, "{run:?}");
    for word in words {
        assert!(run.stderr.contains(word), "{word}: {run:?}");
    }
    assert!(code == 2 || run.stderr.lines().count() == 1, "{run:?}");
    assert!(!run.stderr.contains(|c: char| c.is_control() && c != '\n'));
}

// The same as nbdinfo

#[test]
fn a_plugins_map_is_that_of_nbdinfo() {
    for settings in [
        &["size=300M", "runlength=1M"][..],
        // A reply has at most the limit's extents.
        &["size=64M", "runlength=512"],
        &["size=1M", "runlength=700"],
        // More bytes than one compact request can cover.
        &["size=9G", "runlength=64M", "seed=5"],
        &["size=0"],
    ] {
        let server = Server::plugin("sparse", settings);
        assert_same_as_nbdinfo(&server.uri());
    }
    assert_same_as_nbdinfo(&Server::plugin("memory", &["size=1G"]).uri());
}

#[test]
fn another_servers_map_is_that_of_nbdinfo() {
    for arguments in [
        &["sparse-random", "size=1G", "percent=30"][..],
        &["data", "data=@0x7fff 1 2 @0x80000000 4", "size=5G"],
        &["null", "10G"],
        &["null", "0"],
        &["--filter=noextents", "memory", "6G"],
        // All four types, and a short reply to any request.
        &[
            "eval",
            "get_size=echo 1048576",
            "pread=dd if=/dev/zero count=$3 iflag=count_bytes",
            "can_extents=true",
            "extents=echo $4 65536 $(case $(($4 / 65536 % 4)) in 1) echo hole;; 2) echo zero;; \
             3) echo hole,zero;; esac)",
        ],
    ] {
        let server = Peer::nbdkit(arguments);
        assert_same_as_nbdinfo(&server.uri());
    }
}

#[test]
fn a_qcow2_images_map_is_that_of_nbdinfo() {
    let folder = TempDir::new().unwrap();
    let image = folder.path().join("disk.qcow2").display().to_string();
    let _ = shell(&format!(
        "qemu-img create -q -f qcow2 {image} 5G
         qemu-io -f qcow2 -c 'write 1M 3M' -c 'write -z 2M 64K' -c 'write 4G 1M' {image}"
    ))
    .ok();
    let server = Peer::qemu_nbd(["-r", "-f", "qcow2", &image]);
    assert_same_as_nbdinfo(&server.uri());
}

#[test]
fn a_server_and_its_plugin_have_the_same_map() {
    let settings = ["size=100M", "runlength=96K", "seed=3"];
    let server = Server::plugin("sparse", &settings);
    let file = wasm("sparse");
    for form in FORMS {
        let served = map(&[form, &[&server.uri()]].concat()).ok();
        let here = map(&[form, &[&file], &settings].concat()).ok();
        assert_eq!(here, served, "{form:?}");
    }
}

#[test]
fn a_plugin_gets_what_it_is_granted() {
    let folder = TempDir::new().unwrap();
    let disk = folder.path().join("disk");
    fs::write(&disk, vec![1; 1 << 16]).unwrap();
    fs::File::options()
        .write(true)
        .open(&disk)
        .unwrap()
        .set_len(1 << 20)
        .unwrap();
    let blob = format!("disk={}:rw", disk.display());
    let text = map(&["--blob", &blob, "--limit", "wall=9s", &wasm("file")]).ok();
    assert_eq!(
        text,
        "         0       65536    0  data\n     65536      983040    3  hole,zero\n"
    );
    let limit = map(&["--limit", "wall=nonsense", &wasm("file")]);
    assert_fails(&limit, 2, &["nonsense"]);
}

// Pictures

#[test]
fn a_picture_without_a_terminal_is_plain() {
    let run = map(&["--picture", &wasm("sparse"), "size=64M", "runlength=640K"]);
    assert_eq!(run.stderr, "");
    let text = run.ok();
    assert!(text.is_ascii() && !text.contains('\x1b'), "{text}");
    assert!(text.lines().count() <= 23, "{text}");
    assert!(text.lines().all(|line| line.len() < 80), "{text}");
    let cells: Vec<&str> = text.lines().skip(2).take(16).collect();
    assert_eq!(cells.len(), 16);
    for line in cells {
        let (_, cells) = line.split_once("MiB  ").unwrap();
        assert_eq!(cells.len(), 64, "{line}");
        assert!(
            cells.chars().all(|cell| "#?o.123456789".contains(cell)),
            "{line}"
        );
    }
}

#[test]
fn a_terminal_has_colours_unless_they_are_not_wanted() {
    let command = format!(
        "{} map --picture {} size=1M",
        nbdbox().display(),
        wasm("sparse")
    );
    for (environment, coloured) in [
        ("TERM=xterm-256color NO_COLOR=", true),
        ("TERM=xterm-256color NO_COLOR=1", false),
        ("TERM=dumb", false),
    ] {
        let script = format!("script -qec '{environment} {command}' /dev/null </dev/null");
        let text = shell(&script).ok();
        assert_eq!(text.contains("\x1b["), coloured, "{environment}: {text}");
        assert!(text.contains("1 MiB"), "{text}");
    }
}

#[test]
fn an_svg_is_well_formed_and_has_the_sums() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("map.svg");
    let file = file.to_str().unwrap();
    let source = [&wasm("sparse"), "size=300M", "runlength=1M"];
    let alone = map(&[&["--svg", file][..], &source].concat());
    assert_eq!((&*alone.stdout, &*alone.stderr, alone.code), ("", "", 0));
    let elements = xml::parse(&fs::read_to_string(file).unwrap());
    assert!(
        elements[0]
            .tag
            .starts_with("svg xmlns=\"http://www.w3.org/2000/svg\" ")
    );
    let with_id = |id: &str| {
        let found = elements.iter().find(|one| one.attribute("id") == Some(id));
        found.expect(id).text.clone()
    };
    assert_eq!(with_id("title"), "Map of sparse.wasm");
    let mut sums: Vec<String> = with_id("sums").split("; ").map(str::to_owned).collect();
    let totals = map(&[&["--totals"][..], &source].concat()).ok();
    let mut expected: Vec<String> = totals
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{}: {} bytes", words[3], words[0])
        })
        .collect();
    sums.sort();
    expected.sort();
    assert_eq!(sums, expected);
    let mode = fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o444, 0o444, "readable as any other new file");
}

#[test]
fn an_svg_comes_with_what_is_printed_anyway() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("map.svg").display().to_string();
    let source = [&wasm("sparse"), "size=8M"];
    let plain = map(&[&["--json"][..], &source].concat()).ok();
    let both = map(&[&["--json", "--svg", &file][..], &source].concat()).ok();
    assert_eq!(both, plain);
    xml::parse(&fs::read_to_string(&file).unwrap());
}

#[test]
fn a_title_is_quoted() {
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("a<b>&\"c\".wasm");
    fs::copy(plugin("sparse"), &copy).unwrap();
    let file = folder.path().join("map.svg").display().to_string();
    let _ = map(&["--svg", &file, copy.to_str().unwrap(), "size=1M"]).ok();
    let elements = xml::parse(&fs::read_to_string(&file).unwrap());
    assert_eq!(elements[1].text, "Map of a<b>&\"c\".wasm");
}

#[test]
fn an_svg_is_complete_or_the_old_one_stays() {
    let folder = TempDir::new().unwrap();
    let (real, link) = (
        folder.path().join("real.svg"),
        folder.path().join("link.svg"),
    );
    fs::write(&real, "old").unwrap();
    symlink(&real, &link).unwrap();
    let link = link.to_str().unwrap();
    let lost = Liar::start(1 << 20, |request| request.error(5, "lost"));
    assert_fails(&map(&["--svg", link, &lost.uri()]), 1, &["EIO", "lost"]);
    lost.join();
    assert_eq!(fs::read_to_string(&real).unwrap(), "old");
    let _ = map(&["--svg", link, &wasm("sparse"), "size=1M"]).ok();
    assert!(fs::read_to_string(&real).unwrap().starts_with("<svg "));
    assert!(fs::symlink_metadata(link).unwrap().is_symlink());
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "nothing is left behind");
}

#[test]
fn a_signal_ends_it_with_its_number_and_nothing_is_left() {
    for (name, number) in [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("USR1", 10),
        ("ALRM", 14),
        ("TERM", 15),
    ] {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        // A server that never answers a request.
        let silent = UnixListener::bind(path("socket")).unwrap();
        let uri = format!("nbd+unix:///?socket={}", path("socket").display());
        let mut map = Command::new("env")
            // The test's own caller may ignore the signal.
            .args(["--default-signal=HUP", nbdbox().to_str().unwrap()])
            .args(["map", "--svg", path("map.svg").to_str().unwrap(), &uri])
            .spawn()
            .unwrap();
        // By then the command catches signals.
        let _client = silent.accept().unwrap();
        let killed = Command::new("kill")
            .args([format!("-{name}"), map.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
        assert_eq!(map.wait().unwrap().code(), Some(128 + number), "{name}");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{name}: {left:?}");
    }
}

#[test]
fn an_svg_that_cannot_be_written_fails_before_the_work() {
    let source = "nbd://127.0.0.1:1/nobody";
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing/map.svg").display().to_string();
    let words = ["can't write", &missing, "No such file"];
    assert_fails(&map(&["--svg", &missing, source]), 1, &words);
    let folder = folder.path().to_str().unwrap();
    let words = ["can't write", folder, "folder"];
    assert_fails(&map(&["--svg", folder, source]), 1, &words);
    let special = map(&["--svg", "/dev/stdout", &wasm("sparse"), "size=1M"]).ok();
    xml::parse(&special);
}

// Progress

#[test]
fn progress_is_shown_on_a_terminal_when_it_takes_time() {
    let slow = Peer::nbdkit(["--filter=delay", "null", "1M", "delay-extents=2"]);
    let fast = Peer::nbdkit(["null", "1M"]);
    let seen = |uri: &str, redirection: &str| {
        let program = nbdbox().display().to_string();
        let command = format!("TERM=xterm {program} map \"{uri}\" {redirection}");
        shell(&format!("script -qec '{command}' /dev/null </dev/null")).ok()
    };
    assert!(seen(&slow.uri(), ">/dev/null").contains("mapping"));
    assert_eq!(seen(&fast.uri(), ">/dev/null"), "");
    assert_eq!(seen(&slow.uri(), "2>&1 >/dev/null | cat"), "");
}

// What can be wrong

#[test]
fn wrong_uris_are_explained() {
    for (uri, words) in [
        (
            "nbds://localhost/disk",
            &["--tls-ca", "tls-certificates"][..],
        ),
        ("nbds+unix:///?socket=/x", &["--tls-ca"]),
        ("nbds://localhost/?tls-psk-file=x", &["tls-psk-file"]),
        ("nbd+tcp://localhost/", &["nbd+tcp", "nbd://HOST"]),
        ("http://localhost/", &["http", "nbd+unix"]),
        ("nbd:///disk", &["host is missing"]),
        ("nbd+unix:///disk", &["socket=PATH"]),
        ("nbd+unix://disk?socket=/x", &["three slashes"]),
        ("nbd://localhost:70000/", &["invalid port"]),
        ("nbd://localhost/100%", &["%25"]),
    ] {
        assert_fails(&map(&[uri]), 1, &[&[uri], words].concat());
    }
    let escapes = map(&["nbd://localhost/\x1b[2J%"]);
    assert_fails(&escapes, 1, &["nbd://localhost/\\u{1b}[2J%", "%25"]);
}

#[test]
fn a_missing_server_or_file_is_named() {
    let folder = TempDir::new().unwrap();
    let uri = format!("nbd+unix:///?socket={}/none", folder.path().display());
    assert_fails(&map(&[&uri]), 1, &[&uri, "can't connect", "No such file"]);
    let tcp = "nbd://127.0.0.1:1/x";
    assert_fails(&map(&[tcp]), 1, &[tcp, "can't connect", "refused"]);
    assert_fails(
        &map(&["missing.wasm"]),
        1,
        &["missing.wasm", "No such file"],
    );
    let server = Server::plugin("sparse", &["size=1M"]);
    let wrong = server.uri_of("wrong");
    assert_fails(&map(&[&wrong]), 1, &[&wrong, "no such export"]);
}

#[test]
fn the_export_of_the_uri_is_requested() {
    let file = wasm("sparse");
    let server = Server::start(["--export", "a b/ü%", "--", &file, "size=1M"]);
    let _ = map(&[&server.uri_of("a%20b/%C3%BC%25")]).ok();
}

#[test]
fn wrong_command_lines_are_usage_errors() {
    let server = "nbd://localhost/";
    for arguments in [
        &[][..],
        &[server, "size=1M"],
        &["--blob", "disk=/x", server],
        &["--limit", "wall=9s", server],
        &["--extents-on-error", "error", server],
        &["--picture", "--json", server],
        &["--picture", "--totals", server],
        &["--nonsense", server],
    ] {
        assert_fails(&map(arguments), 2, &["Usage: nbdbox map"]);
    }
}

#[test]
fn a_server_without_extents_has_no_map() {
    let words = ["base:allocation"];
    let simple = Peer::nbdkit(["--no-sr", "memory", "1M"]);
    assert_fails(&map(&[&simple.uri()]), 1, &words);
    // A plugin that reports no extents is all data.
    let pattern = map(&[&wasm("pattern"), "size=1M"]).ok();
    assert!(pattern.contains("data"), "{pattern}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let program = nbdbox().display().to_string();
    let source = format!("{} size=64M runlength=512", wasm("sparse"));
    let run = shell(&format!(
        "set -o pipefail; {program} map {source} | head -n 1"
    ));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let full = shell(&format!("{program} map {source} > /dev/full"));
    assert_fails(&full, 1, &["can't write to standard output"]);
}

// Servers that can't be trusted

#[test]
fn texts_of_a_server_are_escaped() {
    let text = "\x1b]0;owned\x07\x1b[2Jno\r\n";
    let escaped = "\\u{1b}]0;owned\\u{7}\\u{1b}[2Jno\\r\\n";
    let liar = Liar::refusing(text);
    assert_fails(&map(&[&liar.uri()]), 1, &[&liar.uri(), escaped]);
    liar.join();
    let liar = Liar::start(1 << 20, |request| request.error(5, text));
    let words = [&*liar.uri(), "EIO", "block status at 0", escaped];
    assert_fails(&map(&[&liar.uri()]), 1, &words);
    liar.join();
}

#[test]
fn answers_that_do_not_move_on_are_errors() {
    let nothing = Liar::start(1 << 20, |request| {
        request.chunk(chunk::NONE, chunk::FLAG_DONE, &[])
    });
    let empty = Liar::start(1 << 20, |request| {
        request.extents(chunk::FLAG_DONE, &[(0, 3)])
    });
    let first_empty = Liar::start(1 << 20, |request| {
        request.extents(chunk::FLAG_DONE, &[(0, 0), (512, 3)])
    });
    let endless = Liar::start(1 << 20, |request| {
        loop {
            request.extents(0, &[(512, 3)])?;
        }
    });
    let foreign = Liar::start(1 << 20, |request| {
        let payload = [0, 0, 0, 99, 0, 16, 0, 0, 0, 0, 0, 0];
        request.chunk(chunk::BLOCK_STATUS, chunk::FLAG_DONE, &payload)
    });
    for liar in [nothing, empty, first_empty, endless, foreign] {
        let run = map(&["--totals", &liar.uri()]);
        assert_fails(&run, 1, &[&liar.uri(), "broke the protocol"]);
        assert_eq!(run.stdout, "");
        liar.join();
    }
}

#[test]
fn short_answers_go_on_and_neighbours_are_one() {
    // Kinds alternate every 128 KiB, in replies of one block. The last extent reaches past the end.
    let liar = Liar::start((1 << 20) - 100, |request| {
        let kind = u32::try_from(request.offset / (128 << 10) % 2 * 3).unwrap();
        request.extents(chunk::FLAG_DONE, &[(64 << 10, kind)])
    });
    let text = map(&[&liar.uri()]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 8, "{text}");
    assert_eq!(lines[1], "    131072      131072    3  hole,zero");
    assert_eq!(lines[7], "    917504      130972    3  hole,zero");
    liar.join();
}

#[test]
fn a_compact_request_has_32_bits() {
    let liar = Liar::start(u64::MAX, |request| {
        assert_eq!(request.length, u32::MAX - 511);
        if request.offset < 8 << 30 {
            request.extents(chunk::FLAG_DONE, &[(request.length, 0)])
        } else {
            request.error(108, "enough")
        }
    });
    assert_fails(
        &map(&["--totals", &liar.uri()]),
        1,
        &["ESHUTDOWN", "enough"],
    );
    liar.join();
}
