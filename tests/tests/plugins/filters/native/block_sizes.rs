//! `blocksize-policy`: what the server advertises, and which requests it refuses.

use nbd_proto::{CommandFlags, Errno, Framing};
use nbdbox_tests::Client;

use super::Pair;

/// A client of each server. Dropping the pair ends the servers.
fn both(settings: &[&str]) -> (Pair, [Client; 2]) {
    let ours = [&["blocksize-policy"], settings].concat().join(",");
    let pair = Pair::new(&[&ours], &["blocksize-policy"], settings);
    let sockets = [pair.ours.socket(), pair.theirs.socket()];
    let clients = sockets.map(|socket| Client::connect(&socket, Framing::Structured));
    (pair, clients)
}

#[test]
fn clients_get_the_same_block_sizes_as_from_nbdkit() {
    for settings in [
        &[
            "blocksize-minimum=4K",
            "blocksize-preferred=64K",
            "blocksize-maximum=1M",
        ][..],
        &[
            "blocksize-minimum=1",
            "blocksize-preferred=512",
            "blocksize-maximum=32M",
        ],
        &[
            "blocksize-minimum=64K",
            "blocksize-preferred=128K",
            "blocksize-maximum=256K",
        ],
    ] {
        let (_pair, clients) = both(settings);
        let told = clients.map(|client| {
            let block = client.connection().block.unwrap();
            (block.minimum(), block.preferred(), block.maximum())
        });
        assert_eq!(told[0], told[1], "{settings:?}");
    }
}

#[test]
fn requests_off_the_block_sizes_are_refused_as_by_nbdkit() {
    let sizes = [
        "blocksize-minimum=4K",
        "blocksize-preferred=64K",
        "blocksize-maximum=128K",
    ];
    for policy in ["allow", "error"] {
        let policy = format!("blocksize-error-policy={policy}");
        let settings = [&sizes[..], &[&policy]].concat();
        let (_pair, clients) = both(&settings);
        let answers = clients.map(|mut client| {
            let mut answers: Vec<Result<(), Errno>> = Vec::new();
            for (offset, length) in [(0, 4096), (1, 4096), (4096, 512), (0, 262_144)] {
                let read = client.read(offset, length).map(drop);
                answers.push(read.map_err(|refused| refused.errno));
                let bytes = vec![1; length as usize];
                let write = client.write(offset, &bytes, CommandFlags::empty());
                answers.push(write.map_err(|refused| refused.errno));
            }
            answers
        });
        assert_eq!(answers[0], answers[1], "{policy}");
    }
}
