//! The server's side of the handshake (sections "Fixed newstyle negotiation", "TLS support" and
//! "Option types"), as a state machine.
//!
//! It owns the agreements so far and the bytes to send. It knows no exports: it returns an event, and
//! the shell answers.
//!
//! Its invariants: the events and the output don't depend on how the input is cut into pieces. It keeps
//! at most one event without an answer. Its output is bounded by the client's input and the shell's
//! answers.
//!
//! `haggling` carries out each option; `verdict` has the shell's answers.

mod answer;
mod haggling;
mod option;
mod verdict;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use self::answer::Answer;
use self::option::{InfoOption, MetaOption, OptionHeader, OptionRead};
use crate::bytes::Reader;
use crate::wire::{self, ClientFlags, HandshakeFlags, option as opt};
use crate::{Framing, Session, limits};

/// What the operator allows in handshakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether the server offers or requires TLS.
    pub tls: TlsMode,
    /// The parts of the protocol that the server offers.
    pub offers: Offers,
}

/// The parts of the protocol that a server offers: by default all. An operator offers less to test a client against
/// older servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offers {
    /// The handshake flags. Without `FIXED_NEWSTYLE` the server closes on any option except `NBD_OPT_EXPORT_NAME`.
    pub flags: HandshakeFlags,
    /// Structured replies, and the features that need them: block status and extended headers.
    pub structured_replies: bool,
    /// Extended headers, if structured replies are offered too.
    pub extended_headers: bool,
}

impl Default for Offers {
    fn default() -> Self {
        Self {
            //= proto.md#handshake-flags
            //# bit 0, `NBD_FLAG_FIXED_NEWSTYLE`; MUST be set by servers that support the fixed newstyle
            //# protocol
            //= proto.md#option-types
            //# A server which wishes to use any other option MUST support fixed newstyle.
            flags: HandshakeFlags::FIXED_NEWSTYLE.union(HandshakeFlags::NO_ZEROES),
            structured_replies: true,
            extended_headers: true,
        }
    }
}

/// Section "TLS support": "There are three modes of operation for a server."
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
//= proto.md#server-side-requirements
//# There are three modes of operation for a server. The server MUST support one of these modes.
pub enum TlsMode {
    /// NOTLS: the server offers no TLS, and never answers that TLS is required.
    #[default]
    Off,
    /// SELECTIVETLS: a client may use TLS. For each export the shell decides whether the client must.
    Offer,
    /// FORCEDTLS: in plain text the server accepts no option except STARTTLS and ABORT.
    Require,
}

/// What the shell must do after [`Handshake::advance`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The input has no further whole option. Send the output and receive more. Then call again with
    /// the bytes that weren't consumed and the new ones. The receive buffer must be able to hold
    /// [`limits::HANDSHAKE_BUFFER`] bytes.
    NeedMore,
    /// The client requests the list of exports. Answer with [`Handshake::list`], [`Handshake::denied`]
    /// or [`Handshake::shutting_down`].
    List,
    /// The client names an export. Answer with [`Handshake::found`], [`Handshake::unknown`],
    /// [`Handshake::denied`], [`Handshake::tls_required`] or [`Handshake::shutting_down`].
    Find(Lookup),
    /// Send the output, do the TLS handshake, then call [`Handshake::tls_established`]. If TLS fails,
    /// close. All input counts as consumed, so plain text is never taken for an option that came over
    /// TLS.
    StartTls,
    /// The transmission phase begins. Send the output. The bytes that weren't consumed are requests for
    /// [`Session::parse`]. This handshake is over.
    Ready(Box<Session>),
    /// Send the output and close the connection.
    Close,
}

/// The export that the shell has to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The name that the client sent, at most [`limits::MAX_STRING`] bytes without NUL. Empty for the
    /// default export.
    pub name: String,
    /// The option that names the export.
    pub purpose: Purpose,
}

/// The option for which the shell has to find an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `NBD_OPT_EXPORT_NAME`: the client enters the export. Any answer except [`Handshake::found`] closes the
    /// connection.
    ExportName,
    /// `NBD_OPT_INFO`: the client gets a description.
    Info,
    /// `NBD_OPT_GO`: the client enters the export once [`Event::Ready`] comes. It doesn't come if the client has to
    /// request the block sizes first.
    Go,
    /// `NBD_OPT_LIST_META_CONTEXT` or `NBD_OPT_SET_META_CONTEXT`: only
    /// [`Export::allocation`](crate::Export::allocation) matters.
    Meta,
}

