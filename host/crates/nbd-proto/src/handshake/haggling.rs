//! What each option does (section "Option types").

use alloc::borrow::ToOwned as _;

use super::option::{Complaint, InfoOption, MetaOption, OptionHeader};
use super::{Agreed, Handshake, Question, Stage, TlsMode};
use crate::wire::{option as opt, option_reply as rep};
use crate::{Framing, text};

impl Handshake {
    /// Carries out an option: answers it, or opens an event for the shell.
    pub(super) fn obey(&mut self, number: u32, payload: &[u8]) {
        if self.bar(number) {
            return;
        }
        //= proto.md#baseline
        //# The following MUST be implemented by all implementations, and should be considered a baseline:
        let done = match number {
            //= proto.md#maximum-interoperability
            //# Clients or servers that desire interoperability with older implementations SHOULD implement the
            //# `NBD_OPT_EXPORT_NAME` message in addition to `NBD_OPT_INFO` and `NBD_OPT_GO`.
            opt::EXPORT_NAME => return self.export_name(payload),
            // "a server SHOULD ignore any data sent by the client"
            //= proto.md#option-types
            //# a server SHOULD ignore any data sent by the client rather than rejecting the request as invalid.
            opt::ABORT => return self.abort(),
            opt::LIST => no_data(payload).map(|()| self.stage = Stage::Asking(Question::List)),
            //= proto.md#maximum-interoperability
            //# Clients and servers that desire maximum interoperability SHOULD implement the following
            //# features:
            opt::STARTTLS => self.start_tls(payload),
            //= proto.md#option-types
            //# however, if the server has acknowledged a client's request for `NBD_OPT_EXTENDED_HEADERS`, the
            //# server MUST NOT fail `NBD_OPT_GO` with `NBD_REP_ERR_UNSUP`.
            //= proto.md#option-types
            //# the server MUST also support `NBD_OPT_GO`.
            opt::INFO | opt::GO => self.info(number, payload),
            opt::STRUCTURED_REPLY => self.structured_reply(payload),
            opt::EXTENDED_HEADERS => self.extended_headers(payload),
            opt::LIST_META_CONTEXT | opt::SET_META_CONTEXT => self.meta_context(number, payload),
            // "Servers that receive messages which they do not implement MUST reply to them with
            // NBD_REP_ERR_UNSUP, and MUST NOT fail to parse the next message received."
            //= proto.md#baseline
            //# Servers that receive messages which they do not implement MUST reply to them with
            //# `NBD_REP_ERR_UNSUP`, and MUST NOT fail to parse the next message received.
            _ => Err((rep::ERR_UNSUP, "unknown option")),
        };
        //= proto.md#termination-of-the-session-during-option-haggling
        //# A party MUST NOT initiate a hard disconnect save where set out in this section.
        if let Err((kind, reason)) = done {
            //= proto.md#termination-of-the-session-during-option-haggling
            //# it MUST (save where set out above) simply error inbound options
            self.answer(number).error(kind, reason);
        }
    }

