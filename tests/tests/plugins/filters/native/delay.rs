//! `delay`: calls take longer, and no fault is counted.

use nbd_proto::wire::{command, option};
use nbd_proto::{CommandFlags, Errno, Framing};
use nbdbox_tests::{Client, Dialog, Raw, Server, plugin};

use super::super::compare::options;
use super::Pair;

fn serve(filter: &str, more: &[&str]) -> Server {
    let mut words: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
    words.extend(options(&[filter]));
    words.push(plugin("memory").display().to_string());
    Server::start(words)
}

/// Delayed calls are answered after one that the client sends later, and that isn't delayed.
#[test]
fn calls_are_delayed() {
    let server = serve("delay,rdelay=2,wdelay=2,delay-extents=2", &[]);
    let mut dialog = Dialog::open(&server, Framing::Structured);
    let mut delayed = vec![dialog.send_write(0, 0, &[1; 512])];
    for command in [
        command::READ,
        command::TRIM,
        command::WRITE_ZEROES,
        command::BLOCK_STATUS,
    ] {
        delayed.push(dialog.send(0, command, 4096, 512));
    }
    let flush = dialog.send(0, command::FLUSH, 0, 0);
    assert_eq!(dialog.receive().cookie, flush);
    while !delayed.is_empty() {
        let answer = dialog.receive();
        assert_eq!(answer.error, 0, "{}", answer.text);
        delayed.retain(|cookie| *cookie != answer.cookie);
    }
}

/// A client that opens the export waits, while another one goes through its whole handshake.
#[test]
fn connecting_is_delayed() {
    let server = serve("delay,delay-open=3600", &[]);
    let mut waits = Raw::negotiating(&server);
    waits.option(option::GO, &Raw::info_data("", &[]));
    for _ in 0..20 {
        Raw::negotiating(&server).assert_negotiating();
    }
    assert!(waits.has_nothing_to_receive());
}

#[test]
fn a_delay_at_the_ends_of_a_connection_is_no_fault() {
    let server = serve("delay,delay-open=50ms,delay-close=50ms", &[]);
    drop(Client::connect(&server.socket(), Framing::Structured));
    let exit = server.stop();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
}

#[test]
fn a_delay_is_no_part_of_the_plugins_time() {
    let server = serve("delay,rdelay=3", &["--limit", "wall=2s"]);
    let mut client = Client::connect(&server.socket(), Framing::Structured);
    assert_eq!(client.read(0, 512).unwrap(), [0; 512]);
}

#[test]
fn fast_zeroes_are_refused_at_once_if_they_are_to_be() {
    let settings = ["delay-fast-zero=false", "delay-zero=3600"];
    let ours = format!("delay,{}", settings.join(","));
    let pair = Pair::new(&[&ours], &["delay"], &settings);
    for socket in [pair.ours.socket(), pair.theirs.socket()] {
        let mut client = Client::connect(&socket, Framing::Structured);
        let refused = client.zero(0, 4096, CommandFlags::FAST_ZERO).unwrap_err();
        assert_eq!(refused.errno, Errno::Enotsup);
    }
}

#[test]
fn a_client_that_hangs_up_waits_no_longer() {
    let server = serve("delay,rdelay=1000", &[]);
    let uri = server.uri();
    let script = "h.aio_pread(nbd.Buffer(512), 0)\nh.poll(0)\nh.poll(0)\nimport os\nos._exit(0)";
    assert_eq!(nbdbox_tests::nbdsh(&uri, script).code, 0);
    // The server drains first, so it ends only without clients.
    let exit = server.stop();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
    assert!(!exit.log.contains("ERROR"), "{}", exit.log);
}
