//! Whole handshakes, byte by byte (points 1, 5–8, 11, 12, 19, 33, 34, 66).
//!
//! A line `C` has bytes of the client, a line `S` the bytes with which the server answers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/script.rs"]
mod script;

use nbd_proto::TlsMode;

use script::{Server, hex};

/// Plays a handshake. Each line has bytes after the letter of their sender.
fn play(conversation: &str) -> Server {
    let mut server = Server::new(TlsMode::Off);
    server.feed(&[]);
    let mut turns: Vec<(char, Vec<u8>)> = Vec::new();
    for line in conversation
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (who, bytes) = line.split_at(1);
        let who = who.chars().next().unwrap();
        match turns.last_mut() {
            Some((last, said)) if *last == who => said.extend(hex(bytes)),
            _ => turns.push((who, hex(bytes))),
        }
    }
    for (index, (who, bytes)) in turns.into_iter().enumerate() {
        match who {
            'C' => server.feed(&bytes),
            _ => assert_eq!(hexdump(&server.take()), hexdump(&bytes), "turn {index}"),
        }
    }
    assert_eq!(server.take(), b"", "the server sends no more");
    server
}

fn hexdump(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The handshake of the Linux kernel's old clients.
#[test]
fn export_name() {
    let server = play(
        "S 4e42444d41474943 49484156454f5054 0003   # NBDMAGIC IHAVEOPT, both flags
         C 00000003                                 # both flags too
         C 49484156454f5054 00000001 00000004 6469736b
         S 0000000040000000 0d6d                    # size, flags; no zeroes",
    );
    assert!(server.session.is_some());
}

#[test]
fn export_name_with_zeroes() {
    let zeroes = "00".repeat(124);
    play(&format!(
        "S 4e42444d41474943 49484156454f5054 0003
         C 00000001
         C 49484156454f5054 00000001 00000000       # the default export
         S 0000000040000000 0d6d {zeroes}"
    ));
}

/// The handshake of a modern client with structured replies.
#[test]
fn structured_reply_meta_context_go() {
    let server = play(
        "S 4e42444d41474943 49484156454f5054 0003
         C 00000003
         C 49484156454f5054 00000008 00000000       # STRUCTURED_REPLY
         S 0003e889045565a9 00000008 00000001 00000000
         C 49484156454f5054 0000000a 0000001f       # SET_META_CONTEXT
         C 00000004 6469736b 00000001               # 'disk', one query
         C 0000000f 626173653a616c6c6f636174696f6e  # base:allocation
         S 0003e889045565a9 0000000a 00000004 00000013
         S 00000001 626173653a616c6c6f636174696f6e  # its id is 1
         S 0003e889045565a9 0000000a 00000001 00000000
         C 49484156454f5054 00000007 00000010       # GO
         C 00000004 6469736b 0003 0001 0002 0003    # 'disk': name, description, block size
         S 0003e889045565a9 00000007 00000003 0000000c
         S 0000 0000000040000000 0ded               # EXPORT, now with DF
         S 0003e889045565a9 00000007 00000003 00000006
         S 0001 6469736b                            # NAME
         S 0003e889045565a9 00000007 00000003 00000008
         S 0002 41206469736b                        # DESCRIPTION
         S 0003e889045565a9 00000007 00000003 0000000e
         S 0003 00000001 00001000 02000000          # BLOCK_SIZE
         S 0003e889045565a9 00000007 00000001 00000000",
    );
    assert!(server.session.unwrap().allocation().is_some());
}

#[test]
fn extended_headers_meta_context_go() {
    play(
        "S 4e42444d41474943 49484156454f5054 0003
         C 00000003
         C 49484156454f5054 0000000b 00000000       # EXTENDED_HEADERS
         S 0003e889045565a9 0000000b 00000001 00000000
         C 49484156454f5054 0000000a 0000001b 00000000 00000001
         C 0000000f 626173653a616c6c6f636174696f6e
         S 0003e889045565a9 0000000a 00000004 00000013
         S 00000001 626173653a616c6c6f636174696f6e
         S 0003e889045565a9 0000000a 00000001 00000000
         C 49484156454f5054 00000007 00000006 00000000 0000
         S 0003e889045565a9 00000007 00000003 0000000c
         S 0000 0000000040000000 1ded               # DF and BLOCK_STATUS_PAYLOAD
         S 0003e889045565a9 00000007 00000001 00000000",
    );
}

#[test]
fn info_of_no_export_and_go() {
    play(
        "S 4e42444d41474943 49484156454f5054 0003
         C 00000003
         C 49484156454f5054 00000006 00000008 00000002 7a7a 0000
         S 0003e889045565a9 00000006 80000006 0000000e # ERR_UNKNOWN
         S 6e6f2073756368206578706f7274              # no such export
         C 49484156454f5054 00000007 00000006 00000000 0000
         S 0003e889045565a9 00000007 00000003 0000000c
         S 0000 0000000040000000 0d6d
         S 0003e889045565a9 00000007 00000001 00000000",
    );
}

#[test]
fn list_and_abort() {
    let server = play(
        "S 4e42444d41474943 49484156454f5054 0003
         C 00000003
         C 49484156454f5054 00000003 00000000       # LIST
         S 0003e889045565a9 00000003 00000002 0000000e
         S 00000004 6469736b 41206469736b           # disk, A disk
         S 0003e889045565a9 00000003 00000002 00000007
         S 00000003 626967                          # big
         S 0003e889045565a9 00000003 00000001 00000000
         C 49484156454f5054 00000002 00000000       # ABORT
         S 0003e889045565a9 00000002 00000001 00000000",
    );
    assert!(server.closed);
}

#[test]
fn list_meta_context() {
    play(
        "S 4e42444d41474943 49484156454f5054 0003
         C 00000003
         C 49484156454f5054 00000008 00000000
         S 0003e889045565a9 00000008 00000001 00000000
         C 49484156454f5054 00000009 00000008 00000000 00000000
         S 0003e889045565a9 00000009 00000004 00000013
         S 00000000 626173653a616c6c6f636174696f6e  # ids are zero here
         S 0003e889045565a9 00000009 00000001 00000000",
    );
}

#[test]
fn starttls_and_an_unknown_option_without_tls() {
    play(
        "S 4e42444d41474943 49484156454f5054 0003
         C 00000003
         C 49484156454f5054 00000005 00000000       # STARTTLS
         S 0003e889045565a9 00000005 80000002 0000001d # ERR_POLICY
         S 746869732073657276657220646f65736e2774206f6666657220544c53 # this server doesn't offer TLS
         C 49484156454f5054 000000ff 00000003 414243
         S 0003e889045565a9 000000ff 80000001 0000000e # ERR_UNSUP
         S 756e6b6e6f776e206f7074696f6e              # unknown option",
    );
}
