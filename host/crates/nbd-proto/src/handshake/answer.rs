//! Encodes option replies (section "Option reply types") into the output.

use alloc::vec::Vec;

use crate::export::Export;
use crate::wire::{self, info, option_reply};
use crate::{ContextId, ExportFlags, text};

/// Encodes the replies to one option.
pub(super) struct Answer<'a> {
    pub(super) option: u32,
    pub(super) out: &'a mut Vec<u8>,
}

impl Answer<'_> {
    /// "Will be sent by the server when it accepts the option". No data.
    pub(super) fn ack(&mut self) {
        //= proto.md#option-types
        //# The server MUST NOT send any zero padding bytes after the `NBD_REP_ACK` data, whether or not the
        //# client negotiated the `NBD_FLAG_C_NO_ZEROES` flag.
        self.reply(option_reply::ACK, &[]);
    }

    /// "All error replies MAY have some data set, in which case that data is an error message string
    /// suitable for display to the user."
    pub(super) fn error(&mut self, kind: u32, reason: &str) {
        let mut string = Vec::with_capacity(reason.len());
        text::push_string(reason, &mut string);
        //= proto.md#option-reply-types
        //# All error replies MAY have some data set, in which case that data is an error message string
        //# suitable for display to the user.
        self.reply(kind, &[&string]);
    }

    /// NBD_REP_SERVER: "32 bits, length of name; String, name of the export; ... the rest of the
    /// data contains ... a string suitable for direct display to a human being". Omits a name that isn't
    /// a string of the protocol: no client could request it either.
    pub(super) fn server(&mut self, name: &str, description: Option<&str>) {
        let Some(length) = u32::try_from(name.len())
            .ok()
            .filter(|_| text::is_string(name))
        else {
            return;
        };
        let mut string = Vec::new();
        text::push_string(description.unwrap_or_default(), &mut string);
        self.reply(
            option_reply::SERVER,
            //= proto.md#option-reply-types
            //# 32 bits, length of name (unsigned); MUST be no larger than the reply packet header length - 4
            &[&length.to_be_bytes(), name.as_bytes(), &string],
        );
    }

    /// NBD_INFO_EXPORT: "length MUST be 12".
    pub(super) fn info_export(&mut self, size: u64, flags: ExportFlags) {
        self.info(
            //= proto.md#option-reply-types
            //# *length* MUST be 12
            info::EXPORT,
            &[&size.to_be_bytes(), &flags.bits().to_be_bytes()],
        );
    }

    /// NBD_INFO_NAME, unless the name isn't a string of the protocol.
    pub(super) fn info_name(&mut self, export: &Export) {
        //= proto.md#option-reply-types
        //# The name MAY differ from the name presented in the client's option request
        if text::is_string(&export.name) {
            self.info(info::NAME, &[export.name.as_bytes()]);
        }
    }

    /// NBD_INFO_DESCRIPTION, if the export has a description.
    pub(super) fn info_description(&mut self, export: &Export) {
        let Some(description) = &export.description else {
            return;
        };
        let mut string = Vec::with_capacity(description.len());
        text::push_string(description, &mut string);
        self.info(info::DESCRIPTION, &[&string]);
    }

    /// NBD_INFO_BLOCK_SIZE: "length MUST be 14".
    pub(super) fn info_block_size(&mut self, export: &Export) {
        let [minimum, preferred, maximum] = [
            export.block.minimum(),
            export.block.preferred(),
            export.block.maximum(),
        ]
        .map(u32::to_be_bytes);
        //= proto.md#option-reply-types
        //# The *length* MUST be 14
        self.info(info::BLOCK_SIZE, &[&minimum, &preferred, &maximum]);
    }

    /// NBD_REP_META_CONTEXT: "32 bits, NBD metadata context ID; String, name".
    pub(super) fn meta_context(&mut self, id: ContextId) {
        //= proto.md#option-types
        //# each namespace returned MUST begin with the relevant namespace, followed by a colon, and then other
        //# UTF-8 characters
        //= proto.md#option-reply-types
        //# it MUST be valid UTF-8 data.
        let name = wire::BASE_ALLOCATION.as_bytes();
        self.reply(option_reply::META_CONTEXT, &[&id.0.to_be_bytes(), name]);
    }

    fn info(&mut self, kind: u16, parts: &[&[u8]]) {
        //= proto.md#option-reply-types
        //# The *length* MUST be at least 2
        let kind = kind.to_be_bytes();
        let parts: Vec<&[u8]> = core::iter::once(&kind[..])
            .chain(parts.iter().copied())
            .collect();
        self.reply(option_reply::INFO, &parts);
    }

    /// "S: 64 bits, 0x3e889045565a9 (magic number for replies); S: 32 bits, the option as sent by
    /// the client to which this is a reply; S: 32 bits, reply type; S: 32 bits, length of the reply".
    fn reply(&mut self, kind: u32, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // Two strings and some numbers at most: the length always fits.
        let Ok(length) = u32::try_from(length) else {
            return;
        };
        self.out
            .extend_from_slice(&wire::OPTION_REPLY_MAGIC.to_be_bytes());
        for field in [self.option, kind, length] {
            self.out.extend_from_slice(&field.to_be_bytes());
        }
        for part in parts {
            self.out.extend_from_slice(part);
        }
    }
}

/// The answer to EXPORT_NAME (section "Newstyle negotiation"), which has no reply header: "64 bits,
/// size of the export in bytes; 16 bits, transmission flags; 124 bytes, zeroes (reserved) (unless
/// NBD_FLAG_C_NO_ZEROES was negotiated by the client)".
pub(super) fn export_name(size: u64, flags: ExportFlags, no_zeroes: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(&flags.bits().to_be_bytes());
    //= proto.md#handshake-flags
    //# the server MUST NOT send the 124 bytes of zero when the client ends negotiation with
    //# `NBD_OPT_EXPORT_NAME`.
    //= proto.md#client-flags
    //# If set, the server MUST NOT send the 124 bytes of zeroes when the client ends negotiation with
    //# `NBD_OPT_EXPORT_NAME`.
    if !no_zeroes {
        out.extend_from_slice(&[0; wire::EXPORT_NAME_PADDING]);
    }
}
