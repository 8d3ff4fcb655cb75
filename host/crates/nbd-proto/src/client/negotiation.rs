//! The handshake, seen by a client.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;

use super::ClientError;
use super::option::{OptionReply, hello, info_payload, meta_payload, push_option};
use crate::bytes::Reader;
use crate::wire::{self, ClientFlags, HandshakeFlags, info, option, option_reply};
use crate::{BlockSizes, ContextId, ExportFlags, Framing, limits, text};

/// What a client wants from the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The list of exports, and then to disconnect.
    List,
    /// The transmission phase.
    Go {
        /// The export's name; empty for the default export.
        export: String,
        /// The best framing to ask for; the server may know less.
        framing: Framing,
        /// Ask for `base:allocation`.
        allocation: bool,
    },
}

/// What [`Negotiation::advance`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Send the output and come again with what wasn't consumed and more.
    NeedMore,
    /// Do the TLS handshake, then call [`Negotiation::tls_established`]; if it fails, close. Nothing
    /// of the input is left: what came in plain text is never taken for something said over TLS.
    StartTls,
    /// The exports. Send the output, an ABORT, and close.
    Listed(Vec<Listed>),
    /// The transmission phase.
    Connected(Connection),
}

/// One export of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its description; may be empty. Not escaped for a terminal.
    pub description: String,
}

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The form of requests and replies.
    pub framing: Framing,
    /// The id of `base:allocation`, if the server has it.
    pub allocation: Option<ContextId>,
    /// Size in bytes.
    pub size: u64,
    /// What the export can do. "Clients SHOULD ignore unknown flags."
    pub flags: ExportFlags,
    /// Its size constraints, if the server sent valid ones.
    pub block: Option<BlockSizes>,
    /// Its description, if there is one. Not escaped for a terminal.
    pub description: Option<String>,
}

/// The client's side of one handshake.
#[derive(Clone, Debug)]
pub struct Negotiation {
    goal: Goal,
    /// Nothing is asked before TLS is up.
    tls: bool,
    stage: Stage,
    output: Vec<u8>,
    /// Replies to the option that is under way.
    replies: usize,
    listed: Vec<Listed>,
    found: Connection,
    has_size: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Hello,
    /// This option was sent.
    Asked(u32),
    /// STARTTLS was acknowledged.
    Tls,
    Over,
}

impl Negotiation {
    /// A new connection. The server speaks first.
    #[must_use]
    pub fn new(goal: Goal) -> Self {
        let found = Connection {
            framing: Framing::Simple,
            allocation: None,
            size: 0,
            flags: ExportFlags::empty(),
            block: None,
            description: None,
        };
        let (stage, output, listed) = (Stage::Hello, Vec::new(), Vec::new());
        Self {
            goal,
            tls: false,
            stage,
            output,
            replies: 0,
            listed,
            found,
            has_size: false,
        }
    }

    /// The same, but over TLS or not at all.
    #[must_use]
    pub fn over_tls(goal: Goal) -> Self {
        Self {
            tls: true,
            ..Self::new(goal)
        }
    }

    /// TLS is up: goes on over it. Send the output.
    pub fn tls_established(&mut self) {
        if self.stage == Stage::Tls {
            self.begin();
        }
    }

