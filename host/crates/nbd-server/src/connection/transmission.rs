//! The transmission phase: rounds of read, run and write, in one task.
//!
//! A round takes a batch of the received requests and polls each once, which completes most of them. Then it sends all
//! replies with one vectored write, and reads again. Requests that have to wait stay pending, and replies that the
//! client doesn't read stay in the outbox; neither blocks the rounds. The [`Gate`] decides whether another request may
//! begin, and when other connections get their turn.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use device::metrics::Connected;
use device::origin::Origin;
use device::{Deadline, Device, Opened, Served};
use futures_util::future::BoxFuture;
use nbd_proto::{Command, Parsed, Session};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;

use super::deadlines::Deadlines;
use super::gate::{Gate, Permit};
use super::handshake::Agreed;
use super::idle::Idle;
use super::linger::linger;
use super::polling::{Pollers, Polling};
use super::rest::Rest;
use super::running::Running;
use super::stall::Stall;
use super::wire::Wire;
use super::{End, StopSignal, stopped};
use crate::dispatch::{self, Reply, Request};

/// Serves the requests of a connection until it ends and every request that began has ended too. Then it lets the
/// device make durable what no flush has. Dropping the future gives up the requests under way.
pub(super) async fn run<S, D>(
    agreed: Agreed<S, D>,
    number: u64,
    pollers: Pollers,
    mut stop: StopSignal,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
    D: Device,
{
    let Agreed {
        stream,
        session,
        opened: Opened {
            served,
            hold: _hold,
        },
        guest,
        unread,
        room: _room,
    } = agreed;
    let served = served.for_client();
    let (terms, metrics) = (served.terms(), served.metrics());
    let _connected = Connected::new(Arc::clone(metrics));
    let mut transmission = Transmission {
        phase: Phase::Open,
        gate: Gate::new(&terms.limits, terms.flows(), terms.cpu(), metrics),
        wire: Wire::new(stream, unread, served.kept()),
        session,
        served: &served,
        running: Running::default(),
        deadlines: Deadlines::new(terms.limits.wall),
        last: Origin {
            connection: number,
            request: 0,
        },
        idle: terms.limits.idle.map(Idle::new),
        stall: Stall::new(terms.limits.stall),
        rest: Rest::default(),
        polling: Polling::new(pollers),
        stopped: Box::pin(async move { stopped(&mut stop).await }),
    };
    let end = poll_fn(|cx| transmission.poll(cx)).await;
    // Other connections don't wait for the disk and the client that this one waits for now.
    let stream = transmission.into_stream();
    served.device().leave().await;
    drop(guest);
    //= proto.md#terminating-the-transmission-phase
    //# The client or the server drops the TCP session (in which case it SHOULD shut down the TLS session
    //# first).
    linger(stream).await;
    end
}

/// The phases of a connection. They follow each other in this order, and any but the first may be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The connection reads, begins and answers requests.
    Open,
    /// The server stops. The connection reads no more, and begins the requests that it has read, as the gate allows.
    Stopping,
    /// The connection answers further requests with ESHUTDOWN, until those under way have ended.
    Refusing,
    /// The connection begins no more requests. Those under way end, and their replies are sent.
    Closing(End),
    /// The client is gone. Requests under way end, and their replies are dropped.
    Gone(End),
}

struct Transmission<'d, S, D> {
    phase: Phase,
    gate: Gate,
    wire: Wire<S>,
    session: Session,
    served: &'d Served<D>,
    running: Running<'d, (Reply, Permit, Deadline)>,
    deadlines: Deadlines,
    /// The last request that began.
    last: Origin,
    idle: Option<Idle>,
    stall: Stall,
    rest: Rest,
    polling: Polling,
    stopped: BoxFuture<'static, ()>,
}

/// What [`Transmission::take`] has taken from the inbox.
enum Taken {
    /// A whole request.
    Request(Request, Permit),
    /// The header of a write, or a disconnect. No request begins.
    Part,
}

