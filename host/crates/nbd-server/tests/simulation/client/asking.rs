//! The requests of a client, and its last message.

use fastrand::Rng;
use nbd_proto::Cookie;
use nbd_proto::client::Request;
use nbd_proto::limits::MAX_PAYLOAD;
use nbd_proto::wire::command;
use tokio::time::{Instant, sleep};

use super::{Client, Finish, Halt, Sender};
use crate::ledger::Entry;
use crate::requests::{Agreed, Asked, Draws};
use crate::schedule::{Ending, chance, time};

/// The distance between the payload numbers of two clients.
const WRITES: u64 = 1 << 20;

impl Client {
    /// Sends all requests of the plan. Returns the way in which the client stops sending.
    pub(super) async fn ask(
        &self,
        sender: &mut Sender<'_>,
        agreed: Agreed,
        random: &mut Rng,
    ) -> Finish {
        let Err(halt) = self.ask_all(sender, agreed, random).await else {
            return match self.plan.ending {
                Ending::Disconnect => Finish::Disconnect,
                Ending::HalfClose => Finish::HalfClose,
                Ending::HangUp => Finish::HangUp,
                Ending::Silence => Finish::Silence,
                Ending::Nonsense => Finish::Nonsense,
            };
        };
        self.finish_of(halt)
    }

    async fn ask_all(
        &self,
        sender: &mut Sender<'_>,
        agreed: Agreed,
        random: &mut Rng,
    ) -> Result<(), Halt> {
        sender.go_on()?;
        let mut cookies = random.fork();
        for index in 0..self.plan.requests {
            self.pause(random).await;
            // Now and then it waits for all answers: then the oracle allows one value for each byte.
            let depth = if chance(random, 100) {
                1
            } else {
                self.plan.depth
            };
            while self.outstanding() >= depth {
                self.answered.notified().await;
            }
            let number = self.number as u64 * WRITES + index as u64 + 1;
            let mut draws = Draws {
                random,
                export: &self.export,
                agreed,
            };
            let asked = draws.next(Cookie(cookies.u64(..)), number);
            self.send(sender, agreed, asked, random).await?;
        }
        self.pause(random).await;
        match self.plan.ending {
            Ending::Disconnect => self.disconnect(sender, agreed, cookies.u64(..)).await,
            Ending::Nonsense => self.send_nonsense(sender, agreed, random).await,
            Ending::HalfClose | Ending::HangUp | Ending::Silence => Ok(()),
        }
    }

    async fn pause(&self, random: &mut Rng) {
        let pause = time(random, self.plan.pause);
        if chance(random, 300) && !pause.is_zero() {
            sleep(pause).await;
        }
    }

    fn outstanding(&self) -> usize {
        self.ledger.open().books[self.number].outstanding()
    }

    async fn send(
        &self,
        sender: &mut Sender<'_>,
        agreed: Agreed,
        asked: Asked,
        random: &mut Rng,
    ) -> Result<(), Halt> {
        let mut header = Vec::new();
        asked.header.encode(agreed.framing, &mut header).unwrap();
        let payload = asked.payload_bytes();
        let entry = self.open_entry(asked);
        sender.send(&header, payload.is_empty()).await?;
        self.ledger.open().books[self.number].entries[entry].header_sent = Some(Instant::now());
        sender.go_on()?;
        let cut = random.usize(..=payload.len());
        let (first, rest) = payload.split_at(cut);
        if !first.is_empty() {
            sender.send(first, rest.is_empty()).await?;
        }
        if !rest.is_empty() {
            self.pause(random).await;
            sender.send(rest, true).await?;
        }
        self.ledger.open().books[self.number].entries[entry].whole_sent = Some(Instant::now());
        sender.go_on()
    }

    /// Notes a request before its first byte is sent. Returns its index.
    fn open_entry(&self, asked: Asked) -> usize {
        let mut pages = self.ledger.open();
        let number = pages.books[self.number].entries.len();
        let words = format_args!("sends {number}: {asked:?}");
        let begun = pages.note_of(self.number, words);
        let change = asked.change();
        let change = change.map(|(range, content)| pages.history.begin(range, content, begun));
        pages.books[self.number].entries.push(Entry {
            asked,
            begun,
            begun_at: Instant::now(),
            header_sent: None,
            whole_sent: None,
            change,
            calls: Vec::new(),
            data: Vec::new(),
            descriptors: Vec::new(),
            answer: None,
        });
        number
    }

    async fn disconnect(
        &self,
        sender: &mut Sender<'_>,
        agreed: Agreed,
        cookie: u64,
    ) -> Result<(), Halt> {
        let mut bytes = Vec::new();
        Request::disconnect(Cookie(cookie))
            .encode(agreed.framing, &mut bytes)
            .unwrap();
        sender.send(&bytes, true).await?;
        self.ledger.open().books[self.number].disconnected = true;
        sender.go_on()
    }

    /// Sends bytes that are no request: a wrong magic, or a payload that is too long.
    async fn send_nonsense(
        &self,
        sender: &mut Sender<'_>,
        agreed: Agreed,
        random: &mut Rng,
    ) -> Result<(), Halt> {
        let mut bytes = vec![0xff; 44];
        if random.bool() {
            bytes.clear();
            let length = u64::from(MAX_PAYLOAD) + 1;
            let long = Request::new(command::WRITE, Cookie(1), 0, length);
            long.encode(agreed.framing, &mut bytes).unwrap();
        }
        self.ledger.open().books[self.number].sent_nonsense = true;
        sender.send(&bytes, true).await?;
        sender.go_on()
    }
}
