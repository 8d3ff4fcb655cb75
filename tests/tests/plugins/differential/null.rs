//! `null` and `zero` against nbdkit's plugins of the same names.

use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Peer, Random, Server};

use super::operation::Operation;

const SIZE: u64 = 4_000_001;

#[test]
fn null_forgets_as_nbdkits_does() {
    let size = format!("size={SIZE}");
    let (server, peer) = (
        Server::plugin("null", &[&size]),
        Peer::nbdkit(["null", &size]),
    );
    let mut clients = [
        Client::connect(&server.socket(), Framing::Extended),
        Client::connect(&peer.socket(), Framing::Structured),
    ];
    let mut random = Random::seeded(1);
    for _ in 0..50 {
        let operation = Operation::random(&mut random, SIZE, 200_000, 1);
        let (offset, length) = random.range(SIZE, 100_000);
        for client in &mut clients {
            operation.send(client);
            let read = client.read(offset, u32::try_from(length).unwrap()).unwrap();
            assert!(read.iter().all(|byte| *byte == 0));
        }
    }
    let maps = clients.each_mut().map(|client| client.map(0, SIZE, SIZE));
    assert_eq!(maps[0], maps[1]);
    assert_eq!(maps[0].len(), 1);
}

#[test]
fn null_without_a_size_has_none() {
    let (server, peer) = (Server::plugin("null", &[]), Peer::nbdkit(["null"]));
    assert_eq!(Client::connect(&server.socket(), Framing::Simple).size(), 0);
    assert_eq!(Client::connect(&peer.socket(), Framing::Simple).size(), 0);
}

#[test]
fn zero_has_no_bytes_and_refuses_as_nbdkits_does() {
    let (server, peer) = (Server::plugin("zero", &[]), Peer::nbdkit(["zero"]));
    let answers = [server.socket(), peer.socket()].map(|socket| {
        let mut client = Client::connect(&socket, Framing::Structured);
        assert_eq!(client.size(), 0);
        let read = client.read(0, 1).unwrap_err().errno;
        let status = client.status(0, 1, CommandFlags::empty());
        (read, status.unwrap_err().errno)
    });
    assert_eq!(answers[0], answers[1]);
}
