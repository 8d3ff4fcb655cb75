//! The server's side of the handshake (sections "Fixed newstyle negotiation", "TLS support" and
//! "Option types"), as a state machine.
//!
//! It owns what was agreed so far and the bytes that are to be sent. It deliberately knows no
//! exports: it asks. Its invariants: of a stream of bytes it makes the same events and the same
//! output however the stream is cut; what it keeps is one question, and what it sends is bounded by
//! what it was sent and told.
//!
//! `haggling` does what each option says; `verdict` has the shell's answers.

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

/// What the operator allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// TLS.
    pub tls: TlsMode,
    /// What of the protocol there is.
    pub offers: Offers,
}

/// What of the protocol is offered: all of it, unless a client's ways with older servers are to be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offers {
    /// The handshake flags. Without `FIXED_NEWSTYLE` a client has no option but `NBD_OPT_EXPORT_NAME`.
    pub flags: HandshakeFlags,
    /// Structured replies, and what needs them: block status and extended headers.
    pub structured_replies: bool,
    /// Extended headers.
    pub extended_headers: bool,
}

impl Default for Offers {
    fn default() -> Self {
        Self {
            flags: HandshakeFlags::FIXED_NEWSTYLE.union(HandshakeFlags::NO_ZEROES),
            structured_replies: true,
            extended_headers: true,
        }
    }
}

/// Section "TLS support": "There are three modes of operation for a server."
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// NOTLS: there is none, and no client is told that it needs it.
    #[default]
    Off,
    /// SELECTIVETLS: a client may, and the shell says of each export whether it must.
    Offer,
    /// FORCEDTLS: nothing goes without, but STARTTLS and ABORT.
    Require,
}

/// What [`Handshake::advance`] came upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All whole options in the input are dealt with. Send the output, receive more, come again
    /// with the bytes that weren't consumed and the new ones. The buffer must be able to hold
    /// [`limits::HANDSHAKE_BUFFER`] bytes.
    NeedMore,
    /// Which exports are there? Answer [`Handshake::list`], [`Handshake::denied`] or
    /// [`Handshake::shutting_down`].
    List,
    /// What is this export? Answer [`Handshake::found`], [`Handshake::unknown`],
    /// [`Handshake::denied`], [`Handshake::tls_required`] or [`Handshake::shutting_down`].
    Find(Lookup),
    /// Send the output, do the TLS handshake, then call [`Handshake::tls_established`]; if it
    /// fails, close. All the input counts as consumed, so nothing that came in plain text is ever
    /// taken for an option.
    StartTls,
    /// The transmission phase begins. Send the output; the bytes that weren't consumed are requests
    /// for [`Session::parse`]. This handshake is over.
    Ready(Box<Session>),
    /// Send the output and close the connection.
    Close,
}

/// A question for the shell: which export has the name that the client gave?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The name; empty for the default export. At most [`limits::MAX_STRING`] bytes, without NUL.
    pub name: String,
    /// What for.
    pub purpose: Purpose,
}

/// What an export is looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `NBD_OPT_EXPORT_NAME`: enters the transmission phase. Every refusal closes.
    ExportName,
    /// `NBD_OPT_INFO`: only describes.
    Info,
    /// `NBD_OPT_GO`: enters the transmission phase, unless the client has to ask for block sizes
    /// first; wait for [`Event::Ready`].
    Go,
    /// `NBD_OPT_LIST_META_CONTEXT` or `NBD_OPT_SET_META_CONTEXT`: only [`Export::allocation`](crate::Export::allocation)
    /// matters.
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
    /// TLS was established.
    tls: bool,
    shutting_down: bool,
    /// Options so far.
    options: u32,
    agreed: Agreed,
}

/// What options have agreed on; forgotten by STARTTLS.
#[derive(Clone, Debug)]
struct Agreed {
    framing: Framing,
    /// The name of the export for which `base:allocation` is selected.
    allocation_of: Option<String>,
}

impl Agreed {
    const NOTHING: Self = Self {
        framing: Framing::Simple,
        allocation_of: None,
    };
}

/// Where the conversation is.
#[derive(Clone, Debug)]
enum Stage {
    /// The client's flags come next.
    ClientFlags,
    /// An option comes next.
    Options,
    /// So many bytes of an option that is too long come next; then it is answered.
    Draining { option: OptionHeader, left: u32 },
    /// The shell has been asked.
    Asking(Question),
    /// The export is chosen and the client knows.
    Chosen(Box<Session>),
    /// STARTTLS is acknowledged.
    Tls,
    /// Nothing comes next.
    Over,
}

/// What the shell was asked and what for.
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
    /// A new connection, whose hello is the first output.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        // "The server MUST NOT set any other flags".
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

    /// Goes on with what the client sent: `input` is all that was received and not consumed. Says
    /// how many bytes of it were consumed, and what happened.
    ///
    /// After a question ([`Event::List`], [`Event::Find`]) nothing goes on before the answer: this
    /// consumes nothing and asks again. After [`Event::StartTls`] everything is consumed and thrown
    /// away until [`Handshake::tls_established`]. After [`Event::Ready`] and [`Event::Close`] it
    /// closes.
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

    /// Takes the bytes to send; empty if there are none. [`Handshake::advance`] adds no more than six
    /// times what it consumes, so taking them after each call bounds them.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    /// One step: what was used of `rest`, and the event if there is one. Without an event some bytes
    /// were used or the stage has changed.
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
        self.stage = match ClientFlags::from_bits(bits) {
            Some(flags) if flags.bits() & !offered == 0 => {
                self.fixed = flags.contains(ClientFlags::FIXED_NEWSTYLE);
                self.no_zeroes = flags.contains(ClientFlags::NO_ZEROES);
                Stage::Options
            }
            _ => Stage::Over,
        };
        (4, None)
    }

    /// Reads a whole option and does what it says.
    fn read_option(&mut self, rest: &[u8]) -> (usize, Option<Event>) {
        let option = match OptionHeader::read(rest) {
            OptionRead::Header(option) => option,
            OptionRead::Incomplete => return (0, Some(Event::NeedMore)),
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

    /// A long option costs no memory, and one that is absurd no time.
    fn start_draining(&mut self, option: OptionHeader) -> (usize, Option<Event>) {
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
