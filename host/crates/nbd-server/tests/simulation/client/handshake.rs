//! The handshake. Options that agree on nothing stand among those that the plan needs.

use fastrand::Rng;
use nbd_proto::client::{OptionReply, hello, info_payload, meta_payload, push_option};
use nbd_proto::wire::{self, info, option, option_reply};
use nbd_proto::{ContextId, Framing};
use tokio::io::{AsyncReadExt as _, DuplexStream, ReadHalf};

use super::{Client, Halt, Sender};
use crate::requests::Agreed;
use crate::schedule::{Way, chance};

/// An option to send.
struct Step {
    number: u32,
    payload: Vec<u8>,
}

impl Step {
    fn new(number: u32, payload: Vec<u8>) -> Self {
        Self { number, payload }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_option(self.number, &self.payload, &mut bytes);
        bytes
    }
}

/// The agreements so far.
struct State {
    agreed: Agreed,
    /// The context in the replies to the last option.
    context: Option<ContextId>,
}

type Read = ReadHalf<DuplexStream>;

impl Client {
    /// Goes through the handshake. Bytes that follow it stay in `received`.
    pub(super) async fn shake(
        &self,
        sender: &mut Sender<'_>,
        read: &mut Read,
        received: &mut Vec<u8>,
        random: &mut Rng,
    ) -> Result<Agreed, Halt> {
        sender.go_on()?;
        while hello(received).unwrap().is_none() {
            fill(read, received).await?;
        }
        received.drain(..wire::HELLO_LEN);
        let flags: u32 = match self.plan.way {
            Way::Nonsense if random.bool() => 0xff,
            Way::ExportName { .. } if random.bool() => 1,
            _ => 3,
        };
        let mut steps = self.steps(random);
        if self.plan.way == Way::Nonsense {
            steps.clear();
            steps.push(Step::new(option::GO, vec![0xff; 40]));
        }
        let mut state = State {
            agreed: Agreed {
                framing: Framing::Simple,
                allocation: None,
                knows_sizes: steps.iter().any(|step| step.payload == self.go(true)),
            },
            context: None,
        };
        sender.send(&flags.to_be_bytes(), true).await?;
        if self.plan.hasty {
            let all: Vec<u8> = steps.iter().flat_map(Step::bytes).collect();
            sender.send(&all, true).await?;
        }
        for step in &steps {
            sender.go_on()?;
            if !self.plan.hasty {
                sender.send(&step.bytes(), true).await?;
            }
            sender.go_on()?;
            if step.number == option::EXPORT_NAME {
                self.read_export(read, received, flags).await?;
                return Ok(self.connected(state.agreed));
            }
            if self.read_replies(step, read, received, &mut state).await? {
                return Ok(self.connected(state.agreed));
            }
        }
        Err(Halt::Over)
    }

    fn connected(&self, agreed: Agreed) -> Agreed {
        let mut pages = self.ledger.open();
        let words = format_args!("is connected: {agreed:?}");
        let tick = pages.note_of(self.number, words);
        pages.books[self.number].connected = Some(tick);
        agreed
    }

    fn go(&self, sizes: bool) -> Vec<u8> {
        let wanted: &[u16] = if sizes {
            &[info::BLOCK_SIZE]
        } else {
            &[info::NAME]
        };
        info_payload(&self.export.name, wanted)
    }

    fn steps(&self, random: &mut Rng) -> Vec<Step> {
        let selects = || meta_payload(&self.export.name, &[wire::BASE_ALLOCATION]);
        let mut steps = Vec::new();
        match self.plan.way {
            Way::Go {
                framing,
                allocation,
                sizes,
            } => {
                match framing {
                    Framing::Simple => {}
                    Framing::Structured => steps.push(Step::new(option::STRUCTURED_REPLY, vec![])),
                    Framing::Extended => steps.push(Step::new(option::EXTENDED_HEADERS, vec![])),
                }
                if allocation {
                    steps.push(Step::new(option::SET_META_CONTEXT, selects()));
                }
                steps.push(Step::new(option::GO, self.go(sizes)));
            }
            Way::ExportName { structured } => {
                if structured {
                    steps.push(Step::new(option::STRUCTURED_REPLY, vec![]));
                    steps.push(Step::new(option::SET_META_CONTEXT, selects()));
                }
                let name = self.export.name.as_bytes().to_vec();
                steps.push(Step::new(option::EXPORT_NAME, name));
            }
            Way::Leave => {
                steps.push(Step::new(option::LIST, vec![]));
                steps.push(Step::new(option::ABORT, vec![]));
            }
            Way::Nonsense => {}
        }
        for _ in 0..self.plan.detours {
            let at = random.usize(..steps.len().max(1));
            let at = at.min(steps.len());
            steps.insert(at, self.detour(random));
        }
        steps
    }