/// The server's side of one handshake.
///
/// ```
/// # use nbd_proto::{Event, Handshake, Policy};
/// # fn receive(_: &mut Vec<u8>) -> bool { false }
/// # fn send(_: Vec<u8>) {}
/// let mut handshake = Handshake::new(Policy::default());
/// let mut buffer = Vec::new();
/// let session = loop {
///     let (consumed, event) = handshake.advance(&buffer);
///     buffer.drain(..consumed);
///     send(handshake.take_output());
///     match event {
///         Event::NeedMore if receive(&mut buffer) => {}
///         Event::NeedMore | Event::StartTls | Event::Close => break None,
///         Event::List => handshake.list([("disk", None)]),
///         Event::Find(_) => handshake.unknown(),
///         Event::Ready(session) => break Some(session),
///     }
/// };
/// # assert_eq!(session, None);
/// ```
#[derive(Clone, Debug)]
pub struct Handshake {
    policy: Policy,
    stage: Stage,
    output: Vec<u8>,
    /// The client set `NBD_FLAG_C_FIXED_NEWSTYLE`.
    fixed: bool,
    /// The client set `NBD_FLAG_C_NO_ZEROES`.
    no_zeroes: bool,
    /// The connection uses TLS.
    tls: bool,
    shutting_down: bool,
    /// Options received so far.
    options: u32,
    agreed: Agreed,
}

/// The agreements of the options so far. STARTTLS discards them.
#[derive(Clone, Debug)]
struct Agreed {
    framing: Framing,
    /// The export name for which the client selected `base:allocation`.
    allocation_of: Option<String>,
}

impl Agreed {
    const NOTHING: Self = Self {
        //= proto.md#transmission
        //# Note that without client negotiation, the server MUST use only simple replies
        framing: Framing::Simple,
        allocation_of: None,
    };
}

/// What comes next in the handshake.
#[derive(Clone, Debug)]
enum Stage {
    /// The client's flags.
    ClientFlags,
    /// An option.
    Options,
    /// The last `left` bytes of an option that is too long, and then the answer to it.
    Draining { option: OptionHeader, left: u32 },
    /// The shell's answer to an event.
    Asking(Question),
    /// [`Event::Ready`]: the client has the description of the export that it enters.
    Chosen(Box<Session>),
    /// The TLS handshake: the client has the answer to STARTTLS.
    Tls,
    /// Nothing: the connection closes, or has its session.
    Over,
}

/// An event that the shell hasn't answered, with the option that caused it.
#[derive(Clone, Debug)]
enum Question {
    List,
    ExportName(String),
    Info(InfoOption),
    Go(InfoOption),
    ListMeta(MetaOption),
    SetMeta(MetaOption),
}

