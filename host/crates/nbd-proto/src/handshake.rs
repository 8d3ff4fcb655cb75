//! The server's side of the handshake (sections "Fixed newstyle negotiation", "TLS support" and
//! "Option types"), as a state machine.
//!
//! It owns what was agreed so far and the bytes that are to be sent. It deliberately knows no
//! exports: it asks. Its invariants: of a stream of bytes it makes the same events and the same
//! output however the stream is cut; what it keeps is one question, and what it sends is bounded by
//! what it was sent and told.

mod answer;
mod option;

use self::answer::Answer;
use self::option::{Complaint, InfoOption, InfoWanted, MetaOption, OptionHeader, OptionRead};
use crate::bytes::Reader;
use crate::wire::{self, ClientFlags, HandshakeFlags, option as opt, option_reply as rep};
use crate::{ContextId, Export, Framing, Session, limits, text};

/// What the operator allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// TLS.
    pub tls: TlsMode,
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
    /// `NBD_OPT_LIST_META_CONTEXT` or `NBD_OPT_SET_META_CONTEXT`: only [`Export::allocation`]
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

/// The id of `base:allocation`. Any would do: "clients MUST therefore treat the ID as an opaque
/// value".
const ALLOCATION: ContextId = ContextId(1);

/// For LIST_META_CONTEXT "the metadata context ID in these replies is reserved and SHOULD be set to
/// zero".
const NO_ID: ContextId = ContextId(0);

