//! Any bytes of a client, in any pieces, into the server's handshake: the same conversation however
//! it is cut, never more used than there is, output bounded by input.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nbd_proto::client::push_option;
use nbd_proto::{BlockSizes, Event, Export, ExportFlags, Handshake, Policy, TlsMode, limits};

/// One conversation: how the shell behaves, how the stream is cut, and the stream.
struct Script<'a> {
    tls: TlsMode,
    answers: u8,
    piece: usize,
    stream: Vec<u8>,
    /// What the client would have to have said to be here; keeps names in the fuzzer's reach.
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

    /// Answers a question, always the same one alike.
    fn answer(&self, handshake: &mut Handshake, name: &str) {
        match (self.answers ^ name.len() as u8) & 7 {
            0 => handshake.unknown(),
            1 => handshake.denied("not\0you"),
            2 => handshake.tls_required(),
            3 => handshake.shutting_down(),
            kind => handshake.found(&export(kind, self.name)),
        }
    }

    /// Plays it with pieces of this size; what came of it.
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
                    // From here on the pieces decide what was plain text, so this is the end.
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

/// Client flags, and options whose magic and length are right: number, length, payload.
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
        "another cut, another conversation"
    );
});