    /// Answers, or closes on, an option that the state of the handshake forbids, whatever its payload.
    /// False if the state allows the option.
    fn bar(&mut self, number: u32) -> bool {
        //= proto.md#forcedtls-mode
        //# The server MUST NOT send `NBD_REP_ERR_TLS_REQD` in reply to any option if TLS has already been
        //# initiated.
        let needs_tls = self.policy.tls == TlsMode::Require && !self.tls;
        //= proto.md#server-side-requirements
        //# The server MUST operate in NOTLS mode unless the server set flag `NBD_FLAG_FIXED_NEWSTYLE` and the
        //# client replied with `NBD_FLAG_C_FIXED_NEWSTYLE` in the fixed newstyle negotiation.
        let (kind, reason) = if !self.fixed && number != opt::EXPORT_NAME {
            // "This is the only valid option in nonfixed newstyle negotiation."
            self.stage = Stage::Over;
            return true;
        } else if needs_tls && !matches!(number, opt::STARTTLS | opt::ABORT) {
            // "If the server receives any other option, including NBD_OPT_INFO and unsupported
            // options, it MUST reply with NBD_REP_ERR_TLS_REQD if TLS has not been initiated"
            //= proto.md#forcedtls-mode
            //# If the server receives any other option, including `NBD_OPT_INFO` and unsupported options, it
            //# MUST reply with `NBD_REP_ERR_TLS_REQD` if TLS has not been initiated
            //= proto.md#forcedtls-mode
            //# If the server receives a request to enter transmission mode via `NBD_OPT_GO` when TLS has not
            //# been initiated, it MUST error with `NBD_REP_ERR_TLS_REQD`.
            //= proto.md#option-types
            //# a FORCEDTLS server MUST NOT send `NBD_REP_INFO` replies
            (rep::ERR_TLS_REQD, "this server requires TLS")
        } else if self.shutting_down && number != opt::ABORT {
            // "it ... SHOULD error further options received (other than an NBD_OPT_ABORT) with
            // NBD_REP_ERR_SHUTDOWN"
            //= proto.md#termination-of-the-session-during-option-haggling
            //# SHOULD error further options received (other than an `NBD_OPT_ABORT`) with
            //# `NBD_REP_ERR_SHUTDOWN`.
            (rep::ERR_SHUTDOWN, "the server is shutting down")
        } else {
            return false;
        };
        self.forget_contexts(number);
        //= proto.md#forcedtls-mode
        //# If the server receives a request to enter transmission mode via `NBD_OPT_EXPORT_NAME` when TLS has
        //# not been initiated, then as this request cannot error, it MUST terminate the session.
        if number == opt::EXPORT_NAME {
            // "as this request cannot error, it MUST terminate the session"
            self.stage = Stage::Over;
        } else {
            self.answer(number).error(kind, reason);
        }
        true
    }

