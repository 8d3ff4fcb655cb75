//! Feeds any bytes of a client, in any pieces, to the server's handshake. The pieces don't change the conversation, the
//! handshake consumes no more than there is, and the input bounds the output.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nbd_proto::client::push_option;
use nbd_proto::{BlockSizes, Event, Export, ExportFlags, Handshake, Policy, TlsMode, limits};

/// One conversation: the answers of the server's shell, the size of the pieces, and the client's stream.
struct Script<'a> {
    tls: TlsMode,
    answers: u8,
    piece: usize,
    stream: Vec<u8>,
    /// The export's name, from the input, so that the fuzzer controls it.
    name: &'a [u8],
}

impl<'a> Script<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let [how, answers, piece, rest @ ..] = bytes else {
            return None;
        };
        let tls = match how & 3 {
            0 | 1 => TlsMode::Off,
            2 => TlsMode::Offer,
            _ => TlsMode::Require,
        };
        let stream = if how & 4 == 0 {
            rest.to_vec()
        } else {
            options(rest)
        };
        let name = rest.get(..4).unwrap_or_default();
        Some(Self {
            tls,
            answers: *answers,
            piece: usize::from(*piece).max(1),
            stream,
            name,
        })
    }

    /// Answers a lookup. The same name gets the same answer every time.
    fn answer(&self, handshake: &mut Handshake, name: &str) {
        match (self.answers ^ name.len() as u8) & 7 {
            0 => handshake.unknown(),
            1 => handshake.denied("not\0you"),
            2 => handshake.tls_required(),
            3 => handshake.shutting_down(),
            kind => handshake.found(&export(kind, self.name)),
        }
    }

    /// Plays the conversation with pieces of this size. Returns the events and the output.
    fn play(&self, piece: usize) -> (Vec<Event>, Vec<u8>) {
        let mut handshake = Handshake::new(Policy {
            tls: self.tls,
            ..Policy::default()
        });
        let (mut events, mut output) = (Vec::new(), handshake.take_output());
        let mut buffer = Vec::new();
        for bytes in self.stream.chunks(piece) {
            buffer.extend_from_slice(bytes);
            loop {
                let (consumed, event) = handshake.advance(&buffer);
                assert!(consumed <= buffer.len());
                let sent = handshake.take_output();
                assert!(sent.len() <= 6 * consumed);
                output.extend(sent);
                buffer.drain(..consumed);
                if event == Event::NeedMore {
                    assert!(buffer.len() < limits::HANDSHAKE_BUFFER);
                    break;
                }
                events.push(event.clone());
                match event {
                    Event::List => handshake.list([("a", None), ("b\0", Some("c\0d"))]),
                    Event::Find(lookup) => self.answer(&mut handshake, &lookup.name),
                    // The size of the pieces decides how much plain text has arrived, so the comparison ends here.
                    Event::StartTls => {
                        handshake.tls_established();
                        let _ = handshake.advance(&self.stream);
                        return (events, output);
                    }
                    Event::Ready(_) | Event::Close | Event::NeedMore => return (events, output),
                }
                output.extend(handshake.take_output());
            }
        }
        (events, output)
    }
}

fn export(kind: u8, name: &[u8]) -> Export {
    Export {
        name: String::from_utf8_lossy(name).into_owned(),
        description: (kind & 1 == 0).then(|| "description".repeat(usize::from(kind))),
        size: u64::MAX >> kind,
        flags: ExportFlags::from_bits_truncate(u16::from(kind) << 5),
        enforced: None,
        block: if kind & 2 == 0 {
            BlockSizes::default()
        } else {
            BlockSizes::new(65_536, 65_536, u32::MAX).unwrap()
        },
        allocation: kind != 7,
    }
}

/// A stream of client flags and options with a correct magic and length. The input has a number, a length and a payload
/// for each option.
fn options(mut bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0, 0, 0, 3];
    while let [number, length, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        push_option(u32::from(*number), payload, &mut stream);
        bytes = rest;
    }
    stream
}

fuzz_target!(|bytes: &[u8]| {
    let Some(script) = Script::read(bytes) else {
        return;
    };
    let whole = script.play(usize::MAX);
    assert_eq!(
        whole,
        script.play(script.piece),
        "other pieces change the conversation"
    );
});
