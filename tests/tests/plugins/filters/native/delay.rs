//! `delay`: calls take longer, and no fault is counted.

use std::time::{Duration, Instant};

use nbd_proto::{CommandFlags, Errno, Framing};
use nbdbox_tests::{Client, Server, plugin};

use super::super::compare::options;
use super::Pair;

fn serve(filter: &str, more: &[&str]) -> Server {
    let mut words: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
    words.extend(options(&[filter]));
    words.push(plugin("memory").display().to_string());
    Server::start(words)
}

/// The time that `work` takes.
fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = work();
    (done, begun.elapsed())
}

#[test]
fn calls_take_at_least_as_long() {
    const WAIT: Duration = Duration::from_millis(250);
    let none = CommandFlags::empty();
    let server = serve("delay,rdelay=250ms,wdelay=250ms,delay-extents=250ms", &[]);
    let mut client = Client::connect(&server.socket(), Framing::Structured);
    assert!(time(|| client.read(0, 512).unwrap()).1 >= WAIT);
    assert!(time(|| client.write(0, &[1; 512], none).unwrap()).1 >= WAIT);
    assert!(time(|| client.trim(0, 512, none).unwrap()).1 >= WAIT);
    assert!(time(|| client.zero(0, 512, none).unwrap()).1 >= WAIT);
    assert!(time(|| client.status(0, 512, none).unwrap()).1 >= WAIT);
}

#[test]
fn connecting_and_disconnecting_are_delayed() {
    const WAIT: Duration = Duration::from_millis(250);
    let server = serve("delay,delay-open=250ms,delay-close=250ms", &[]);
    let (client, took) = time(|| Client::connect(&server.socket(), Framing::Structured));
    assert!(took >= WAIT);
    drop(client);
    let (exit, _) = time(|| server.stop());
    assert_eq!(exit.code, Some(0), "{}", exit.log);
}

#[test]
fn a_delay_is_no_part_of_the_plugins_time() {
    let server = serve("delay,rdelay=500ms", &["--limit", "wall=100ms"]);
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