impl Handshake {
    /// A new connection, whose hello is the first output.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        // "The server MUST NOT set any other flags".
        let flags = HandshakeFlags::FIXED_NEWSTYLE | HandshakeFlags::NO_ZEROES;
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
        self.stage = match ClientFlags::from_bits(bits) {
            Some(flags) => {
                self.fixed = flags.contains(ClientFlags::FIXED_NEWSTYLE);
                self.no_zeroes = flags.contains(ClientFlags::NO_ZEROES);
                Stage::Options
            }
            None => Stage::Over,
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

    /// Does what an option says: answers it, or asks the shell.
    fn obey(&mut self, number: u32, payload: &[u8]) {
        if self.bar(number) {
            return;
        }
        let done = match number {
            opt::EXPORT_NAME => return self.export_name(payload),
            // "a server SHOULD ignore any data sent by the client"
            opt::ABORT => return self.abort(),
            opt::LIST => no_data(payload).map(|()| self.stage = Stage::Asking(Question::List)),
            opt::STARTTLS => self.start_tls(payload),
            opt::INFO | opt::GO => self.info(number, payload),
            opt::STRUCTURED_REPLY => self.structured_reply(payload),
            opt::EXTENDED_HEADERS => self.extended_headers(payload),
            opt::LIST_META_CONTEXT | opt::SET_META_CONTEXT => self.meta_context(number, payload),
            // "Servers that receive messages which they do not implement MUST reply to them with
            // NBD_REP_ERR_UNSUP, and MUST NOT fail to parse the next message received."
            _ => Err((rep::ERR_UNSUP, "unknown option")),
        };
        if let Err((kind, reason)) = done {
            self.answer(number).error(kind, reason);
        }
    }

    /// The options that aren't looked at, whatever they say. True if this is one; it was answered.
    fn bar(&mut self, number: u32) -> bool {
        let needs_tls = self.policy.tls == TlsMode::Require && !self.tls;
        let (kind, reason) = if !self.fixed && number != opt::EXPORT_NAME {
            // "This is the only valid option in nonfixed newstyle negotiation."
            self.stage = Stage::Over;
            return true;
        } else if needs_tls && !matches!(number, opt::STARTTLS | opt::ABORT) {
            // "If the server receives any other option, including NBD_OPT_INFO and unsupported
            // options, it MUST reply with NBD_REP_ERR_TLS_REQD if TLS has not been initiated"
            (rep::ERR_TLS_REQD, "this server requires TLS")
        } else if self.shutting_down && number != opt::ABORT {
            // "it ... SHOULD error further options received (other than an NBD_OPT_ABORT) with
            // NBD_REP_ERR_SHUTDOWN"
            (rep::ERR_SHUTDOWN, "the server is shutting down")
        } else {
            return false;
        };
        self.forget_contexts(number);
        if number == opt::EXPORT_NAME {
            // "as this request cannot error, it MUST terminate the session"
            self.stage = Stage::Over;
        } else {
            self.answer(number).error(kind, reason);
        }
        true
    }

    /// The answer to an option whose payload was too long to look at.
    fn answer_drained(&mut self, option: OptionHeader) {
        if self.bar(option.number) {
            return;
        }
        self.forget_contexts(option.number);
        match option.number {
            opt::ABORT => self.abort(),
            number if option.is_known() => {
                self.answer(number)
                    .error(rep::ERR_TOO_BIG, "the option is too long");
            }
            number => self.answer(number).error(rep::ERR_UNSUP, "unknown option"),
        }
    }

    /// SET_META_CONTEXT: "Issuing this command replaces all previously-set metadata contexts
    /// (including when this command fails)".
    fn forget_contexts(&mut self, number: u32) {
        if number == opt::SET_META_CONTEXT {
            self.agreed.allocation_of = None;
        }
    }

    fn abort(&mut self) {
        self.answer(opt::ABORT).ack();
        self.stage = Stage::Over;
    }

    /// "If the chosen export does not exist or requirements for the chosen export are not met ...,
    /// the server MUST terminate the session."
    fn export_name(&mut self, payload: &[u8]) {
        // "a client that has used NBD_OPT_EXTENDED_HEADERS to negotiate extended headers MUST NOT
        // use this option"
        let usable = self.agreed.framing != Framing::Extended;
        self.stage = match text::parse_string(payload) {
            Some(name) if usable => Stage::Asking(Question::ExportName(name.to_owned())),
            _ => Stage::Over,
        };
    }

    /// Sections "NOTLS mode", "FORCEDTLS mode" and "SELECTIVETLS mode".
    fn start_tls(&mut self, payload: &[u8]) -> Result<(), Complaint> {
        no_data(payload)?;
        if self.policy.tls == TlsMode::Off {
            return Err((rep::ERR_POLICY, "this server doesn't do TLS"));
        }
        // "If the server receives NBD_OPT_STARTTLS when TLS has already been negotiated, it MUST
        // reply with NBD_REP_ERR_INVALID."
        if self.tls {
            return Err((rep::ERR_INVALID, "TLS is already in use"));
        }
        self.answer(opt::STARTTLS).ack();
        // "When this command succeeds, the server MUST NOT preserve any negotiation state ... issued
        // before this command."
        self.agreed = Agreed::NOTHING;
        self.stage = Stage::Tls;
        Ok(())
    }

    fn structured_reply(&mut self, payload: &[u8]) -> Result<(), Complaint> {
        no_data(payload)?;
        match self.agreed.framing {
            Framing::Simple => self.agree(opt::STRUCTURED_REPLY, Framing::Structured),
            Framing::Structured => return Err((rep::ERR_INVALID, "structured replies again")),
            // "The client has already successfully negotiated extended headers, which takes
            // precedence over this option."
            Framing::Extended => {
                return Err((
                    rep::ERR_EXT_HEADER_REQD,
                    "extended headers are already in use",
                ));
            }
        }
        Ok(())
    }

    fn extended_headers(&mut self, payload: &[u8]) -> Result<(), Complaint> {
        no_data(payload)?;
        if self.agreed.framing == Framing::Extended {
            return Err((rep::ERR_INVALID, "extended headers again"));
        }
        self.agree(opt::EXTENDED_HEADERS, Framing::Extended);
        Ok(())
    }

    fn agree(&mut self, number: u32, framing: Framing) {
        self.agreed.framing = framing;
        self.answer(number).ack();
    }

    fn info(&mut self, number: u32, payload: &[u8]) -> Result<(), Complaint> {
        let wanted = InfoOption::parse(payload)?;
        let goes = number == opt::GO;
        self.stage = Stage::Asking(if goes {
            Question::Go(wanted)
        } else {
            Question::Info(wanted)
        });
        Ok(())
    }

    fn meta_context(&mut self, number: u32, payload: &[u8]) -> Result<(), Complaint> {
        self.forget_contexts(number);
        // SET: "This option MUST NOT be requested unless structured replies or extended headers
        // have been negotiated first. If a client attempts to do so, a server SHOULD send
        // NBD_REP_ERR_INVALID"; LIST: the same with "MAY".
        if !self.agreed.framing.has_chunks() {
            return Err((
                rep::ERR_INVALID,
                "structured replies or extended headers first",
            ));
        }
        let query = MetaOption::parse(number, payload)?;
        let lists = number == opt::LIST_META_CONTEXT;
        let question = if lists {
            Question::ListMeta(query)
        } else {
            Question::SetMeta(query)
        };
        self.stage = Stage::Asking(question);
        Ok(())
    }

    fn answer(&mut self, option: u32) -> Answer<'_> {
        Answer {
            option,
            out: &mut self.output,
        }
    }
}