impl<S: AsyncRead + AsyncWrite + Unpin, D: Device> Transmission<'_, S, D> {
    /// Runs one go. Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let now = Instant::now();
        self.gate.begin_go(now - self.polling.awake_for(now));
        let polled = self.run_rounds(cx);
        self.gate.end_go();
        polled
    }

    fn run_rounds(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.check_stop(cx);
        self.check_idle(cx);
        loop {
            self.gate.begin_round();
            let mut progress = self.begin_requests(cx);
            progress |= self.collect_replies(cx);
            progress |= self.send(cx);
            if let Some(end) = self.ended() {
                return Poll::Ready(end);
            }
            // Checked before the read: requests that come after the signal mustn't count as read before it.
            progress |= self.check_stop(cx);
            progress |= self.receive(cx);
            if !progress {
                progress = self.check_stall(cx);
            }
            if !progress {
                if self.is_quiet() && self.polling.stays_awake(Instant::now()) {
                    // The runtime looks for input before it wakes a task that yields.
                    let yielded = pin!(yield_now()).poll(cx);
                    debug_assert!(yielded.is_pending(), "the runtime wakes the task");
                    return Poll::Pending;
                }
                self.check_rest(cx);
                return Poll::Pending;
            }
            if self.gate.is_go_over() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Whether the connection has nothing to do until its client sends a request, and is likely to send one soon.
    fn is_quiet(&self) -> bool {
        self.polling.is_on()
            && self.phase == Phase::Open
            && !self.gate.is_busy()
            && self.wire.inbox.is_empty()
            && self.wire.is_sent()
    }

    /// Returns whether the server has just stopped, and begins to stop then.
    fn check_stop(&mut self, cx: &mut Context<'_>) -> bool {
        let stopping = self.phase == Phase::Open && self.stopped.as_mut().poll(cx).is_ready();
        if stopping {
            self.enter(Phase::Stopping);
        }
        stopping
    }

    /// Releases the memory that is kept for further requests, if there was none for a while.
    fn check_rest(&mut self, cx: &mut Context<'_>) {
        let (requests, is_busy) = (self.last.request, self.gate.is_busy());
        if self.wire.outbox.keeps_memory() && self.rest.is_over(requests, is_busy, cx) {
            self.wire.rest();
        }
    }

    /// Closes a connection that has had no request under way for too long.
    fn check_idle(&mut self, cx: &mut Context<'_>) {
        let Some(idle) = &mut self.idle else { return };
        if self.gate.is_busy() {
            idle.restart();
        }
        if self.phase == Phase::Open && idle.is_over(cx) {
            self.enter(Phase::Closing(End::Idle));
        }
    }

    /// Gives up on a client that stalls, once other connections wait for what it holds. Returns whether it has just
    /// done so.
    fn check_stall(&mut self, cx: &mut Context<'_>) -> bool {
        let sends_on = self.phase == Phase::Open && self.wire.inbox.awaits_payload();
        let reads_on = !matches!(self.phase, Phase::Gone(_)) && !self.wire.outbox.is_empty();
        if !(sends_on || reads_on) || !self.gate.shares() {
            self.stall.settle();
            return false;
        }
        if !self.stall.is_over(cx) || !self.gate.is_wanted(cx) {
            return false;
        }
        let (terms, connection) = (self.served.terms(), self.last.connection);
        let owed = if reads_on {
            "reads no replies"
        } else {
            "doesn't send the rest of a write"
        };
        tracing::warn!(
            target: "nbdbox::connection",
            tenant = terms.tenant(),
            export = terms.export.name,
            connection,
            stall = ?terms.limits.stall,
            "closing: the client {owed}, and other connections wait for what it holds"
        );
        self.enter(Phase::Gone(End::Stalled));
        true
    }

    /// Enters a phase. The connection leaves the queues that this phase doesn't need, so that no other connection waits
    /// behind it.
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        match phase {
            Phase::Open => {}
            Phase::Stopping | Phase::Refusing => self.gate.give_up_core(),
            Phase::Closing(_) | Phase::Gone(_) => {
                self.gate.step_back();
                // The connection reads nothing more, so the rest of a write never comes.
                if let Some(permit) = self.wire.inbox.abandon() {
                    self.gate.leave(permit);
                }
            }
        }
        if matches!(
            phase,
            Phase::Gone(_) | Phase::Closing(End::HungUp | End::Broken)
        ) {
            self.deadlines.hang_up();
        }
    }

    /// Takes the received requests that may begin, and polls each once. Returns whether it took any.
    fn begin_requests(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while !matches!(self.phase, Phase::Closing(_) | Phase::Gone(_)) && self.gate.has_room() {
            // A stopping connection doesn't wait for backlog or time slice.
            if self.phase == Phase::Open && !self.may_begin(cx) {
                break;
            }
            match self.take(cx) {
                Some(Taken::Request(request, permit)) => self.begin(request, permit, cx),
                Some(Taken::Part) => {}
                None if self.phase == Phase::Stopping => {
                    self.enter(Phase::Refusing);
                    return true;
                }
                None => break,
            }
            progress = true;
        }
        progress
    }

    /// Whether backlog and time slice allow the next request.
    fn may_begin(&mut self, cx: &mut Context<'_>) -> bool {
        if Gate::is_backed_up(self.wire.outbox.bytes()) {
            self.send(cx);
        }
        if Gate::is_backed_up(self.wire.outbox.bytes()) {
            self.gate.step_back();
            return false;
        }
        self.wire.inbox.is_empty() || self.gate.has_time(cx)
    }

    /// Takes the next request from the inbox, or a part of one. `None` if it hasn't come, has to wait, or is broken.
    fn take(&mut self, cx: &mut Context<'_>) -> Option<Taken> {
        let inbox = &mut self.wire.inbox;
        if let Some((incoming, payload, permit)) = inbox.complete_write() {
            let request = Request {
                incoming,
                payload,
                allocation: None,
            };
            return Some(Taken::Request(request, permit));
        }
        let incoming = match self.session.parse(inbox.request_bytes()?) {
            Parsed::Incomplete => return None,
            Parsed::Broken(broken) => {
                let (tenant, connection) = (self.served.terms().tenant(), self.last.connection);
                let export = &self.session.export().name;
                tracing::debug!(target: "nbdbox::connection", tenant, export, connection, "closing: {broken}");
                //= proto.md#terminating-the-transmission-phase
                //# Either side MAY initiate a hard disconnect if it detects a violation by the other party of a
                //# mandatory condition within this document.
                self.enter(Phase::Closing(End::Broken));
                return None;
            }
            Parsed::Request(incoming) => incoming,
        };
        let weight = dispatch::weight(&self.session, &incoming);
        let permit = self.gate.enter(weight, cx)?;
        match incoming.command {
            Command::Disconnect => {
                self.gate.leave(permit);
                //= proto.md#terminating-the-transmission-phase
                //# The client sends `NBD_CMD_DISC` whereupon the server MUST close down the TLS session (if one
                //# is running) and then close the TCP connection.
                self.enter(Phase::Closing(End::Disconnected));
            }
            //= proto.md#request-types
            //# The client MUST follow the request header with *length* number of bytes to be written to the
            //# device.
            Command::Write { .. } => inbox.take_write(incoming, permit),
            _ => {
                inbox.take_header(&incoming);
                let request = Request {
                    incoming,
                    payload: Bytes::new(),
                    allocation: self.session.allocation(),
                };
                return Some(Taken::Request(request, permit));
            }
        }
        Some(Taken::Part)
    }

    /// Begins a request and polls it once, or refuses it in [`Phase::Refusing`].
    fn begin(&mut self, request: Request, permit: Permit, cx: &mut Context<'_>) {
        if let Some(idle) = &mut self.idle {
            idle.restart();
        }
        self.gate.note_begun();
        let served = self.served;
        let reply = self.wire.outbox.blank();
        //= proto.md#terminating-the-transmission-phase
        //# A server MAY speed this process up by issuing error replies.
        if self.phase == Phase::Refusing {
            let reply = dispatch::shutting_down(served.metrics(), &request, reply);
            return self.wire.outbox.push(reply, permit);
        }
        self.last.request += 1;
        let deadline = self.deadlines.begin(device::now());
        let answer = async move {
            let reply = dispatch::answer(served, &deadline, request, reply).await;
            (reply, permit, deadline)
        };
        match self.running.begin(self.last, answer, cx) {
            Poll::Ready(done) => self.finish(done),
            Poll::Pending => self.gate.note_wait(device::now()),
        }
    }

    /// Puts the replies of requests that had to wait and have ended into the outbox. Returns whether there were any.
    fn collect_replies(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        //= proto.md#ordering-of-messages-and-writes
        //# The server MAY process commands out of order, and MAY reply out of order
        while let Poll::Ready(done) = self.running.poll_done(cx) {
            self.finish(done);
            progress = true;
        }
        progress
    }

    fn finish(&mut self, (reply, permit, deadline): (Reply, Permit, Deadline)) {
        self.deadlines.end(deadline);
        self.wire.outbox.push(reply, permit);
    }

    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let leave = |permit| self.gate.leave(permit);
        if let Phase::Gone(_) = self.phase {
            self.wire.outbox.clear(leave);
            return false;
        }
        let before = self.wire.outbox.bytes();
        let sent = self.wire.send(cx, leave);
        self.stall.note_moved(before - self.wire.outbox.bytes());
        sent.unwrap_or_else(|_| {
            self.enter(Phase::Gone(End::HungUp));
            true
        })
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        // While a request has to wait, the bytes after it stay in the socket.
        let reads = matches!(self.phase, Phase::Open | Phase::Refusing);
        if !reads || self.is_held_up() {
            return false;
        }
        match self.wire.poll_read(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => {
                let quiet = self.wire.inbox.is_empty();
                self.enter(Phase::Closing(if quiet {
                    End::HungUp
                } else {
                    End::Broken
                }));
            }
            Poll::Ready(Ok(read)) => {
                self.stall.note_moved(read);
                self.polling.note_input();
            }
            Poll::Ready(Err(_)) => self.enter(Phase::Gone(End::HungUp)),
        }
        true
    }

    /// Whether the inbox has a request that has to wait.
    fn is_held_up(&self) -> bool {
        let bytes = self.wire.inbox.request_bytes();
        bytes.is_some_and(|bytes| matches!(self.session.parse(bytes), Parsed::Request(_)))
    }

    /// Gives back everything that the connection holds, except the stream.
    fn into_stream(self) -> S {
        self.wire.into_stream()
    }

    /// How the connection ended, once no request is under way and all replies are sent.
    fn ended(&self) -> Option<End> {
        let idle = self.running.is_empty() && self.wire.is_sent();
        match self.phase {
            Phase::Open | Phase::Stopping => None,
            // The next round refuses a request that has to wait.
            //= proto.md#terminating-the-transmission-phase
            //# On a server shutdown, the server SHOULD wait for inflight requests to be serviced prior to
            //# initiating a hard disconnect.
            Phase::Refusing => (idle && !self.is_held_up()).then_some(End::Stopped),
            //= proto.md#request-types
            //# The server MUST handle all outstanding requests, shut down the TLS session (if one is running),
            //# and close the TCP session.
            Phase::Closing(end) | Phase::Gone(end) => idle.then_some(end),
        }
    }
}