impl Handshake {
    /// Begins the handshake of a new connection. Its first output is the hello.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        // "The server MUST NOT set any other flags".
        //= proto.md#handshake-flags
        //# The server MUST NOT set any other flags
        let flags = policy.offers.flags;
        let mut output = Vec::with_capacity(wire::HELLO_LEN);
        output.extend_from_slice(&wire::NBD_MAGIC.to_be_bytes());
        output.extend_from_slice(&wire::OPTION_MAGIC.to_be_bytes());
        output.extend_from_slice(&flags.bits().to_be_bytes());
        Self {
            policy,
            stage: Stage::ClientFlags,
            output,
            fixed: false,
            no_zeroes: false,
            tls: false,
            shutting_down: false,
            options: 0,
            agreed: Agreed::NOTHING,
        }
    }

    /// Processes what the client sent. `input` is all that was received and not consumed. Returns how
    /// many bytes of it are consumed now, and what the shell must do next.
    ///
    /// After [`Event::List`] and [`Event::Find`] it consumes nothing and returns the same event until
    /// the shell answers. After [`Event::StartTls`] it consumes and discards everything until
    /// [`Handshake::tls_established`]. After [`Event::Ready`] and [`Event::Close`] it returns
    /// [`Event::Close`].
    pub fn advance(&mut self, input: &[u8]) -> (usize, Event) {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let (used, event) = self.step(rest);
            consumed += used;
            if let Some(event) = event {
                return (consumed, event);
            }
        }
    }

    /// Takes the bytes to send; empty if there are none. One call of [`Handshake::advance`] adds at most
    /// six times the bytes that it consumes, so a shell that takes the output after each call bounds it.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    /// Takes one step. Returns how many bytes of `rest` it used, and the event, if any. Without an event
    /// it has used bytes or changed the stage.
    fn step(&mut self, rest: &[u8]) -> (usize, Option<Event>) {
        match &mut self.stage {
            Stage::ClientFlags => self.read_client_flags(rest),
            Stage::Options => self.read_option(rest),
            Stage::Draining { option, left } => {
                let option = *option;
                let used = u32::try_from(rest.len()).unwrap_or(u32::MAX).min(*left);
                *left -= used;
                if *left > 0 {
                    return (rest.len(), Some(Event::NeedMore));
                }
                self.stage = Stage::Options;
                self.answer_drained(option);
                (used as usize, None)
            }
            Stage::Asking(question) => (0, Some(question.event())),
            Stage::Chosen(_) => match core::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Chosen(session) => (0, Some(Event::Ready(session))),
                _ => (0, Some(Event::Close)),
            },
            //= proto.md#forcedtls-mode
            //# After an `NBD_REP_ACK` reply has been sent, the server MUST be prepared for a TLS handshake, and
            //# all further data MUST be sent and received over TLS.
            Stage::Tls => (rest.len(), Some(Event::StartTls)),
            Stage::Over => (rest.len(), Some(Event::Close)),
        }
    }

    /// Section "Client flags": "the server MUST drop the TCP connection if the client sets an
    /// unknown flag, or a flag that does not match something advertised by the server".
    fn read_client_flags(&mut self, rest: &[u8]) -> (usize, Option<Event>) {
        let Some(bits) = Reader::new(rest).u32() else {
            return (0, Some(Event::NeedMore));
        };
        let offered = u32::from(self.policy.offers.flags.bits());
        //= proto.md#client-flags
        //# the server MUST drop the TCP connection if the client sets an unknown flag, or a flag that does not
        //# match something advertised by the server.
        self.stage = match ClientFlags::from_bits(bits) {
            Some(flags) if flags.bits() & !offered == 0 => {
                //= proto.md#handshake-flags
                //# SHOULD NOT change behaviour unless the client responds with a corresponding flag.
                self.fixed = flags.contains(ClientFlags::FIXED_NEWSTYLE);
                self.no_zeroes = flags.contains(ClientFlags::NO_ZEROES);
                Stage::Options
            }
            //= proto.md#newstyle-negotiation
            //# the server MUST close the TCP connection if it does not recognize the client's flags.
            _ => Stage::Over,
        };
        (4, None)
    }

    /// Reads a whole option and carries it out.
    fn read_option(&mut self, rest: &[u8]) -> (usize, Option<Event>) {
        let option = match OptionHeader::read(rest) {
            OptionRead::Header(option) => option,
            OptionRead::Incomplete => return (0, Some(Event::NeedMore)),
            //= proto.md#termination-of-the-session-during-option-haggling
            //# If either the client or the server detects a violation of a mandatory condition ('MUST' etc.) by
            //# the other party, it MAY initiate a hard disconnect.
            OptionRead::Garbage => return self.close(),
        };
        let body = rest.get(wire::OPTION_HEADER_LEN..).unwrap_or_default();
        let length = usize::try_from(option.length).unwrap_or(usize::MAX);
        if length > limits::MAX_OPTION {
            return self.start_draining(option);
        }
        let Some(payload) = body.get(..length) else {
            return (0, Some(Event::NeedMore));
        };
        if !self.count_option() {
            return self.close();
        }
        self.obey(option.number, payload);
        (wire::OPTION_HEADER_LEN + length, None)
    }

    /// Begins to drain an option that is too long to buffer. Closes if that would take too long, or if
    /// the protocol has no error for the option.
    fn start_draining(&mut self, option: OptionHeader) -> (usize, Option<Event>) {
        //= proto.md#termination-of-the-session-during-option-haggling
        //# if a server believes a client's behaviour constitutes a denial of service, it MAY initiate a hard
        //# disconnect.
        let hopeless = option.length > limits::MAX_DRAINED_OPTION
            || option.number == opt::EXPORT_NAME
            || !self.fixed;
        if hopeless || !self.count_option() {
            return self.close();
        }
        self.stage = Stage::Draining {
            option,
            left: option.length,
        };
        (wire::OPTION_HEADER_LEN, None)
    }

    fn close(&mut self) -> (usize, Option<Event>) {
        self.stage = Stage::Over;
        (0, None)
    }

    fn count_option(&mut self) -> bool {
        self.options = self.options.saturating_add(1);
        //= proto.md#termination-of-the-session-during-option-haggling
        //# if a server believes a client's behaviour constitutes a denial of service, it MAY initiate a hard
        //# disconnect.
        self.options <= limits::MAX_OPTIONS
    }

    fn answer(&mut self, option: u32) -> Answer<'_> {
        Answer {
            option,
            out: &mut self.output,
        }
    }
}

impl Question {
    fn event(&self) -> Event {
        let (name, purpose) = match self {
            Self::List => return Event::List,
            Self::ExportName(name) => (name, Purpose::ExportName),
            Self::Info(wanted) => (&wanted.name, Purpose::Info),
            Self::Go(wanted) => (&wanted.name, Purpose::Go),
            Self::ListMeta(query) | Self::SetMeta(query) => (&query.name, Purpose::Meta),
        };
        Event::Find(Lookup {
            name: name.clone(),
            purpose,
        })
    }

    const fn option(&self) -> u32 {
        match self {
            Self::List => opt::LIST,
            Self::ExportName(_) => opt::EXPORT_NAME,
            Self::Info(_) => opt::INFO,
            Self::Go(_) => opt::GO,
            Self::ListMeta(_) => opt::LIST_META_CONTEXT,
            Self::SetMeta(_) => opt::SET_META_CONTEXT,
        }
    }
}
