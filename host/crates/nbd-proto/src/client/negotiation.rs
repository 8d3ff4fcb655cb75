//! The client's side of the handshake, as a state machine.

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
    /// The list of exports, and then the end of the session.
    List,
    /// The transmission phase.
    Go {
        /// The export's name; empty for the default export.
        export: String,
        /// The best framing to request. If the server doesn't support it, the client requests the next best.
        framing: Framing,
        /// Whether to request `base:allocation`.
        allocation: bool,
    },
}

/// What the caller must do after [`Negotiation::advance`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Send the output and receive more. Then call again with the bytes that weren't consumed and the
    /// new ones.
    NeedMore,
    /// Do the TLS handshake, then call [`Negotiation::tls_established`]. If TLS fails, close. All input
    /// is consumed, so plain text is never taken for a reply that came over TLS.
    StartTls,
    /// These are the exports. Send the output, an ABORT, and close.
    Listed(Vec<Listed>),
    /// The transmission phase begins. The bytes that weren't consumed are replies for
    /// [`decode`](super::decode).
    Connected(Connection),
}

/// One export of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The export's name, at most [`limits::MAX_STRING`] bytes. Not escaped for a terminal.
    pub name: String,
    /// The export's description, at most [`limits::MAX_STRING`] bytes; may be empty. Not escaped for a
    /// terminal.
    pub description: String,
}

/// The agreements of a handshake, and the server's description of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The form of requests and replies.
    pub framing: Framing,
    /// The id of `base:allocation`, if the client requested it and the server has it.
    pub allocation: Option<ContextId>,
    /// The export's size in bytes.
    pub size: u64,
    /// What the export supports. "Clients SHOULD ignore unknown flags."
    pub flags: ExportFlags,
    /// The export's size constraints, if the server sent valid ones.
    pub block: Option<BlockSizes>,
    /// The export's description, if the server sent one of at most [`limits::MAX_STRING`] bytes. Not
    /// escaped for a terminal.
    pub description: Option<String>,
}

/// The client's side of one handshake.
#[derive(Clone, Debug)]
pub struct Negotiation {
    goal: Goal,
    /// Whether the client requires TLS before it sends any other option.
    tls: bool,
    stage: Stage,
    output: Vec<u8>,
    /// Replies so far to the last option.
    replies: usize,
    listed: Vec<Listed>,
    found: Connection,
    has_size: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Hello,
    /// The client has sent this option and waits for its last reply.
    Asked(u32),
    /// The server has acknowledged STARTTLS.
    Tls,
    Over,
}

impl Negotiation {
    /// Begins the handshake of a new connection, in plain text. The server sends the first bytes.
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

    /// Begins the handshake of a new connection that requires TLS: it fails if the server refuses TLS.
    #[must_use]
    pub fn over_tls(goal: Goal) -> Self {
        Self {
            tls: true,
            ..Self::new(goal)
        }
    }

    /// Continues over TLS, after the caller has done the TLS handshake. The caller then sends the output.
    pub fn tls_established(&mut self) {
        //= proto.md#client-side-requirements
        //# The client MUST NOT issue `NBD_OPT_STARTTLS` if TLS has already been initiated.
        if self.stage == Stage::Tls {
            self.begin();
        }
    }

    /// Takes the bytes to send; empty if there are none.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    /// Processes what the server sent. `input` is all that was received and not consumed. Returns how
    /// many bytes of it are consumed now, and what the caller must do next.
    ///
    /// # Errors
    /// The server broke the protocol or refused the export, its list, or TLS. The negotiation is over
    /// then, as it is after [`Progress::Listed`] and [`Progress::Connected`]: don't call this again.
    pub fn advance(&mut self, input: &[u8]) -> Result<(usize, Progress), ClientError> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let (used, progress) = match self.stage {
                Stage::Hello => self.read_hello(rest)?,
                Stage::Asked(option) => self.read_reply(option, rest)?,
                Stage::Tls => (0, Some(Progress::StartTls)),
                Stage::Over => {
                    return Err(ClientError::Protocol("the handshake was already over"));
                }
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
        //= proto.md#client-side-requirements
        //# The client MUST NOT issue `NBD_OPT_STARTTLS` unless the server set flag `NBD_FLAG_FIXED_NEWSTYLE`
        //# and the client replied with `NBD_FLAG_C_FIXED_NEWSTYLE` in the fixed newstyle negotiation.
        if !offered.contains(HandshakeFlags::FIXED_NEWSTYLE) {
            return Err(ClientError::Protocol(
                "it doesn't offer fixed newstyle negotiation",
            ));
        }
        //= proto.md#fixed-newstyle-negotiation
        //# The client SHOULD reply with `NBD_FLAG_C_FIXED_NEWSTYLE` set in its flags field too
        //= proto.md#client-flags
        //# bit 0, `NBD_FLAG_C_FIXED_NEWSTYLE`; SHOULD be set by clients that support the fixed newstyle
        //# protocol.
        let mut flags = ClientFlags::FIXED_NEWSTYLE;
        // "MUST NOT be set if the server did not set NBD_FLAG_NO_ZEROES"
        flags.set(
            ClientFlags::NO_ZEROES,
            //= proto.md#client-flags
            //# bit 1, `NBD_FLAG_C_NO_ZEROES`; MUST NOT be set if the server did not set `NBD_FLAG_NO_ZEROES`.
            offered.contains(HandshakeFlags::NO_ZEROES),
        );
        self.output.extend_from_slice(&flags.bits().to_be_bytes());
        //= proto.md#client-side-requirements
        //# A client that prefers to use TLS irrespective of whether the server makes TLS mandatory SHOULD send
        //# `NBD_OPT_STARTTLS` as the first option.
        if self.tls {
            //= proto.md#client-side-requirements
            //# If the client supports TLS at all, it MUST be prepared to deal with servers operating in any of
            //# the above modes.
            //= proto.md#option-types
            //# A client SHOULD defer all stateful option requests until after it determines whether encryption
            //# is available.
            self.ask(option::STARTTLS);
        } else {
            self.begin();
        }
        Ok((wire::HELLO_LEN, None))
    }