/// The shell's answers. Each is for the question that is open; without one they do nothing (but
/// [`Handshake::shutting_down`]). After it the shell calls [`Handshake::advance`] again, with
/// whatever input there is.
impl Handshake {
    /// Answers [`Event::List`] with names and descriptions.
    ///
    /// A name that is longer than [`limits::MAX_STRING`] or has a NUL is left out; after
    /// [`limits::MAX_LISTED`] exports the list ends with `NBD_REP_ERR_TOO_BIG`.
    pub fn list<'a>(&mut self, exports: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) {
        if !matches!(self.stage, Stage::Asking(Question::List)) {
            return;
        }
        self.stage = Stage::Options;
        let mut answer = self.answer(opt::LIST);
        for (index, (name, description)) in exports.into_iter().enumerate() {
            if index == limits::MAX_LISTED {
                return answer.error(rep::ERR_TOO_BIG, "there are more exports");
            }
            answer.server(name, description);
        }
        answer.ack();
    }

    /// Answers [`Event::Find`]: this is the export. Block sizes beyond [`limits::MAX_PAYLOAD`] and
    /// flags that contradict what was agreed are put right, see [`Session::new`].
    pub fn found(&mut self, export: &Export) {
        let Some(question) = self.take_lookup() else {
            return;
        };
        let session = |allocation| Session::new(self.agreed.framing, allocation, export.clone());
        match &question {
            Question::List => {}
            Question::ExportName(name) => {
                let session = session(self.selected(name));
                let export = session.export();
                answer::export_name(export.size, export.flags, self.no_zeroes, &mut self.output);
                self.stage = Stage::Chosen(Box::new(session));
            }
            Question::Info(wanted) => {
                let session = session(self.selected(&wanted.name));
                self.describe(opt::INFO, wanted.wanted, &session);
            }
            Question::Go(wanted) => {
                let session = session(self.selected(&wanted.name));
                if self.describe(opt::GO, wanted.wanted, &session) {
                    self.stage = Stage::Chosen(Box::new(session));
                }
            }
            Question::ListMeta(query) => {
                let offered = query.allocation && export.allocation;
                self.answer_contexts(opt::LIST_META_CONTEXT, offered.then_some(NO_ID));
            }
            Question::SetMeta(query) => {
                let selected = query.allocation && export.allocation;
                self.agreed.allocation_of = selected.then(|| query.name.clone());
                self.answer_contexts(opt::SET_META_CONTEXT, selected.then_some(ALLOCATION));
            }
        }
    }

    /// Answers [`Event::Find`]: there is no such export.
    pub fn unknown(&mut self) {
        self.refuse(rep::ERR_UNKNOWN, "no such export");
    }

    /// Answers [`Event::Find`] or [`Event::List`]: the operator doesn't allow it, or the export
    /// can't be opened. `text` is for the client's user.
    pub fn denied(&mut self, text: &str) {
        self.refuse(rep::ERR_POLICY, text);
    }

    /// Answers [`Event::Find`]: this export is only to be had over TLS.
    ///
    /// Where the protocol forbids to say so — over TLS, with TLS off, and to options about metadata
    /// contexts — the client is told that there is no such export.
    pub fn tls_required(&mut self) {
        // "The server MUST NOT send NBD_REP_ERR_TLS_REQD in response to any option other than
        // NBD_OPT_INFO, NBD_OPT_GO and NBD_OPT_EXPORT_NAME", nor "in reply to any option if TLS has
        // already been negotiated", nor in NOTLS mode.
        let may_say = matches!(
            self.stage,
            Stage::Asking(Question::Info(_) | Question::Go(_))
        ) && self.policy.tls != TlsMode::Off
            && !self.tls;
        if may_say {
            self.refuse(rep::ERR_TLS_REQD, "this export requires TLS");
        } else {
            self.unknown();
        }
    }

    /// The server stops: answers the question that is open, if any, and every option from now on
    /// with `NBD_REP_ERR_SHUTDOWN`, but ABORT.
    pub fn shutting_down(&mut self) {
        self.shutting_down = true;
        self.refuse(rep::ERR_SHUTDOWN, "the server is shutting down");
    }

    /// TLS is up, after [`Event::StartTls`]: what `advance` is given from now on came over TLS.
    pub fn tls_established(&mut self) {
        if matches!(self.stage, Stage::Tls) {
            self.tls = true;
            self.stage = Stage::Options;
        }
    }

    /// Answers the open question with an error; EXPORT_NAME by closing.
    fn refuse(&mut self, kind: u32, reason: &str) {
        let Stage::Asking(question) = &self.stage else {
            return;
        };
        let number = question.option();
        if number == opt::EXPORT_NAME {
            // "If the server is unwilling to allow the export, it MUST terminate the session."
            self.stage = Stage::Over;
        } else {
            self.stage = Stage::Options;
            self.answer(number).error(kind, reason);
        }
    }

    /// The open question, which is closed by this; `None` unless it is for an export.
    fn take_lookup(&mut self) -> Option<Question> {
        match core::mem::replace(&mut self.stage, Stage::Options) {
            Stage::Asking(question) if !matches!(question, Question::List) => Some(question),
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// "A client MUST NOT send NBD_CMD_BLOCK_STATUS unless ... the final time it was sent, it
    /// referred to the same export name that was ultimately selected for transmission phase".
    fn selected(&self, name: &str) -> Option<ContextId> {
        (self.agreed.allocation_of.as_deref() == Some(name)).then_some(ALLOCATION)
    }

    /// Answers INFO or GO; false if it was refused. Both are given the same set of information: "the
    /// server MUST reply with the same set of information, such as transmission flags".
    fn describe(&mut self, number: u32, wanted: InfoWanted, session: &Session) -> bool {
        let export = session.export();
        // "The server MUST NOT send this error if block size constraints were requested" and "SHOULD
        // ensure it first sends an NBD_INFO_BLOCK_SIZE information reply".
        let must_ask = export.block.minimum() > limits::ASSUMED_MINIMUM_BLOCK && !wanted.block_size;
        let mut answer = self.answer(number);
        if must_ask {
            answer.info_block_size(export);
            answer.error(
                rep::ERR_BLOCK_SIZE_REQD,
                "ask for the block sizes: they are large",
            );
            return false;
        }
        // "the server MUST send at least one NBD_REP_INFO, with an NBD_INFO_EXPORT information type"
        answer.info_export(export.size, export.flags);
        if wanted.name {
            answer.info_name(export);
        }
        if wanted.description {
            answer.info_description(export);
        }
        // "The server MUST send this info if it is requested and it intends to enforce block size
        // constraints other than the defaults."
        if wanted.block_size {
            answer.info_block_size(export);
        }
        answer.ack();
        true
    }

    fn answer_contexts(&mut self, number: u32, context: Option<ContextId>) {
        let mut answer = self.answer(number);
        if let Some(id) = context {
            answer.meta_context(id);
        }
        answer.ack();
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

/// "The client MUST NOT send any additional data with the option, and the server SHOULD reject a
/// request that includes data with NBD_REP_ERR_INVALID."
fn no_data(payload: &[u8]) -> Result<(), Complaint> {
    if payload.is_empty() {
        Ok(())
    } else {
        Err((rep::ERR_INVALID, "this option takes no data"))
    }
}