    /// An option that agrees on nothing.
    fn detour(&self, random: &mut Rng) -> Step {
        let all = |name: &str| info_payload(name, &[info::NAME, info::BLOCK_SIZE, 77]);
        let lists = meta_payload(&self.export.name, &["base:", "x-other:"]);
        match random.u8(..9) {
            0 => Step::new(option::LIST, vec![]),
            1 => Step::new(option::INFO, all(&self.export.name)),
            2 => Step::new(option::INFO, all("nil")),
            3 => Step::new(option::GO, all("nil")),
            4 => Step::new(option::LIST_META_CONTEXT, lists),
            5 => Step::new(option::STARTTLS, vec![]),
            6 => Step::new(option::GO, vec![0xff; 7]),
            7 if chance(random, 100) => Step::new(option::LIST, vec![0; 70_000]),
            _ => Step::new(random.u32(100..), vec![1; random.usize(..100)]),
        }
    }

    /// Reads all replies to an option. Returns whether the handshake is over.
    async fn read_replies(
        &self,
        step: &Step,
        read: &mut Read,
        received: &mut Vec<u8>,
        state: &mut State,
    ) -> Result<bool, Halt> {
        state.context = None;
        if step.number == option::SET_META_CONTEXT {
            state.agreed.allocation = None;
        }
        loop {
            let Some((reply, used)) = OptionReply::parse(received).unwrap() else {
                fill(read, received).await?;
                continue;
            };
            assert_eq!(reply.option, step.number, "a reply to another option");
            let mut pages = self.ledger.open();
            let words = format_args!("option {}: {:#x}", reply.option, reply.kind);
            pages.note_of(self.number, words);
            drop(pages);
            let over = reply.is_error() || reply.kind == option_reply::ACK;
            if reply.kind == option_reply::META_CONTEXT && step.number == option::SET_META_CONTEXT {
                let id = reply.payload[..4].try_into().unwrap();
                state.context = Some(ContextId(u32::from_be_bytes(id)));
            }
            let acknowledged = reply.kind == option_reply::ACK;
            received.drain(..used);
            if acknowledged {
                state.acknowledge(step.number);
            }
            if over {
                return Ok(acknowledged && step.number == option::GO);
            }
        }
    }

    /// Reads the reply to EXPORT_NAME: size, flags, and zeroes unless the client declined them.
    async fn read_export(
        &self,
        read: &mut Read,
        received: &mut Vec<u8>,
        flags: u32,
    ) -> Result<(), Halt> {
        let declined = flags & 2 != 0;
        let padding = if declined {
            0
        } else {
            wire::EXPORT_NAME_PADDING
        };
        while received.len() < 10 + padding {
            fill(read, received).await?;
        }
        assert_eq!(received[..8], self.export.size.to_be_bytes());
        received.drain(..10 + padding);
        Ok(())
    }
}

impl State {
    fn acknowledge(&mut self, number: u32) {
        match number {
            option::STRUCTURED_REPLY => self.agreed.framing = Framing::Structured,
            option::EXTENDED_HEADERS => self.agreed.framing = Framing::Extended,
            option::SET_META_CONTEXT => self.agreed.allocation = self.context,
            _ => {}
        }
    }
}

/// Reads more of the stream.
async fn fill(read: &mut Read, received: &mut Vec<u8>) -> Result<(), Halt> {
    match read.read_buf(received).await {
        Ok(0) | Err(_) => Err(Halt::Closed),
        Ok(_) => Ok(()),
    }
}
