//! What a round begins with: requests that have come are taken, and run as far as they go at once.

use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use device::Device;
use nbd_proto::{Command, Incoming, Parsed};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{End, Phase, Transmission};
use crate::connection::gate::Permit;
use crate::dispatch::{self, Request};

/// Requests in one round: their replies are sent, and the client deals with them while others are made.
const BATCH: u32 = 32;

/// Bytes of replies that wait to be sent before more requests run: what was just put together leaves
/// while it's in the processor's cache.
const BACKLOG: usize = 256 << 10;

/// What was taken from the inbox.
enum Taken {
    /// A request, whole.
    Request(Request, Permit),
    /// A part of a write, or a disconnect: nothing to begin.
    Part,
}

impl<S: AsyncRead + AsyncWrite + Unpin, D: Device> Transmission<'_, S, D> {
    /// Takes the requests that have come and fit, a batch at most, and runs each as far as it goes.
    pub(super) fn run_requests(&mut self, cx: &mut Context<'_>) -> bool {
        use Phase::{Open, Refusing, Stopping};
        let (mut progress, mut begun) = (false, 0);
        while matches!(self.phase, Open | Stopping | Refusing)
            && !self.waits.is_over()
            && begun < BATCH
        {
            // Who is to stop isn't kept waiting.
            if self.phase == Open && !self.may_begin(cx) {
                break;
            }
            match self.take(cx) {
                None => break,
                Some(Taken::Part) => {}
                Some(Taken::Request(request, permit)) => {
                    self.begin(request, permit, cx);
                    begun += 1;
                }
            }
            progress = true;
        }
        if self.phase != Open {
            self.slice.give_up();
        }
        if self.phase == Stopping && !self.waits.is_over() && begun < BATCH {
            self.phase = Refusing;
            progress = true;
        }
        progress
    }

    /// Whether there's room for another reply, and leave to work for it.
    fn may_begin(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_backed_up(cx) {
            self.admission.step_back();
            self.slice.give_up();
            return false;
        }
        self.wire.inbox.is_empty() || self.slice.may_work(cx)
    }

    /// Takes the next request from the inbox, or a part of one.
    fn take(&mut self, cx: &mut Context<'_>) -> Option<Taken> {
        if let Some((incoming, payload, permit)) = self.wire.inbox.complete_write() {
            let request = Request {
                incoming,
                payload,
                allocation: None,
            };
            return Some(Taken::Request(request, permit));
        }
        let incoming = match self.session.parse(self.wire.inbox.request_bytes()?) {
            Parsed::Incomplete => return None,
            Parsed::Broken(broken) => {
                let (export, connection) = (&self.session.export().name, self.origin.connection);
                tracing::debug!(target: "nbdbox::connection", export, connection, "closing: {broken}");
                self.phase = Phase::Closing(End::Broken);
                return None;
            }
            Parsed::Request(incoming) => incoming,
        };
        let permit = self.admit(&incoming, cx)?;
        match incoming.command {
            Command::Disconnect => {
                self.admission.leave(permit);
                self.phase = Phase::Closing(End::Disconnected);
            }
            Command::Write { .. } => {
                self.wire.inbox.take_write(incoming, permit);
            }
            _ => {
                self.wire.inbox.take_header(&incoming);
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

    /// Lets a request in, if it fits beside those that are under way.
    fn admit(&mut self, incoming: &Incoming, cx: &Context<'_>) -> Option<Permit> {
        let weight = dispatch::weight(&self.session, incoming);
        let permit = self.admission.enter(weight, cx);
        if permit.is_none() {
            self.held_up.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.held_up.take() {
            self.served.metrics().admission_waits.note(since.elapsed());
        }
        permit
    }

    /// Whether enough waits for the client, who doesn't take it.
    fn is_backed_up(&mut self, cx: &mut Context<'_>) -> bool {
        if self.wire.outbox.bytes() > BACKLOG {
            self.send(cx);
        }
        self.wire.outbox.bytes() > BACKLOG
    }

    /// Runs a request until it's done or waits for something.
    fn begin(&mut self, request: Request, permit: Permit, cx: &mut Context<'_>) {
        if let Some(idle) = &mut self.idle {
            idle.restart();
        }
        let reply = self.wire.outbox.blank();
        if self.phase == Phase::Refusing {
            let reply = dispatch::shutting_down(self.served.metrics(), &request, reply);
            return self.wire.outbox.push(reply, permit);
        }
        self.origin.request += 1;
        let served = self.served;
        let answer = async move { (dispatch::answer(served, request, reply).await, permit) };
        match self.running.begin(self.origin, answer, cx) {
            Poll::Ready((reply, permit)) => self.wire.outbox.push(reply, permit),
            Poll::Pending => self.waits.note_wait(),
        }
    }
}
