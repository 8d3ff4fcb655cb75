//! The four tenants that misbehave, each at a socket of its own.

use std::io::Read as _;
use std::path::Path;
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::ensure;
use nbd_proto::client::Request;
use nbd_proto::{Cookie, Framing};

use crate::client::Endpoint;
use crate::load::{Load, Operation, Order};

/// The connections of each attacker, except the one that floods.
const CONNECTIONS: usize = 4;

/// The load of the flood: more connections than a client needs, each with as many requests as the server takes.
const FLOOD: Load = Load {
    operation: Operation::Read,
    order: Order::Random,
    length: 4096,
    depth: 64,
    connections: 16,
};

/// The bytes of one request of the slow reader.
const MUCH: u32 = 1 << 20;

/// Longer than any measurement.
const FOREVER: Duration = Duration::from_secs(3600);

/// Attacks until it's killed.
pub(crate) fn attack(folder: &Path) -> anyhow::Result<()> {
    let endpoint = |name: &str| Endpoint::Unix(folder.join(name));
    for name in ["loops", "allocates"] {
        for _ in 0..CONNECTIONS {
            let endpoint = endpoint(name);
            thread::spawn(move || again_and_again(|| ask(&endpoint)));
        }
    }
    for _ in 0..CONNECTIONS {
        let endpoint = endpoint("dawdles");
        thread::spawn(move || again_and_again(|| dawdle(&endpoint)));
    }
    let flood = endpoint("floods");
    again_and_again(|| FLOOD.run(&flood, FOREVER).map(drop));
    Ok(())
}

/// Runs an attack again whenever it ends: a client that was thrown out comes back.
fn again_and_again(attack: impl Fn() -> anyhow::Result<()>) {
    loop {
        // It doesn't matter how the attack ended, because it has to go on.
        let _ = attack();
        sleep(Duration::from_millis(10));
    }
}

/// Reads again and again, whatever the replies are.
fn ask(endpoint: &Endpoint) -> anyhow::Result<()> {
    let mut client = endpoint.connect()?;
    let mut request = Vec::new();
    Request::read(Cookie(0), 0, 4096).encode(Framing::Structured, &mut request)?;
    loop {
        client.blocking_send(&request)?;
        client.blocking_receive()?;
        client.consume(client.input().len());
    }
}

/// Requests many bytes, and takes a few at a time.
fn dawdle(endpoint: &Endpoint) -> anyhow::Result<()> {
    let mut client = endpoint.connect()?;
    let mut requests = Vec::new();
    for number in 0..64 {
        let (cookie, offset) = (Cookie(number), number * u64::from(MUCH));
        Request::read(cookie, offset, MUCH).encode(Framing::Structured, &mut requests)?;
    }
    client.blocking_send(&requests)?;
    loop {
        let taken = client.stream().read(&mut [0; 4096])?;
        ensure!(taken > 0, "the server hung up while it dawdled");
        sleep(Duration::from_millis(100));
    }
}
