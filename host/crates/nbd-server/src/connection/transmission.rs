//! The transmission phase: rounds of read, run, write, in one task.
//!
//! A round takes a batch of the requests that have come, runs each as far as it goes at once (most are
//! complete then), sends all replies with one vectored write, and reads again. Requests that wait
//! for something stay pending beside it, and so does a client that doesn't read.

mod requests;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use device::metrics::Connected;
use device::origin::Origin;
use device::{Device, Opened, Served};
use futures_util::future::BoxFuture;
use nbd_proto::{Parsed, Session};
use tokio::io::{AsyncRead, AsyncWrite};

use super::gate::{Admission, Permit, TimeSlice, WaitBudget};
use super::handshake::Agreed;
use super::idle::Idle;
use super::linger::linger;
use super::running::Running;
use super::wire::Wire;
use super::{End, StopSignal};
use crate::dispatch::Reply;

/// Rounds in one go before other connections get their turn.
const ROUNDS: u32 = 16;

/// Runs until the connection ends, and every request that was begun has ended too.
pub(super) async fn run<S, D>(agreed: Agreed<S, D>, number: u64, mut stop: StopSignal) -> End
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
        unread,
    } = agreed;
    let _connected = Connected::new(Arc::clone(served.metrics()));
    let terms = served.terms();
    let stopped = async move {
        // An error means that the server is gone: that's a stop too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let mut transmission = Transmission {
        slice: TimeSlice::new(terms.cpu(), served.metrics()),
        wire: Wire::new(stream, unread),
        admission: Admission::new(&terms.limits, terms.flows()),
        running: Running::default(),
        waits: WaitBudget::default(),
        stopped: Box::pin(stopped),
        served: &served,
        idle: terms.limits.idle.map(Idle::new),
        session,
        phase: Phase::Open,
        origin: Origin {
            connection: number,
            request: 0,
        },
        held_up: None,
    };
    let end = std::future::poll_fn(|cx| transmission.poll(cx)).await;
    served.device().leave().await;
    linger(transmission.wire.into_stream()).await;
    end
}

/// What is still to be done on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Everything.
    Open,
    /// What has been read begins, as far as it may; nothing more is read.
    Stopping,
    /// What wasn't begun is refused, for as long as something is under way.
    Refusing,
    /// What is under way ends and is sent.
    Closing(End),
    /// What is under way ends; nobody is there to hear of it.
    Gone(End),
}

struct Transmission<'d, S, D> {
    served: &'d Served<D>,
    wire: Wire<S>,
    slice: TimeSlice,
    session: Session,
    phase: Phase,
    admission: Admission,
    running: Running<'d, (Reply, Permit)>,
    waits: WaitBudget,
    stopped: BoxFuture<'static, ()>,
    idle: Option<Idle>,
    /// The request that was begun last.
    origin: Origin,
    /// Since when a request has waited for admission.
    held_up: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin, D: Device> Transmission<'_, S, D> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.slice.begin();
        let polled = self.go_on(cx);
        if polled.is_ready() {
            self.slice.give_up();
        }
        self.slice.end();
        polled
    }

    fn go_on(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.waits = WaitBudget::default();
        self.check_stop(cx);
        self.check_idle(cx);
        for _ in 0..ROUNDS {
            let mut progress = self.run_requests(cx);
            if matches!(self.phase, Phase::Closing(_) | Phase::Gone(_)) {
                self.admission.step_back();
            }
            progress |= self.poll_running(cx);
            progress |= self.send(cx);
            if let Some(end) = self.ended() {
                return Poll::Ready(end);
            }
            // What comes after the signal mustn't be taken for what came before it.
            progress |= self.check_stop(cx);
            progress |= self.receive(cx);
            if !progress {
                return Poll::Pending;
            }
            if self.waits.is_over() || self.slice.is_over() {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes note of the signal to stop; whether it has just come.
    fn check_stop(&mut self, cx: &mut Context<'_>) -> bool {
        let stopping = self.phase == Phase::Open && self.stopped.as_mut().poll(cx).is_ready();
        if stopping {
            self.phase = Phase::Stopping;
        }
        stopping
    }

    /// Closes a connection on which nothing is under way and nothing has come for too long.
    fn check_idle(&mut self, cx: &mut Context<'_>) {
        let waits = self.admission.is_queued() || self.slice.is_waiting();
        let busy = self.admission.requests() > 0 || waits;
        let Some(idle) = &mut self.idle else { return };
        if busy {
            idle.restart();
        }
        if self.phase == Phase::Open && idle.is_over(cx) {
            self.phase = Phase::Closing(End::Idle);
        }
    }

    /// Collects the replies of requests that had to wait.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready((reply, permit)) = self.running.poll_done(cx) {
            self.wire.outbox.push(reply, permit);
            progress = true;
        }
        progress
    }

    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let leave = |permit| self.admission.leave(permit);
        if let Phase::Gone(_) = self.phase {
            self.wire.outbox.clear(leave);
            return false;
        }
        self.wire.send(cx, leave).unwrap_or_else(|_| {
            self.phase = Phase::Gone(End::HungUp);
            true
        })
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        // What follows a request that may not start yet waits in the socket.
        let reads = matches!(self.phase, Phase::Open | Phase::Refusing);
        if !reads || self.is_held_up() {
            return false;
        }
        match self.wire.poll_read(cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(0)) => {
                let quiet = self.wire.inbox.is_empty();
                self.phase = Phase::Closing(if quiet { End::HungUp } else { End::Broken });
                true
            }
            Poll::Ready(Ok(_)) => true,
            Poll::Ready(Err(_)) => {
                self.phase = Phase::Gone(End::HungUp);
                true
            }
        }
    }

    /// Whether a request has come that may not start yet.
    fn is_held_up(&self) -> bool {
        let bytes = self.wire.inbox.request_bytes();
        bytes.is_some_and(|bytes| matches!(self.session.parse(bytes), Parsed::Request(_)))
    }

    /// How the connection ended, once nothing is under way any more.
    fn ended(&self) -> Option<End> {
        let idle = self.running.is_empty() && self.wire.is_sent();
        match self.phase {
            Phase::Open | Phase::Stopping => None,
            // The next round refuses what is held up.
            Phase::Refusing => (idle && !self.is_held_up()).then_some(End::Stopped),
            Phase::Closing(end) | Phase::Gone(end) => idle.then_some(end),
        }
    }
}
