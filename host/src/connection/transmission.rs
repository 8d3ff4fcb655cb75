//! The transmission phase: rounds of read, run, write, in one task.
//!
//! A round takes all requests that have come, runs each as far as it goes at once (most are
//! complete then), sends all replies with one vectored write, and reads again. Requests that wait
//! for something stay pending beside it, and so does a client that doesn't read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream as _;
use futures_util::stream::FuturesUnordered;
use nbd_proto::{Command, Parsed, Session};
use tokio::io::{AsyncRead, AsyncWrite};

use super::handshake::Agreed;
use super::idle::Idle;
use super::inbox::Inbox;
use super::linger::linger;
use super::outbox::Outbox;
use super::stint::Stint;
use super::{End, StopSignal};
use crate::device::Device;
use crate::dispatch::{self, Reply, Request};
use crate::metrics::{Connected, Metrics};
use crate::origin::Origin;
use crate::session::{Admission, Share};

/// Rounds in one go before other connections get their turn.
const ROUNDS: u32 = 16;

/// Bytes of replies that wait to be sent before more requests run: what was just put together leaves
/// while it's in the processor's cache.
const BACKLOG: usize = 256 << 10;

/// Requests that may turn out to wait in one go. Restrains a connection whose guests all compute: each
/// runs for a tick before it yields, and others on this thread are to get their turn.
const WAITS: u32 = 2;

