//! Runs a schedule: it starts clients and connections, stops the server, and audits the result.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use device::identity;
use futures_util::future::join_all;
use nbd_server::{End, serve};
use tokio::io::duplex;
use tokio::runtime::Builder;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, timeout};

use crate::audit;
use crate::client::{Bounds, Client};
use crate::disk::Disk;
use crate::exports::Exports;
use crate::ledger::{Ended, Ledger};
use crate::schedule::{Schedule, Stop, When};
use crate::tally::Tally;

/// More time than any schedule takes. A schedule that takes longer hangs.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// More polls than any connection needs. A connection that takes more makes no progress.
const POLLS: u64 = 5_000_000;

/// The result of a schedule.
pub(crate) struct Outcome {
    /// A digest of all notes: the same for the same schedule.
    pub(crate) digest: u64,
    /// Bytes that the first client sent, and bytes that it received after its handshake.
    pub(crate) sent: u64,
    pub(crate) heard: usize,
    pub(crate) tally: Tally,
}

struct World<'a> {
    schedule: &'a Schedule,
    ledger: Arc<Ledger>,
    exports: Arc<Exports>,
    /// For each connection the stop signal, and a signal to the task that watches over the connection.
    stops: Vec<(watch::Sender<bool>, Notify)>,
}

/// Runs a schedule to its end.
///
/// # Panics
/// The schedule broke a promise.
pub(crate) fn run(schedule: &Schedule, verbose: bool) -> Outcome {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let ledger = Arc::new(Ledger::new(schedule, verbose));
        let disk = Disk::new(schedule, &ledger);
        let stops = schedule
            .clients
            .iter()
            .map(|_| (watch::Sender::new(false), Notify::new()));
        let world = World {
            schedule,
            exports: Exports::new(schedule, disk),
            ledger,
            stops: stops.collect(),
        };
        timeout(DAY, world.run())
            .await
            .expect("a schedule never ends");
        audit::audit(schedule, &world.ledger.open(), &world.exports);
        let pages = world.ledger.open();
        let first = &pages.books[0];
        Outcome {
            digest: pages.digest,
            sent: first.sent,
            heard: first.heard,
            tally: Tally::of(&pages, &world.exports),
        }
    })
}

impl World<'_> {
    async fn run(&self) {
        let connections = (0..self.schedule.clients.len()).map(|number| self.connection(number));
        tokio::select! {
            biased;
            _ = join_all(connections) => {}
            () = self.stop() => {}
        }
    }

    /// Stops the server when the schedule wants it, and never returns.
    async fn stop(&self) {
        match self.schedule.stop.map(|stop| stop.when) {
            Some(When::After(time)) => sleep(time).await,
            Some(When::Sent(_)) => self.ledger.has_sent.notified().await,
            None => std::future::pending().await,
        }
        {
            let mut pages = self.ledger.open();
            pages.stopped_tick = Some(pages.note("server", format_args!("stops")));
            pages.stopped = Some(Instant::now());
        }
        for (stop, watches) in &self.stops {
            stop.send_replace(true);
            watches.notify_one();
        }
        std::future::pending().await
    }

    /// Runs one client and its connection.
    async fn connection(&self, number: usize) {
        let plan = self.schedule.clients[number].clone();
        sleep(plan.arrives).await;
        self.ledger.open().books[number].arrived = Some(Instant::now());
        let (ours, theirs) = duplex(self.schedule.pipe);
        let client = Client {
            number,
            plan,
            export: self.schedule.export.clone(),
            ledger: Arc::clone(&self.ledger),
            bounds: Bounds {
                handshake: self.schedule.limits.handshake + Duration::from_millis(2),
                hung_up: self.schedule.hung_up(),
                drained: self.schedule.drained(),
            },
            stops_at: self.schedule.stop.and_then(|stop| stop.at_byte(number)),
            answered: Notify::new(),
        };
        let identity = identity::Client {
            listener: number.to_string(),
            ..identity::Client::default()
        };
        let (stop, _) = &self.stops[number];
        let catalog = Arc::clone(&self.exports);
        let served = serve(theirs, identity, None, catalog, stop.subscribe());
        let server = tokio::spawn(counted(served));
        let client = tokio::spawn(client.live(ours));
        let ended = self.watch_over(number, server).await;
        {
            let mut pages = self.ledger.open();
            pages.note_of(number, format_args!("connection ended: {ended:?}"));
            pages.books[number].ended = Some((Instant::now(), ended));
        }
        client.await.unwrap_or_else(panic_too);
    }

    /// Waits for the end of a connection's task. After the server has stopped, drops a task that outlasts the drain
    /// time, as [`Server::serve`](nbd_server::Server::serve) does.
    async fn watch_over(&self, number: usize, mut server: JoinHandle<io::Result<End>>) -> Ended {
        let of = |ended: Result<io::Result<End>, JoinError>| match ended.unwrap_or_else(panic_too) {
            Ok(end) => Ended::So(end),
            Err(_) => Ended::Failed,
        };
        tokio::select! {
            biased;
            ended = &mut server => return of(ended),
            () = self.stops[number].1.notified() => {}
        }
        let drain = self.schedule.stop.map_or(DAY, |stop| stop.drain);
        match timeout(drain, &mut server).await {
            Ok(ended) => of(ended),
            Err(_) => {
                self.ledger.open().books[number].cut = true;
                server.abort();
                match server.await {
                    Err(error) if error.is_cancelled() => Ended::Cut,
                    ended => of(ended),
                }
            }
        }
    }
}

impl Stop {
    fn at_byte(self, client: usize) -> Option<u64> {
        match self.when {
            When::Sent(bytes) if client == 0 => Some(bytes),
            _ => None,
        }
    }
}

/// Passes the panic of a task on.
fn panic_too<T>(error: JoinError) -> T {
    std::panic::resume_unwind(error.into_panic())
}

/// Runs a future. Panics after [`POLLS`] polls.
async fn counted<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut polls = 0;
    std::future::poll_fn(|cx| {
        polls += 1;
        assert!(polls < POLLS, "a connection goes round and round");
        future.as_mut().poll(cx)
    })
    .await
}