    /// Takes the bytes to send; empty if there are none.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    /// Goes on with what the server sent: `input` is all that was received and not consumed. Says
    /// how many bytes of it were consumed, and what came of it.
    ///
    /// # Errors
    /// [`ClientError`]: the negotiation failed. Not to be called again after that, nor after it came
    /// to an end.
    pub fn advance(&mut self, input: &[u8]) -> Result<(usize, Progress), ClientError> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let (used, progress) = match self.stage {
                Stage::Hello => self.read_hello(rest)?,
                Stage::Asked(option) => self.read_reply(option, rest)?,
                Stage::Tls => (0, Some(Progress::StartTls)),
                Stage::Over => return Err(ClientError::Protocol("the handshake is over")),
            };
            consumed += used;
            if let Some(progress) = progress {
                return Ok((consumed, progress));
            }
        }
    }

    fn read_hello(&mut self, rest: &[u8]) -> Result<(usize, Option<Progress>), ClientError> {
        let Some(offered) = hello(rest)? else {
            return Ok((0, Some(Progress::NeedMore)));
        };
        if !offered.contains(HandshakeFlags::FIXED_NEWSTYLE) {
            return Err(ClientError::Protocol("no fixed newstyle server"));
        }
        let mut flags = ClientFlags::FIXED_NEWSTYLE;
        // "MUST NOT be set if the server did not set NBD_FLAG_NO_ZEROES"
        flags.set(
            ClientFlags::NO_ZEROES,
            offered.contains(HandshakeFlags::NO_ZEROES),
        );
        self.output.extend_from_slice(&flags.bits().to_be_bytes());
        if self.tls {
            self.ask(option::STARTTLS);
        } else {
            self.begin();
        }
        Ok((wire::HELLO_LEN, None))
    }

    /// Sends the first option for the goal.
    fn begin(&mut self) {
        match self.goal {
            Goal::List => self.ask(option::LIST),
            Goal::Go {
                framing: Framing::Extended,
                ..
            } => self.ask(option::EXTENDED_HEADERS),
            Goal::Go {
                framing: Framing::Structured,
                ..
            } => self.ask(option::STRUCTURED_REPLY),
            Goal::Go {
                framing: Framing::Simple,
                ..
            } => self.ask(option::GO),
        }
    }

    /// Sends an option. "The client MUST NOT send any option until it has received a final reply to
    /// any option it has sent."
    fn ask(&mut self, number: u32) {
        let payload = match (&self.goal, number) {
            (Goal::Go { export, .. }, option::GO) => {
                info_payload(export, &[info::DESCRIPTION, info::BLOCK_SIZE])
            }
            (Goal::Go { export, .. }, option::SET_META_CONTEXT) => {
                meta_payload(export, &[wire::BASE_ALLOCATION])
            }
            _ => Vec::new(),
        };
        push_option(number, &payload, &mut self.output);
        self.replies = 0;
        self.stage = Stage::Asked(number);
    }

    fn read_reply(
        &mut self,
        asked: u32,
        rest: &[u8],
    ) -> Result<(usize, Option<Progress>), ClientError> {
        let Some((reply, used)) = OptionReply::parse(rest)? else {
            return Ok((0, Some(Progress::NeedMore)));
        };
        if reply.option != asked {
            return Err(ClientError::Protocol("a reply to another option"));
        }
        self.replies += 1;
        if self.replies > limits::MAX_OPTION_REPLIES {
            return Err(ClientError::Protocol("too many replies to one option"));
        }
        let progress = match reply.kind {
            // An attacker's, who would have it taken for something said over TLS.
            option_reply::ACK if asked == option::STARTTLS && used < rest.len() => {
                return Err(ClientError::Protocol("plain text after STARTTLS"));
            }
            option_reply::ACK => self.acknowledged(asked)?,
            _ if reply.is_error() => self.refused(&reply)?,
            option_reply::SERVER if asked == option::LIST => self.read_server(&reply)?,
            option_reply::INFO if asked == option::GO => self.read_info(&reply)?,
            option_reply::META_CONTEXT if asked == option::SET_META_CONTEXT => {
                self.read_context(&reply)?
            }
            _ => return Err(ClientError::Protocol("an unexpected option reply")),
        };
        Ok((used, progress))
    }

    /// The option that is under way succeeded: on with the next.
    fn acknowledged(&mut self, asked: u32) -> Result<Option<Progress>, ClientError> {
        match asked {
            option::STARTTLS => self.stage = Stage::Tls,
            option::EXTENDED_HEADERS => self.has_chunks(Framing::Extended),
            option::STRUCTURED_REPLY => self.has_chunks(Framing::Structured),
            option::SET_META_CONTEXT => self.ask(option::GO),
            option::LIST => {
                push_option(option::ABORT, &[], &mut self.output);
                self.stage = Stage::Over;
                return Ok(Some(Progress::Listed(core::mem::take(&mut self.listed))));
            }
            // "The server MUST send an NBD_INFO_EXPORT information type at some point before sending
            // an NBD_REP_ACK".
            _ if !self.has_size => return Err(ClientError::Protocol("GO without a size")),
            _ => {
                self.stage = Stage::Over;
                return Ok(Some(Progress::Connected(self.found.clone())));
            }
        }
        Ok(None)
    }

    /// The server knows chunks: contexts can be selected.
    fn has_chunks(&mut self, framing: Framing) {
        self.found.framing = framing;
        let wants = matches!(
            self.goal,
            Goal::Go {
                allocation: true,
                ..
            }
        );
        self.ask(if wants {
            option::SET_META_CONTEXT
        } else {
            option::GO
        });
    }

    /// The option that is under way failed: on with less, or not at all.
    fn refused(&mut self, reply: &OptionReply<'_>) -> Result<Option<Progress>, ClientError> {
        match reply.option {
            option::EXTENDED_HEADERS => self.ask(option::STRUCTURED_REPLY),
            option::STRUCTURED_REPLY => self.ask(option::GO),
            option::SET_META_CONTEXT => {
                // "If an error is returned, the client MUST disregard any context replies that may
                // have been sent."
                self.found.allocation = None;
                self.ask(option::GO);
            }
            option => {
                let text = String::from_utf8_lossy(reply.payload).into_owned();
                return Err(ClientError::Refused {
                    option,
                    kind: reply.kind,
                    text,
                });
            }
        }
        Ok(None)
    }

    fn read_server(&mut self, reply: &OptionReply<'_>) -> Result<Option<Progress>, ClientError> {
        let mut reader = Reader::new(reply.payload);
        let length = reader.u32().and_then(|length| usize::try_from(length).ok());
        let name = length
            .and_then(|length| reader.take(length))
            .and_then(text::parse_string);
        let name = name
            .ok_or(ClientError::Protocol("a list with a broken name"))?
            .to_owned();
        let rest = reader.take(reader.len()).unwrap_or_default();
        // "Therefore, unless explicitly documented otherwise ..., this field is defined to be a
        // string": one that isn't is no reason to give up.
        let description = text::parse_string(rest).unwrap_or_default().to_owned();
        self.listed.push(Listed { name, description });
        Ok(None)
    }

    /// "A client MUST NOT rely on any particular ordering amongst the NBD_OPT_INFO replies, and MUST
    /// ignore information types that it does not recognize."
    fn read_info(&mut self, reply: &OptionReply<'_>) -> Result<Option<Progress>, ClientError> {
        let mut reader = Reader::new(reply.payload);
        let kind = reader
            .u16()
            .ok_or(ClientError::Protocol("information without a type"))?;
        match (kind, reply.payload.len()) {
            (info::EXPORT, 12) => {
                self.found.size = reader.u64().unwrap_or_default();
                self.found.flags =
                    ExportFlags::from_bits_truncate(reader.u16().unwrap_or_default());
                self.has_size = true;
            }
            (info::BLOCK_SIZE, 14) => {
                let mut next = || reader.u32().unwrap_or_default();
                self.found.block = BlockSizes::new(next(), next(), next()).ok();
            }
            (info::EXPORT | info::BLOCK_SIZE, _) => {
                return Err(ClientError::Protocol("information of a wrong length"));
            }
            (info::DESCRIPTION, _) => {
                let rest = reader.take(reader.len()).unwrap_or_default();
                self.found.description = text::parse_string(rest).map(str::to_owned);
            }
            _ => {}
        }
        Ok(None)
    }

    fn read_context(&mut self, reply: &OptionReply<'_>) -> Result<Option<Progress>, ClientError> {
        let mut reader = Reader::new(reply.payload);
        let id = reader
            .u32()
            .ok_or(ClientError::Protocol("a metadata context without an id"))?;
        if reader.take(reader.len()) == Some(wire::BASE_ALLOCATION.as_bytes()) {
            self.found.allocation = Some(ContextId(id));
        }
        Ok(None)
    }
}
