//! A client: it goes through the handshake, sends requests, reads replies, and ends as its plan tells it.

mod asking;
mod handshake;
mod listening;
mod sender;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use nbd_proto::Export;
use tokio::io::{AsyncReadExt as _, DuplexStream, ReadHalf, split};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::ledger::{Ledger, Parted, ReadAll};
use crate::schedule::{ClientPlan, Ending, Reading};
use sender::{Halt, Sender};

/// The way in which a client stops sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    HangUp,
    HalfClose,
    Disconnect,
    Silence,
    Nonsense,
    /// The server has closed.
    Closed,
}

/// The time within which the server ends a connection whose client reads.
pub(crate) struct Bounds {
    /// From the arrival of a client that hasn't chosen an export.
    pub(crate) handshake: Duration,
    pub(crate) hung_up: Duration,
    pub(crate) drained: Duration,
}

pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) plan: ClientPlan,
    pub(crate) export: Export,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) bounds: Bounds,
    /// The number of its bytes at which the server stops.
    pub(crate) stops_at: Option<u64>,
    /// Notified at each answer.
    pub(crate) answered: Notify,
}

impl Client {
    /// Lives until it closes its stream.
    pub(crate) async fn live(self, stream: DuplexStream) {
        let (mut read, write) = split(stream);
        self.live_on(&mut read, Sender::new(write, &self)).await;
        let read_all = self.ledger.open().books[self.number].read_all.is_some();
        if read_all {
            sleep(self.plan.dawdles).await;
        }
        // The stream closes when both halves are dropped.
        drop(read);
    }

    async fn live_on(&self, read: &mut ReadHalf<DuplexStream>, mut sender: Sender<'_>) {
        let mut random = Rng::with_seed(self.plan.seed);
        let mut received = Vec::new();
        let shaken = self
            .shake(&mut sender, read, &mut received, &mut random)
            .await;
        let agreed = match shaken {
            Ok(agreed) => agreed,
            Err(halt) => {
                let finish = self.finish_of(halt);
                return self.part(finish, sender, self.drain(read)).await;
            }
        };
        let mut listening = pin!(self.listen(read, received, agreed));
        let finish = tokio::select! {
            biased;
            finish = self.ask(&mut sender, agreed, &mut random) => finish,
            () = &mut listening => return,
            () = self.loses_patience() => Finish::HangUp,
        };
        self.part(finish, sender, listening).await;
    }

    /// Ends when a client that no longer reads loses its patience. Never ends for another client.
    async fn loses_patience(&self) {
        match self.plan.reading {
            Reading::Until(_) => sleep(self.plan.patience).await,
            _ => std::future::pending().await,
        }
    }

    /// Stops sending, and reads on if its plan lets it.
    async fn part(
        &self,
        finish: Finish,
        mut sender: Sender<'_>,
        listening: impl Future<Output = ()>,
    ) {
        {
            let mut pages = self.ledger.open();
            pages.note_of(self.number, format_args!("ends: {finish:?}"));
        }
        let halves = matches!(finish, Finish::HalfClose | Finish::Nonsense);
        match finish {
            Finish::HangUp => return self.hang_up(&sender, false),
            Finish::HalfClose | Finish::Nonsense => sender.close().await,
            Finish::Disconnect | Finish::Silence | Finish::Closed => {}
        }
        if halves {
            self.hang_up(&sender, true);
        }
        let deaf = matches!(self.plan.reading, Reading::Until(_));
        let connected = self.ledger.open().books[self.number].connected.is_some();
        let waits = match finish {
            _ if deaf => self.plan.patience,
            Finish::Silence => self.plan.patience,
            _ if !connected => self.bounds.handshake,
            Finish::HalfClose | Finish::Nonsense => self.bounds.hung_up,
            _ => self.bounds.drained,
        };
        if timeout(waits, listening).await.is_err() {
            assert!(
                finish == Finish::Silence || deaf,
                "{finish:?}: the server doesn't end it"
            );
            self.hang_up(&sender, false);
        }
    }

    fn hang_up(&self, sender: &Sender<'_>, half: bool) {
        let mut pages = self.ledger.open();
        pages.note_of(self.number, format_args!("hangs up, half {half}"));
        pages.books[self.number].parted = Some(Parted {
            at: Instant::now(),
            half,
            midway: sender.is_midway(),
        });
    }

    /// The way in which it stops after the sender has halted.
    fn finish_of(&self, halt: Halt) -> Finish {
        match (halt, self.plan.ending) {
            (Halt::Closed, _) => Finish::Closed,
            (Halt::Over, _) => Finish::HangUp,
            (Halt::Cut, Ending::HalfClose | Ending::Nonsense) => Finish::HalfClose,
            (Halt::Cut, Ending::Silence) => Finish::Silence,
            (Halt::Cut, Ending::HangUp | Ending::Disconnect) => Finish::HangUp,
        }
    }

    /// Reads to the end of the stream.
    async fn drain(&self, read: &mut ReadHalf<DuplexStream>) {
        let mut rest = [0; 4096];
        while read.read(&mut rest).await.is_ok_and(|count| count > 0) {}
        self.note_end(false);
    }

    /// Notes the end of the stream.
    fn note_end(&self, torn: bool) {
        let mut pages = self.ledger.open();
        pages.note_of(self.number, format_args!("has read all, torn {torn}"));
        pages.books[self.number].read_all = Some(ReadAll {
            at: Instant::now(),
            torn,
        });
    }
}
