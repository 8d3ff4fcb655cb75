//! A light load: requests of one kind, with a constant number of them in flight.
//!
//! One system call sends all requests that became possible, and one receives all replies that have arrived; the load
//! reads the clock once for each. So the load isn't what the row measures: fio and libnbd take longer for a request
//! than the server does.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use fastrand::Rng;
use hdrhistogram::Histogram;
use nbd_proto::client::{Body, Request, decode};
use nbd_proto::{Cookie, Framing};

use crate::client::{Connected, Endpoint};

/// Payloads of at least this size have a system call of their own, and aren't copied into a batch.
const LARGE: u32 = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Write,
    /// BLOCK_STATUS.
    Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Random,
    Sequential,
}

/// The load to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) operation: Operation,
    pub(crate) order: Order,
    /// The bytes of a request.
    pub(crate) length: u32,
    /// The requests in flight on each connection.
    pub(crate) depth: usize,
    pub(crate) connections: usize,
}

/// The outcome of a load.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) operations: u64,
    /// Bytes read or written; for block status, the bytes of the ranges of descriptors.
    pub(crate) bytes: u64,
    /// The descriptors of block status replies.
    pub(crate) extents: u64,
    pub(crate) time: Duration,
    /// The times of requests, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Load {
    /// Loads the server for `time`.
    pub(crate) fn run(&self, endpoint: &Endpoint, time: Duration) -> anyhow::Result<Done> {
        let barrier = Barrier::new(self.connections);
        let parts = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.connections)
                .map(|number| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        let client = endpoint.connect();
                        barrier.wait();
                        Worker::new(self, client?, number).run(time)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| bail!("a worker failed")))
                .collect::<anyhow::Result<Vec<Done>>>()
        })?;
        parts
            .into_iter()
            .reduce(Done::join)
            .context("no connection")
    }
}

impl Done {
    fn join(mut self, other: Self) -> Self {
        self.operations += other.operations;
        self.bytes += other.bytes;
        self.extents += other.extents;
        self.time = self.time.max(other.time);
        // Both histograms have the same bounds.
        let _ = self.latency.add(other.latency);
        self
    }

    pub(crate) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.time.as_secs_f64()
    }
}

/// One connection of a load.
struct Worker<'a> {
    load: &'a Load,
    client: Connected,
    /// By cookie: the request, and the time at which it was sent.
    under_way: Vec<(Request, Instant)>,
    /// Cookies that are free.
    free: Vec<usize>,
    /// Bytes of a read's data that are still to come, and its cookie if they are the last.
    data: Option<(u64, Option<usize>)>,
    places: Places,
    payload: Vec<u8>,
    batch: Vec<u8>,
    done: Done,
}

impl<'a> Worker<'a> {
    fn new(load: &'a Load, client: Connected, number: usize) -> Self {
        let size = client.size();
        let nothing = Request::read(Cookie(0), 0, 0);
        Self {
            load,
            places: Places::new(load, size, number),
            client,
            under_way: vec![(nothing, Instant::now()); load.depth],
            free: (0..load.depth).rev().collect(),
            data: None,
            payload: vec![0x5a; load.length as usize],
            batch: Vec::new(),
            done: Done {
                operations: 0,
                bytes: 0,
                extents: 0,
                time: Duration::ZERO,
                latency: Histogram::new(3).unwrap_or_else(|_| unreachable!("3 digits are fine")),
            },
        }
    }

    fn run(mut self, time: Duration) -> anyhow::Result<Done> {
        ensure!(
            self.client.size() >= self.load.length.into(),
            "the export is smaller than one request"
        );
        let start = Instant::now();
        let mut now = start;
        while now.duration_since(start) < time {
            self.send(now)?;
            self.client.blocking_receive()?;
            now = Instant::now();
            self.collect(now)?;
        }
        self.done.time = start.elapsed();
        self.leave()?;
        Ok(self.done)
    }

    /// Receives the replies that are still to come, without counting them, and disconnects as a client should.
    fn leave(&mut self) -> anyhow::Result<()> {
        let (operations, bytes, extents) =
            (self.done.operations, self.done.bytes, self.done.extents);
        while self.free.len() < self.load.depth {
            self.client.blocking_receive()?;
            self.collect(Instant::now())?;
        }
        (self.done.operations, self.done.bytes, self.done.extents) = (operations, bytes, extents);
        Request::disconnect(Cookie(0)).encode(Framing::Structured, &mut self.batch)?;
        Ok(self.client.blocking_send(&self.batch)?)
    }