    /// Sends the first option for the goal.
    fn begin(&mut self) {
        //= proto.md#option-types
        //# A client thus SHOULD use `NBD_OPT_GO` in preference to `NBD_OPT_EXPORT_NAME`
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
                //= proto.md#size-constraints
                //# it SHOULD announce this during the handshake phase by using `NBD_OPT_GO` (and `NBD_OPT_INFO`
                //# if used) with an `NBD_INFO_BLOCK_SIZE` information request
                //= proto.md#option-types
                //# The client MUST NOT include any information request in the list more than once.
                //= proto.md#maximum-interoperability
                //# Similarly, clients that desire maximum interoperability SHOULD implement querying for size
                //# constraints.
                info_payload(export, &[info::DESCRIPTION, info::BLOCK_SIZE])
            }
            (Goal::Go { export, .. }, option::SET_META_CONTEXT) => {
                //= proto.md#metadata-querying
                //# the client MUST select one or more metadata contexts with the `NBD_OPT_SET_META_CONTEXT`
                //# command.
                meta_payload(export, &[wire::BASE_ALLOCATION])
            }
            //= proto.md#option-types
            //# The client MUST NOT send any additional data with the option.
            _ => Vec::new(),
        };
        push_option(number, &payload, &mut self.output);
        self.replies = 0;
        //= proto.md#fixed-newstyle-negotiation
        //# The client MUST NOT send any option until it has received a final reply to any option it has sent
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
            //= proto.md#termination-of-the-session-during-option-haggling
            //# If either the client or the server detects a violation of a mandatory condition ('MUST' etc.) by
            //# the other party, it MAY initiate a hard disconnect.
            return Err(ClientError::Protocol("it replied to another option"));
        }
        self.replies += 1;
        if self.replies > limits::MAX_OPTION_REPLIES {
            return Err(ClientError::Protocol(
                "it sent more than 10001 replies to one option",
            ));
        }
        let progress = match reply.kind {
            // An attacker could insert plain text here, so that the client takes it for a reply over TLS.
            option_reply::ACK if asked == option::STARTTLS && used < rest.len() => {
                return Err(ClientError::Protocol(
                    "it sent plain text after it had acknowledged STARTTLS",
                ));
            }
            option_reply::ACK => self.acknowledged(asked)?,
            _ if reply.is_error() => self.refused(&reply)?,
            option_reply::SERVER if asked == option::LIST => self.read_server(&reply)?,
            option_reply::INFO if asked == option::GO => self.read_info(&reply)?,
            option_reply::META_CONTEXT if asked == option::SET_META_CONTEXT => {
                self.read_context(&reply)?
            }
            _ => {
                return Err(ClientError::Protocol(
                    "it sent a reply that its option doesn't have",
                ));
            }
        };
        Ok((used, progress))
    }

    /// The last option succeeded: sends the next, or ends.
    fn acknowledged(&mut self, asked: u32) -> Result<Option<Progress>, ClientError> {
        match asked {
            //= proto.md#client-side-requirements
            //# If the client receives `NBD_REP_ACK` in response, it MUST immediately upgrade the session to
            //# TLS.
            option::STARTTLS => self.stage = Stage::Tls,
            option::EXTENDED_HEADERS => self.has_chunks(Framing::Extended),
            option::STRUCTURED_REPLY => self.has_chunks(Framing::Structured),
            //= proto.md#client-side-requirements
            //# If a client supports TLS, it SHOULD use `NBD_OPT_GO` (if the server supports it) in place of
            //# `NBD_OPT_EXPORT_NAME`.
            option::SET_META_CONTEXT => self.ask(option::GO),
            option::LIST => {
                //= proto.md#termination-of-the-session-during-option-haggling
                //# A client MAY use a soft disconnect to terminate the session whenever it wishes.
                push_option(option::ABORT, &[], &mut self.output);
                self.stage = Stage::Over;
                //= proto.md#option-types
                //# Therefore the client SHOULD gracefully handle the server closing the connection after
                //# receiving an `NBD_OPT_ABORT` without it sending a reply.
                return Ok(Some(Progress::Listed(core::mem::take(&mut self.listed))));
            }
            // "The server MUST send an NBD_INFO_EXPORT information type at some point before sending
            // an NBD_REP_ACK".
            _ if !self.has_size => {
                return Err(ClientError::Protocol(
                    "it acknowledged GO without the export's size",
                ));
            }
            _ => {
                self.stage = Stage::Over;
                //= proto.md#option-types
                //# The client MUST NOT send further option requests unless the final reply from the server
                //# indicates an error.
                return Ok(Some(Progress::Connected(self.found.clone())));
            }
        }
        Ok(None)
    }

    /// The server has agreed to `framing`, which has chunks: selects the context if the goal has one.
    //= proto.md#baseline
    //# Clients that wish to use more messages MUST negotiate them during the handshake phase, first.
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

    /// The last option failed: continues without it, or gives up if the client needs it.
    fn refused(&mut self, reply: &OptionReply<'_>) -> Result<Option<Progress>, ClientError> {
        match reply.option {
            //= proto.md#option-types
            //# For backwards compatibility, clients SHOULD be prepared to also handle `NBD_REP_ERR_UNSUP`; in
            //# this case, only the compact transmission headers will be used.
            option::EXTENDED_HEADERS => self.ask(option::STRUCTURED_REPLY),
            //= proto.md#option-types
            //# For backwards compatibility, clients SHOULD be prepared to also handle `NBD_REP_ERR_UNSUP`; in
            //# this case, no structured replies will be sent.
            option::STRUCTURED_REPLY => self.ask(option::GO),
            option::SET_META_CONTEXT => {
                // "If an error is returned, the client MUST disregard any context replies that may
                // have been sent."
                //= proto.md#option-types
                //# If an error is returned, the client MUST disregard any context replies that may have been
                //# sent.
                self.found.allocation = None;
                self.ask(option::GO);
            }
            //= proto.md#client-side-requirements
            //# therefore the client MUST either continue the session without TLS, or terminate the session.
            option => {
                //= proto.md#client-side-requirements
                //# For this reason, a client which only wishes to use TLS SHOULD terminate the session if the
                //# `NBD_OPT_STARTTLS` replies with an error.
                let text = String::from_utf8_lossy(reply.payload).into_owned();
                //= proto.md#client-side-requirements
                //# Notwithstanding, a client MAY always terminate the session or refuse to connect to a
                //# particular export if TLS is not available and the user requires TLS.
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
            .ok_or(ClientError::Protocol("it listed an invalid export name"))?
            .to_owned();
        let rest = reader.take(reader.len()).unwrap_or_default();
        // "Therefore, unless explicitly documented otherwise ..., this field is defined to be a
        // string". The client ignores an invalid one: it doesn't need the description.
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
            .ok_or(ClientError::Protocol("it sent information without a type"))?;
        //= proto.md#option-reply-types
        //# A client MUST NOT rely on any particular ordering amongst the `NBD_OPT_INFO` replies, and MUST
        //# ignore information types that it does not recognize.
        match (kind, reply.payload.len()) {
            (info::EXPORT, 12) => {
                self.found.size = reader.u64().unwrap_or_default();
                //= proto.md#transmission-flags
                //# Clients SHOULD ignore unknown flags.
                self.found.flags =
                    ExportFlags::from_bits_truncate(reader.u16().unwrap_or_default());
                self.has_size = true;
            }
            (info::BLOCK_SIZE, 14) => {
                let mut next = || reader.u32().unwrap_or_default();
                self.found.block = BlockSizes::new(next(), next(), next()).ok();
            }
            (info::EXPORT | info::BLOCK_SIZE, _) => {
                return Err(ClientError::Protocol(
                    "it sent information of the wrong length",
                ));
            }
            (info::DESCRIPTION, _) => {
                let rest = reader.take(reader.len()).unwrap_or_default();
                self.found.description = text::parse_string(rest).map(str::to_owned);
            }
            //= proto.md#option-types
            //# The client MUST ignore information replies it does not understand.
            _ => {}
        }
        Ok(None)
    }

    fn read_context(&mut self, reply: &OptionReply<'_>) -> Result<Option<Progress>, ClientError> {
        let mut reader = Reader::new(reply.payload);
        let id = reader.u32().ok_or(ClientError::Protocol(
            "it sent a metadata context without an id",
        ))?;
        if reader.take(reader.len()) == Some(wire::BASE_ALLOCATION.as_bytes()) {
            //= proto.md#option-types
            //# clients MUST therefore treat the ID as an opaque value
            self.found.allocation = Some(ContextId(id));
        }
        Ok(None)
    }
}