    /// Answers an option whose payload was too long to parse.
    pub(super) fn answer_drained(&mut self, option: OptionHeader) {
        if self.bar(option.number) {
            return;
        }
        self.forget_contexts(option.number);
        match option.number {
            //= proto.md#option-types
            //# a server SHOULD ignore any data sent by the client rather than rejecting the request as invalid.
            opt::ABORT => self.abort(),
            number if option.is_known() => {
                self.answer(number)
                    .error(rep::ERR_TOO_BIG, "the option has more than 65536 bytes");
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
        //= proto.md#option-types
        //# The server MUST reply with `NBD_REP_ACK`.
        self.answer(opt::ABORT).ack();
        self.stage = Stage::Over;
    }

    /// "If the chosen export does not exist or requirements for the chosen export are not met ...,
    /// the server MUST terminate the session."
    fn export_name(&mut self, payload: &[u8]) {
        // "a client that has used NBD_OPT_EXTENDED_HEADERS to negotiate extended headers MUST NOT
        // use this option"
        //= proto.md#option-types
        //# Additionally, a client that has used `NBD_OPT_EXTENDED_HEADERS` to negotiate extended headers MUST
        //# NOT use this option.
        //= proto.md#option-types
        //# Once extended headers are successfully requested, a client MUST NOT use `NBD_OPT_EXPORT_NAME`.
        let usable = self.agreed.framing != Framing::Extended;
        self.stage = match text::parse_string(payload) {
            Some(name) if usable => Stage::Asking(Question::ExportName(name.to_owned())),
            _ => Stage::Over,
        };
    }

    /// Sections "NOTLS mode", "FORCEDTLS mode" and "SELECTIVETLS mode".
    fn start_tls(&mut self, payload: &[u8]) -> Result<(), Complaint> {
        //= proto.md#option-types
        //# The server MUST either reply with `NBD_REP_ACK` after which point the connection is upgraded to TLS,
        //# or an error reply explicitly permitted by this document
        no_data(payload)?;
        if self.policy.tls == TlsMode::Off {
            //= proto.md#notls-mode
            //# it MUST respond with `NBD_REP_ERR_POLICY` (if it does not support TLS for policy reasons)
            return Err((rep::ERR_POLICY, "this server doesn't offer TLS"));
        }
        // "If the server receives NBD_OPT_STARTTLS when TLS has already been negotiated, it MUST
        // reply with NBD_REP_ERR_INVALID."
        if self.tls {
            //= proto.md#forcedtls-mode
            //# If the server receives `NBD_OPT_STARTTLS` when TLS has already been negotiated, it it MUST reply
            //# with `NBD_REP_ERR_INVALID`.
            return Err((rep::ERR_INVALID, "TLS is already in use"));
        }
        //= proto.md#forcedtls-mode
        //# If the server receives `NBD_OPT_STARTTLS` prior to negotiating TLS, it MUST reply with
        //# `NBD_REP_ACK`.
        self.answer(opt::STARTTLS).ack();
        // "When this command succeeds, the server MUST NOT preserve any negotiation state ... issued
        // before this command."
        //= proto.md#option-types
        //# When this command succeeds, the server MUST NOT preserve any negotiation state (such as a request
        //# for `NBD_OPT_STRUCTURED_REPLY`, or metadata contexts from `NBD_OPT_SET_META_CONTEXT`) issued before
        //# this command.
        self.agreed = Agreed::NOTHING;
        //= proto.md#selectivetls-mode
        //# If the server receives `NBD_OPT_STARTTLS` prior to negotiating TLS, it MUST reply with `NBD_REP_ACK`
        //# and initiate TLS as set out under 'FORCEDTLS' above.
        self.stage = Stage::Tls;
        Ok(())
    }

    fn structured_reply(&mut self, payload: &[u8]) -> Result<(), Complaint> {
        no_data(payload)?;
        if !self.policy.offers.structured_replies {
            return Err(NOT_OFFERED);
        }
        match self.agreed.framing {
            //= proto.md#option-types
            //# Structured replies have been negotiated; the server MUST use structured replies to the
            //# `NBD_CMD_READ` transmission request.
            Framing::Simple => self.agree(opt::STRUCTURED_REPLY, Framing::Structured),
            Framing::Structured => {
                //= proto.md#fixed-newstyle-negotiation
                //# the server MAY fail the repeated message with `NBD_REP_ERR_INVALID`
                return Err((rep::ERR_INVALID, "structured replies are already in use"));
            }
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
        // "this option … implies structured replies"
        let offers = self.policy.offers;
        if !offers.structured_replies || !offers.extended_headers {
            return Err(NOT_OFFERED);
        }
        if self.agreed.framing == Framing::Extended {
            //= proto.md#fixed-newstyle-negotiation
            //# the server MAY fail the repeated message with `NBD_REP_ERR_INVALID`
            return Err((rep::ERR_INVALID, "extended headers are already in use"));
        }
        //= proto.md#option-types
        //# a server SHOULD support this option even if structured replies are not negotiated.
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
        //= proto.md#option-types
        //# a server MAY send `NBD_REP_ERR_INVALID`.
        //= proto.md#option-types
        //# a server MAY send `NBD_REP_ERR_INVALID` or `NBD_REP_ERR_EXT_HEADER_REQD`.
        //= proto.md#option-types
        //# a server SHOULD send `NBD_REP_ERR_INVALID`.
        //= proto.md#option-types
        //# a server SHOULD send `NBD_REP_ERR_INVALID` or `NBD_REP_ERR_EXT_HEADER_REQD`.
        if !self.agreed.framing.has_chunks() {
            return Err((
                rep::ERR_INVALID,
                "negotiate structured replies or extended headers first",
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
}

/// The error of a server that doesn't know the option. QEMU gives up on any other.
const NOT_OFFERED: Complaint = (rep::ERR_UNSUP, "this server doesn't offer the option");

/// "The client MUST NOT send any additional data with the option, and the server SHOULD reject a
/// request that includes data with NBD_REP_ERR_INVALID."
fn no_data(payload: &[u8]) -> Result<(), Complaint> {
    //= proto.md#option-types
    //# the server SHOULD reject a request that includes data with `NBD_REP_ERR_INVALID`.
    if payload.is_empty() {
        Ok(())
    } else {
        Err((rep::ERR_INVALID, "this option takes no data"))
    }
}
