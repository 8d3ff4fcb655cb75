//! Measures how many requests a server parses and how many replies it encodes in a second, with 64 requests in flight.

#![allow(missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nbd_proto::client::Request;
use nbd_proto::{
    BlockSizes, ContextId, Cookie, Descriptor, Export, ExportFlags, Framing, Head, Parsed, Session,
    StateFlags, reply,
};

const DEPTH: u64 = 64;
const LENGTH: u32 = 4096;
const EXTENTS: u64 = 16_384;

fn session(framing: Framing) -> Session {
    let export = Export {
        name: String::new(),
        description: None,
        size: 1 << 30,
        flags: ExportFlags::empty(),
        block: BlockSizes::new(1, 4096, 1 << 20).expect("valid sizes"),
        enforced: None,
        allocation: true,
    };
    Session::new(framing, Some(ContextId(1)), export)
}

fn requests(framing: Framing) -> Vec<u8> {
    let mut bytes = Vec::new();
    for index in 0..DEPTH {
        Request::read(Cookie(index), index * 12_288, LENGTH)
            .encode(framing, &mut bytes)
            .expect("a short request");
    }
    bytes
}

/// Parses all requests of a buffer, and returns the head of the last one.
fn parse(session: &Session, mut bytes: &[u8]) -> Option<Head> {
    let mut head = None;
    while let Parsed::Request(incoming) = session.parse(black_box(bytes)) {
        bytes = &bytes[incoming.header_len..];
        head = Some(incoming.head);
    }
    head
}

fn wire(criterion: &mut Criterion) {
    for framing in [Framing::Structured, Framing::Extended] {
        let mut group = criterion.benchmark_group(format!("{framing:?}"));
        let (session, bytes) = (session(framing), requests(framing));
        let head = parse(&session, &bytes).expect("there are requests");
        let mut out = Vec::new();
        group.throughput(Throughput::Elements(DEPTH));
        group.bench_function("parse 64 reads", |bencher| {
            bencher.iter(|| parse(&session, &bytes));
        });
        group.bench_function("encode 64 data headers", |bencher| {
            bencher.iter(|| {
                out.clear();
                for index in 0..DEPTH {
                    reply::data_header(head, index * 4096, LENGTH, true, &mut out);
                }
                black_box(out.len())
            });
        });
        let kinds = [StateFlags::HOLE | StateFlags::ZERO, StateFlags::empty()];
        let descriptors: Vec<_> = (0..EXTENTS)
            .zip(kinds.into_iter().cycle())
            .map(|(_, flags)| Descriptor {
                length: 4096,
                flags,
            })
            .collect();
        group.throughput(Throughput::Elements(EXTENTS));
        group.bench_function("encode 16384 extents", |bencher| {
            let encode = |mut out: Vec<u8>| {
                let pieces = descriptors.iter().copied();
                let length = EXTENTS * 4096;
                let encoded =
                    reply::block_status(head, ContextId(1), length, false, pieces, &mut out);
                assert!(encoded.is_ok());
                out
            };
            bencher.iter_batched(
                || Vec::with_capacity(1 << 20),
                encode,
                BatchSize::LargeInput,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, wire);
criterion_main!(benches);