    /// Sends requests until the number in flight is reached.
    fn send(&mut self, now: Instant) -> anyhow::Result<()> {
        while let Some(slot) = self.free.pop() {
            let request = self.request(slot);
            self.under_way[slot] = (request, now);
            request.encode(Framing::Structured, &mut self.batch)?;
            if self.load.operation == Operation::Write {
                if self.load.length < LARGE {
                    self.batch.extend_from_slice(&self.payload);
                } else {
                    self.client.blocking_send(&self.batch)?;
                    self.batch.clear();
                    self.client.blocking_send(&self.payload)?;
                }
            }
        }
        self.client.blocking_send(&self.batch)?;
        self.batch.clear();
        Ok(())
    }

    fn request(&mut self, slot: usize) -> Request {
        let (cookie, offset) = (Cookie(slot as u64), self.places.next());
        let length = self.load.length;
        match self.load.operation {
            Operation::Read => Request::read(cookie, offset, length),
            Operation::Write => Request::write(Framing::Structured, cookie, offset, length),
            Operation::Status => Request::block_status(cookie, offset, length.into()),
        }
    }

    /// Takes all replies that have arrived.
    fn collect(&mut self, now: Instant) -> anyhow::Result<()> {
        loop {
            if let Some((left, end)) = self.data.take() {
                let here = left.min(self.client.input().len() as u64);
                self.client.consume(usize::try_from(here)?);
                if here < left {
                    self.data = Some((left - here, end));
                    return Ok(());
                }
                end.into_iter().for_each(|slot| self.finish(slot, now));
            }
            let under_way = &self.under_way;
            let asked = |cookie: Cookie| {
                let slot = usize::try_from(cookie.0).ok()?;
                under_way.get(slot).map(|(request, _)| *request)
            };
            let Some(reply) = decode(Framing::Structured, self.client.input(), asked)? else {
                return Ok(());
            };
            self.client.consume(reply.used);
            let slot = usize::try_from(reply.cookie.0)?;
            match reply.body {
                Body::Data { length, .. } => {
                    self.done.bytes += u64::from(length);
                    self.data = Some((length.into(), reply.done.then_some(slot)));
                    continue;
                }
                Body::Hole { length, .. } => self.done.bytes += u64::from(length),
                Body::BlockStatus { descriptors, .. } => {
                    self.done.extents += descriptors.len() as u64;
                    self.done.bytes += descriptors.iter().map(|one| one.length).sum::<u64>();
                }
                Body::Nothing => self.done.bytes += self.written(),
                Body::Error { errno, text, .. } => bail!("{errno}: {text}"),
            }
            if reply.done {
                self.finish(slot, now);
            }
        }
    }

    fn written(&self) -> u64 {
        match self.load.operation {
            Operation::Write => self.load.length.into(),
            _ => 0,
        }
    }

    fn finish(&mut self, slot: usize, now: Instant) {
        let taken = now.duration_since(self.under_way[slot].1);
        self.done.operations += 1;
        // The histogram grows to any value.
        let _ = self
            .done
            .latency
            .record(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX));
        self.free.push(slot);
    }
}

/// The offsets of the requests.
struct Places {
    length: u64,
    count: u64,
    next: Next,
}

/// The next place.
enum Next {
    Random(Rng),
    /// The one after this.
    Sequential(u64),
}

impl Places {
    fn new(load: &Load, size: u64, number: usize) -> Self {
        let length = u64::from(load.length);
        let count = size / length;
        let next = match load.order {
            Order::Random => Next::Random(Rng::with_seed(number as u64)),
            Order::Sequential => Next::Sequential(count / load.connections as u64 * number as u64),
        };
        Self {
            length,
            count,
            next,
        }
    }

    fn next(&mut self) -> u64 {
        let place = match &mut self.next {
            Next::Random(random) => random.u64(..self.count),
            Next::Sequential(at) => {
                *at = (*at + 1) % self.count;
                *at
            }
        };
        place * self.length
    }
}
