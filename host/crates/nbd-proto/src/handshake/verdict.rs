//! The shell's answers to the events of a handshake.

use alloc::boxed::Box;

use super::option::InfoWanted;
use super::{Handshake, Question, Stage, TlsMode, answer};
use crate::wire::{option as opt, option_reply as rep};
use crate::{ContextId, Export, Session, limits};

/// The id of `base:allocation`. Any number would do: "clients MUST therefore treat the ID as an opaque
/// value".
const ALLOCATION: ContextId = ContextId(1);

/// For LIST_META_CONTEXT "the metadata context ID in these replies is reserved and SHOULD be set to
/// zero".
//= proto.md#option-types
//# The metadata context ID in these replies is reserved and SHOULD be set to zero
const NO_ID: ContextId = ContextId(0);

/// The shell's answers. Each method does nothing if no event is open that it answers, except
/// [`Handshake::shutting_down`]. After an answer the shell calls [`Handshake::advance`] again, with the
/// input that it has.
impl Handshake {
    /// Answers [`Event::List`](super::Event::List) with names and descriptions.
    ///
    /// The list omits a name that is longer than [`limits::MAX_STRING`] or has a NUL. After
    /// [`limits::MAX_LISTED`] exports it ends with `NBD_REP_ERR_TOO_BIG`.
    pub fn list<'a>(&mut self, exports: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) {
        if !matches!(self.stage, Stage::Asking(Question::List)) {
            return;
        }
        self.stage = Stage::Options;
        let mut answer = self.answer(opt::LIST);
        for (index, (name, description)) in exports.into_iter().enumerate() {
            if index == limits::MAX_LISTED {
                return answer.error(
                    rep::ERR_TOO_BIG,
                    "the server has more exports than a list may name",
                );
            }
            answer.server(name, description);
        }
        answer.ack();
    }

    /// Answers [`Event::Find`](super::Event::Find) with the export. [`Session::new`] corrects block sizes beyond
    /// [`limits::MAX_PAYLOAD`] and flags that contradict the agreements.
    pub fn found(&mut self, export: &Export) {
        let Some(question) = self.take_lookup() else {
            return;
        };
        let session = |allocation| Session::new(self.agreed.framing, allocation, export.clone());
        match &question {
            Question::List => {}
            Question::ExportName(name) => {
                let session = session(self.selected(name)).without_block_sizes();
                let export = session.export();
                answer::export_name(export.size, export.flags, self.no_zeroes, &mut self.output);
                self.stage = Stage::Chosen(Box::new(session));
            }
            Question::Info(wanted) => {
                let session = session(self.selected(&wanted.name));
                self.describe(opt::INFO, wanted.wanted, &session);
            }
            //= proto.md#maximum-interoperability
            //# SHOULD NOT use the `NBD_REP_ERR_EXT_HEADER_REQD` error response to `NBD_OPT_GO`
            Question::Go(wanted) => {
                let session = session(self.selected(&wanted.name));
                //= proto.md#option-types
                //# the server MUST reply with the same set of information
                if self.describe(opt::GO, wanted.wanted, &session) {
                    let session = match wanted.wanted.block_size {
                        true => session,
                        //= proto.md#option-types
                        //# the server MUST NOT assume that such information requests are understood and
                        //# respected by the client unless the client explicitly asked for them.
                        false => session.without_block_sizes(),
                    };
                    self.stage = Stage::Chosen(Box::new(session));
                }
            }
            Question::ListMeta(query) => {
                //= proto.md#option-types
                //# the server MUST return those metadata contexts that are available to the client to select on
                //# the given export with `NBD_OPT_SET_META_CONTEXT`, and which match one or more of the queries
                //# given.
                let offered = query.allocation && export.allocation;
                self.answer_contexts(opt::LIST_META_CONTEXT, offered.then_some(NO_ID));
            }
            Question::SetMeta(query) => {
                let selected = query.allocation && export.allocation;
                self.agreed.allocation_of = selected.then(|| query.name.clone());
                //= proto.md#option-types
                //# Otherwise the server MUST reply with a number of `NBD_REP_META_CONTEXT` replies, one for
                //# each selected metadata context, each with a unique metadata context ID, followed by
                //# `NBD_REP_ACK`.
                self.answer_contexts(opt::SET_META_CONTEXT, selected.then_some(ALLOCATION));
            }
        }
    }

    /// Answers [`Event::Find`](super::Event::Find): there is no such export.
    pub fn unknown(&mut self) {
        //= proto.md#selectivetls-mode
        //# the server MAY choose to give information on non-existent exports via `NBD_OPT_INFO` responses prior
        //# to an upgrade to TLS.
        self.refuse(rep::ERR_UNKNOWN, "no such export");
    }

    /// Answers [`Event::Find`](super::Event::Find) or [`Event::List`](super::Event::List) with
    /// `NBD_REP_ERR_POLICY`: the operator forbids it, or the server can't open the export. `text` is for the
    /// client's user.
    pub fn denied(&mut self, text: &str) {
        self.refuse(rep::ERR_POLICY, text);
    }

    /// Answers [`Event::Find`](super::Event::Find): this export requires TLS.
    ///
    /// Where the protocol forbids that answer (over TLS, with TLS off, and to options about metadata
    /// contexts), the server answers that there is no such export.
    pub fn tls_required(&mut self) {
        // "The server MUST NOT send NBD_REP_ERR_TLS_REQD in response to any option other than
        // NBD_OPT_INFO, NBD_OPT_GO and NBD_OPT_EXPORT_NAME", nor "in reply to any option if TLS has
        // already been negotiated", nor in NOTLS mode.
        //= proto.md#notls-mode
        //# The server MUST NOT respond to any option request with `NBD_REP_ERR_TLS_REQD`.
        //= proto.md#selectivetls-mode
        //# The server MUST NOT send `NBD_REP_ERR_TLS_REQD` in reply to any option if TLS has already been
        //# negotiated.
        //= proto.md#selectivetls-mode
        //# The server MUST NOT send `NBD_REP_ERR_TLS_REQD` in response to any option other than `NBD_OPT_INFO`,
        //# `NBD_OPT_GO` and `NBD_OPT_EXPORT_NAME`, and only in those cases in respect of a TLS-only or
        //# non-existent export.
        let may_say = matches!(
            self.stage,
            Stage::Asking(Question::Info(_) | Question::Go(_))
        ) && self.policy.tls != TlsMode::Off
            && !self.tls;
        //= proto.md#selectivetls-mode
        //# MUST reply with `NBD_REP_ERR_TLS_REQD` if that export is TLS-only.
        if may_say {
            //= proto.md#server-side-requirements
            //# MAY refuse to provide information about TLS-only exports via `NBD_OPT_INFO`
            //= proto.md#option-reply-types
            //# this unwillingness MAY (depending on the TLS mode) be limited to the export in question.
            self.refuse(rep::ERR_TLS_REQD, "this export requires TLS");
        } else {
            //= proto.md#selectivetls-mode
            //# as this request cannot error, it MUST terminate the session.
            self.unknown();
        }
    }

    /// The server is shutting down. From now on it answers every option except ABORT with
    /// `NBD_REP_ERR_SHUTDOWN`, beginning with that of the open event, if any.
    pub fn shutting_down(&mut self) {
        self.shutting_down = true;
        //= proto.md#termination-of-the-session-during-option-haggling
        //# it MAY error any inflight option
        self.refuse(rep::ERR_SHUTDOWN, "the server is shutting down");
    }

    /// Answers [`Event::StartTls`](super::Event::StartTls): the shell has done the TLS handshake, and all further input
    /// came over TLS.
    pub fn tls_established(&mut self) {
        if matches!(self.stage, Stage::Tls) {
            self.tls = true;
            self.stage = Stage::Options;
        }
    }

    /// Answers the open event with an error; closes if the option is EXPORT_NAME.
    fn refuse(&mut self, kind: u32, reason: &str) {
        let Stage::Asking(question) = &self.stage else {
            return;
        };
        let number = question.option();
        //= proto.md#newstyle-negotiation
        //# If the server is unwilling to allow the export, it MUST terminate the session.
        //= proto.md#option-types
        //# the server MUST terminate the session.
        if number == opt::EXPORT_NAME {
            // "If the server is unwilling to allow the export, it MUST terminate the session."
            self.stage = Stage::Over;
        } else {
            self.stage = Stage::Options;
            //= proto.md#option-types
            //# In this case, the server SHOULD NOT send `NBD_REP_INFO` replies.
            self.answer(number).error(kind, reason);
        }
    }

    /// Takes the open event; `None` unless it needs an export.
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
        //= proto.md#option-types
        //# A client MUST NOT send `NBD_CMD_BLOCK_STATUS` unless within the negotiation phase it sent
        //# `NBD_OPT_SET_META_CONTEXT` at least once, and where the final time it was sent, it referred to the
        //# same export name that was ultimately selected for transmission phase with no intervening
        //# `NBD_OPT_STARTTLS`
        (self.agreed.allocation_of.as_deref() == Some(name)).then_some(ALLOCATION)
    }

    /// Answers INFO or GO; false if the answer is an error. Both get the same information: "the server
    /// MUST reply with the same set of information, such as transmission flags".
    fn describe(&mut self, number: u32, wanted: InfoWanted, session: &Session) -> bool {
        let export = session.export();
        // "The server MUST NOT send this error if block size constraints were requested" and "SHOULD
        // ensure it first sends an NBD_INFO_BLOCK_SIZE information reply".
        //= proto.md#size-constraints
        //# servers SHOULD NOT refuse clients that do not request sizing information when the server supports
        //# default sizing
        //= proto.md#option-types
        //# The server MUST NOT send this error if size constraints were requested with `NBD_INFO_BLOCK_SIZE`
        //# with the `NBD_OPT_INFO` or `NBD_OPT_GO` request.
        //= proto.md#option-types
        //# The server SHOULD NOT send this error if it is using default size constraints or size constraints
        //# negotiated out of band.
        //= proto.md#maximum-interoperability
        //# desire maximum interoperability SHOULD NOT require them.
        let must_ask = export.block.minimum() > limits::ASSUMED_MINIMUM_BLOCK && !wanted.block_size;
        let mut answer = self.answer(number);
        if must_ask {
            //= proto.md#size-constraints
            //# SHOULD advertise the size constraints during handshake phase via `NBD_INFO_BLOCK_SIZE` in
            //# response to `NBD_OPT_INFO` or `NBD_OPT_GO`
            //= proto.md#option-types
            //# A server sending an `NBD_REP_ERR_BLOCK_SIZE_REQD` error SHOULD ensure it first sends an
            //# `NBD_INFO_BLOCK_SIZE` information reply in order to help avoid a potentially unnecessary round
            //# trip.
            answer.info_block_size(export);
            answer.error(
                //= proto.md#size-constraints
                //# MAY refuse to go into transmission phase
                rep::ERR_BLOCK_SIZE_REQD,
                "the export's minimum block size is above 512: request the block sizes",
            );
            return false;
        }
        // "the server MUST send at least one NBD_REP_INFO, with an NBD_INFO_EXPORT information type"
        //= proto.md#option-types
        //# In this case, the server MUST send at least one `NBD_REP_INFO`, with an `NBD_INFO_EXPORT`
        //# information type.
        //= proto.md#option-reply-types
        //# The server MUST send an `NBD_INFO_EXPORT` information type at some point before sending an
        //# `NBD_REP_ACK`
        answer.info_export(export.size, export.flags);
        //= proto.md#option-types
        //# The server MAY reply to the information requests in any order.
        if wanted.name {
            answer.info_name(export);
        }
        if wanted.description {
            answer.info_description(export);
        }
        // "The server MUST send this info if it is requested and it intends to enforce block size
        // constraints other than the defaults."
        //= proto.md#option-reply-types
        //# The server MUST send this info if it is requested and it intends to enforce size constraints other
        //# than the defaults.
        if wanted.block_size {
            answer.info_block_size(export);
        }
        answer.ack();
        true
    }

    fn answer_contexts(&mut self, number: u32, context: Option<ContextId>) {
        let mut answer = self.answer(number);
        //= proto.md#option-types
        //# The server MUST reply with a list of zero or more `NBD_REP_META_CONTEXT` replies, followed by either
        //# a final `NBD_REP_ACK` on success or by an error (for instance `NBD_REP_ERR_UNSUP` if the option is
        //# not supported).
        if let Some(id) = context {
            answer.meta_context(id);
        }
        //= proto.md#option-types
        //# If none of the query strings find any metadata contexts, the server MUST send a single reply of type
        //# `NBD_REP_ACK`.
        answer.ack();
    }
}