/// Runs until the connection ends, and every request that was begun has ended too.
pub(super) async fn run<S, D>(agreed: Agreed<S, D>, number: u64, mut stop: StopSignal) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
    D: Device,
{
    let Agreed {
        stream,
        session,
        device,
        unread,
    } = agreed;
    let _connected = Connected::new(Arc::clone(device.metrics()));
    let stopped = async move {
        // An error means that the server is gone: that's a stop too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let start = {
        let device = Arc::clone(&device);
        move |origin: Origin, request: Request, reply: Reply, share: Share| {
            let device = Arc::clone(&device);
            origin.scope(async move { (dispatch::answer(&*device, request, reply).await, share) })
        }
    };
    let mut transmission = Transmission {
        stint: Stint::new(device.cpu(), device.metrics()),
        stream,
        admission: Admission::new(device.limits(), device.flows()),
        inbox: Inbox::new(unread),
        outbox: Outbox::default(),
        running: FuturesUnordered::new(),
        waits: 0,
        boxes: Vec::new(),
        start,
        stopped: Box::pin(stopped),
        idle: device.limits().idle.map(Idle::new),
        session,
        phase: Phase::Open,
        partial_share: None,
        origin: Origin {
            connection: number,
            request: 0,
        },
        metrics: Arc::clone(device.metrics()),
        held_up: None,
    };
    let end = std::future::poll_fn(|cx| transmission.poll(cx)).await;
    device.leave().await;
    linger(transmission.stream).await;
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

struct Transmission<S, M, F, W> {
    stream: S,
    stint: Stint,
    session: Session,
    phase: Phase,
    admission: Admission,
    inbox: Inbox,
    /// The share of the write whose payload is coming.
    partial_share: Option<Share>,
    outbox: Outbox,
    running: FuturesUnordered<Pin<Box<F>>>,
    /// Requests that turned out to wait since this task got its turn.
    waits: u32,
    /// Boxes of requests that have ended, for those to come: no allocation where none waits.
    boxes: Vec<Pin<Box<F>>>,
    start: M,
    stopped: Pin<Box<W>>,
    idle: Option<Idle>,
    /// The request that was begun last.
    origin: Origin,
    metrics: Arc<Metrics>,
    /// Since when a request has waited for admission.
    held_up: Option<Instant>,
}

impl<S, M, F, W> Transmission<S, M, F, W>
where
    S: AsyncRead + AsyncWrite + Unpin,
    M: Fn(Origin, Request, Reply, Share) -> F,
    F: Future<Output = (Reply, Share)>,
    W: Future<Output = ()>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.stint.begin();
        let polled = self.go_on(cx);
        if polled.is_ready() {
            self.stint.give_up();
        }
        self.stint.end();
        polled
    }

    fn go_on(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.waits = 0;
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
            if self.waits >= WAITS || self.stint.is_over() {
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

    /// Takes the requests that have come and fit, and runs each as far as it goes.
    fn run_requests(&mut self, cx: &mut Context<'_>) -> bool {
        use Phase::{Open, Refusing, Stopping};
        let mut progress = false;
        while matches!(self.phase, Open | Stopping | Refusing) && self.waits < WAITS {
            if self.phase == Open && self.is_backed_up(cx) {
                self.admission.step_back();
                self.stint.give_up();
                break;
            }
            // Who is to stop isn't kept waiting for that.
            if self.phase == Open && !self.inbox.is_empty() && !self.stint.may_work(cx) {
                break;
            }
            if let Some((incoming, payload)) = self.inbox.complete_write() {
                let share = self.partial_share.take();
                // A write that is being put together holds a share.
                if let Some(share) = share {
                    self.begin(
                        Request {
                            incoming,
                            payload,
                            allocation: None,
                        },
                        share,
                        cx,
                    );
                }
                progress = true;
                continue;
            }
            let Some(bytes) = self.inbox.request_bytes() else {
                break;
            };
            let incoming = match self.session.parse(bytes) {
                Parsed::Incomplete => break,
                Parsed::Broken(broken) => {
                    let (export, connection) =
                        (&self.session.export().name, self.origin.connection);
                    tracing::debug!(export, connection, "closing: {broken}");
                    self.phase = Phase::Closing(End::Broken);
                    break;
                }
                Parsed::Request(incoming) => incoming,
            };
            let weight = dispatch::weight(&self.session, &incoming);
            let Some(share) = self.admission.enter(weight, cx) else {
                self.held_up.get_or_insert_with(Instant::now);
                break;
            };
            if let Some(since) = self.held_up.take() {
                self.metrics.admission_waits.note(since.elapsed());
            }
            progress = true;
            match incoming.command {
                Command::Disconnect => {
                    self.admission.leave(share);
                    self.phase = Phase::Closing(End::Disconnected);
                }
                Command::Write { .. } => {
                    self.inbox.take_write(incoming);
                    self.partial_share = Some(share);
                }
                _ => {
                    self.inbox.take_header(&incoming);
                    let allocation = self.session.allocation();
                    self.begin(
                        Request {
                            incoming,
                            payload: Bytes::new(),
                            allocation,
                        },
                        share,
                        cx,
                    );
                }
            }
        }
        if self.phase != Open {
            self.stint.give_up();
        }
        if self.phase == Stopping && self.waits < WAITS {
            self.phase = Refusing;
            progress = true;
        }
        progress
    }

    /// Whether enough waits for the client, who doesn't take it.
    fn is_backed_up(&mut self, cx: &mut Context<'_>) -> bool {
        if self.outbox.bytes() > BACKLOG {
            self.send(cx);
        }
        self.outbox.bytes() > BACKLOG
    }

    /// Closes a connection on which nothing is under way and nothing has come for too long.
    fn check_idle(&mut self, cx: &mut Context<'_>) {
        let waits = self.admission.is_queued() || self.stint.is_waiting();
        let busy = self.admission.requests() > 0 || waits;
        let Some(idle) = &mut self.idle else { return };
        if busy {
            idle.restart();
        }
        if self.phase == Phase::Open && idle.is_over(cx) {
            self.phase = Phase::Closing(End::Idle);
        }
    }

    /// Runs a request until it's done or waits for something.
    fn begin(&mut self, request: Request, share: Share, cx: &mut Context<'_>) {
        if let Some(idle) = &mut self.idle {
            idle.restart();
        }
        let reply = self.outbox.blank();
        if self.phase == Phase::Refusing {
            let reply = dispatch::shutting_down(&self.metrics, &request, reply);
            return self.outbox.push(reply, share);
        }
        self.origin.request += 1;
        let future = (self.start)(self.origin, request, reply, share);
        let mut boxed = match self.boxes.pop() {
            Some(mut boxed) => {
                boxed.as_mut().set(future);
                boxed
            }
            None => Box::pin(future),
        };
        match boxed.as_mut().poll(cx) {
            Poll::Ready((reply, share)) => {
                self.outbox.push(reply, share);
                self.boxes.push(boxed);
            }
            Poll::Pending => {
                self.waits += 1;
                self.running.push(boxed);
            }
        }
    }

    /// Collects the replies of requests that had to wait.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready(Some((reply, share))) = Pin::new(&mut self.running).poll_next(cx) {
            self.outbox.push(reply, share);
            progress = true;
        }
        progress
    }

    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        let admission = &mut self.admission;
        if let Phase::Gone(_) = self.phase {
            self.outbox.clear(|share| admission.leave(share));
        }
        while !self.outbox.is_empty() {
            let leave = |share| admission.leave(share);
            match self.outbox.poll_write(&mut self.stream, cx, leave) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => progress = true,
                Poll::Ready(Err(_)) => {
                    self.phase = Phase::Gone(End::HungUp);
                    return true;
                }
            }
        }
        if let Poll::Ready(Err(_)) = self.outbox.poll_flush(&mut self.stream, cx) {
            self.phase = Phase::Gone(End::HungUp);
            return true;
        }
        progress
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        // What follows a request that may not start yet waits in the socket.
        let reads = matches!(self.phase, Phase::Open | Phase::Refusing);
        if !reads || self.is_held_up() {
            return false;
        }
        match self.inbox.poll_read(&mut self.stream, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(0)) => {
                let quiet = self.inbox.is_empty();
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
        let bytes = self.inbox.request_bytes();
        bytes.is_some_and(|bytes| matches!(self.session.parse(bytes), Parsed::Request(_)))
    }

    /// How the connection ended, once nothing is under way any more.
    fn ended(&self) -> Option<End> {
        let sent = self.outbox.is_empty() && self.outbox.is_flushed();
        let idle = self.running.is_empty() && sent;
        match self.phase {
            Phase::Open | Phase::Stopping => None,
            // The next round refuses what is held up.
            Phase::Refusing => (idle && !self.is_held_up()).then_some(End::Stopped),
            Phase::Closing(end) | Phase::Gone(end) => idle.then_some(end),
        }
    }
}
