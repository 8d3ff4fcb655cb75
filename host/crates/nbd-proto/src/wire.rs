//! The numbers of the protocol: magics, options, replies, commands, chunks, flags.
//!
//! They are those of the specification's section "Values" and of its extension "extended headers". Each
//! name is the specification's without `NBD_` and the prefix of its group.

use bitflags::bitflags;

/// First word of the server's hello: `NBDMAGIC`.
pub const NBD_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// Second word of the hello, and first of every option: `IHAVEOPT`.
pub const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
/// First word of every option reply.
pub const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// First word of a compact request.
pub const REQUEST_MAGIC: u32 = 0x2560_9513;
/// First word of an extended request.
pub const EXTENDED_REQUEST_MAGIC: u32 = 0x21e4_1c71;
/// First word of a simple reply.
pub const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// First word of a structured reply chunk.
pub const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;
/// First word of an extended reply chunk.
pub const EXTENDED_REPLY_MAGIC: u32 = 0x6e8a_278c;

/// Bytes of the hello: two magics and the handshake flags.
pub const HELLO_LEN: usize = 18;
/// Bytes of an option's header: magic, number, length.
pub const OPTION_HEADER_LEN: usize = 16;
/// Bytes of an option reply's header: magic, option, type, length.
pub const OPTION_REPLY_HEADER_LEN: usize = 20;
/// Bytes of a compact request's header.
pub const REQUEST_LEN: usize = 28;
/// Bytes of an extended request's header.
pub const EXTENDED_REQUEST_LEN: usize = 32;
/// Bytes of a simple reply's header.
pub const SIMPLE_REPLY_LEN: usize = 16;
/// Bytes of a structured reply chunk's header.
pub const STRUCTURED_REPLY_LEN: usize = 20;
/// Bytes of an extended reply chunk's header.
pub const EXTENDED_REPLY_LEN: usize = 32;
/// Zero bytes that follow the answer to EXPORT_NAME unless both sides agreed on NO_ZEROES.
pub const EXPORT_NAME_PADDING: usize = 124;
/// Bytes of a BLOCK_STATUS request's payload with one context: effect length and id.
pub const FILTER_LEN: usize = 12;

/// The metadata context that describes allocation, the only one that this crate supports.
//= proto.md#metadata-querying
//# The name MUST consist of a namespace, followed by a colon, followed by a leaf-name.
//= proto.md#option-types
//# it MUST start with a namespace and a colon.
pub const BASE_ALLOCATION: &str = "base:allocation";

/// Option numbers (section "Option types").
pub mod option {
    /// Chooses an export and ends the handshake. A server can't answer it with an error, only by closing.
    pub const EXPORT_NAME: u32 = 1;
    /// Ends the session.
    pub const ABORT: u32 = 2;
    /// Lists the exports.
    pub const LIST: u32 = 3;
    /// Switches to TLS.
    pub const STARTTLS: u32 = 5;
    /// Describes an export.
    pub const INFO: u32 = 6;
    /// Describes an export and enters its transmission phase.
    pub const GO: u32 = 7;
    /// Agrees on replies in chunks.
    pub const STRUCTURED_REPLY: u32 = 8;
    /// Lists the metadata contexts of an export.
    pub const LIST_META_CONTEXT: u32 = 9;
    /// Selects metadata contexts of an export.
    pub const SET_META_CONTEXT: u32 = 10;
    /// Agrees on headers of 32 bytes with lengths of 64 bits.
    pub const EXTENDED_HEADERS: u32 = 11;
}

/// Option reply types (section "Option reply types").
pub mod option_reply {
    /// The server accepts the option, or has sent a whole list.
    pub const ACK: u32 = 1;
    /// One export of a list.
    pub const SERVER: u32 = 2;
    /// One piece of information about an export.
    pub const INFO: u32 = 3;
    /// One metadata context.
    pub const META_CONTEXT: u32 = 4;
    /// The bit that all errors have.
    pub const ERROR: u32 = 1 << 31;
    /// The server doesn't support the option.
    pub const ERR_UNSUP: u32 = ERROR | 1;
    /// The server supports the option, but the operator forbids it.
    pub const ERR_POLICY: u32 = ERROR | 2;
    /// The option is syntactically or semantically invalid.
    pub const ERR_INVALID: u32 = ERROR | 3;
    /// The server doesn't support the option on its platform.
    pub const ERR_PLATFORM: u32 = ERROR | 4;
    /// The client must switch to TLS first.
    pub const ERR_TLS_REQD: u32 = ERROR | 5;
    /// There is no such export.
    pub const ERR_UNKNOWN: u32 = ERROR | 6;
    /// The server is shutting down.
    pub const ERR_SHUTDOWN: u32 = ERROR | 7;
    /// The client must request the block sizes.
    pub const ERR_BLOCK_SIZE_REQD: u32 = ERROR | 8;
    /// The option or its reply is too large.
    pub const ERR_TOO_BIG: u32 = ERROR | 9;
    /// The option needs extended headers, or contradicts them.
    pub const ERR_EXT_HEADER_REQD: u32 = ERROR | 10;
}

/// Information types (section `NBD_REP_INFO`).
pub mod info {
    /// Size and transmission flags.
    pub const EXPORT: u16 = 0;
    /// Canonical name.
    pub const NAME: u16 = 1;
    /// Description for people.
    pub const DESCRIPTION: u16 = 2;
    /// Size constraints.
    pub const BLOCK_SIZE: u16 = 3;
}

/// Command numbers (section "Request types").
pub mod command {
    /// Reads data.
    pub const READ: u16 = 0;
    /// Writes data.
    pub const WRITE: u16 = 1;
    /// Disconnects.
    pub const DISC: u16 = 2;
    /// Makes the answered changes durable.
    pub const FLUSH: u16 = 3;
    /// Gives up data that the client no longer needs.
    pub const TRIM: u16 = 4;
    /// Prefetches data.
    pub const CACHE: u16 = 5;
    /// Writes zeroes.
    pub const WRITE_ZEROES: u16 = 6;
    /// Queries metadata.
    pub const BLOCK_STATUS: u16 = 7;
}

/// Chunk types (section "Structured reply types").
pub mod chunk {
    /// No content: only ends the reply.
    pub const NONE: u16 = 0;
    /// Bytes at an offset.
    pub const OFFSET_DATA: u16 = 1;
    /// Zeroes at an offset.
    pub const OFFSET_HOLE: u16 = 2;
    /// Block descriptors with 32 bits.
    pub const BLOCK_STATUS: u16 = 5;
    /// Block descriptors with 64 bits.
    pub const BLOCK_STATUS_EXT: u16 = 6;
    /// The bit that all errors have.
    pub const ERROR_BIT: u16 = 1 << 15;
    /// An error.
    pub const ERROR: u16 = ERROR_BIT | 1;
    /// An error at an offset.
    pub const ERROR_OFFSET: u16 = ERROR_BIT | 2;
    /// A flag of the reply, not a type: the chunk is the last of its reply.
    pub const FLAG_DONE: u16 = 1;
}

bitflags! {
    /// Handshake flags, from the server (section "Handshake flags").
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct HandshakeFlags: u16 {
        /// The server supports fixed newstyle negotiation.
        const FIXED_NEWSTYLE = 1 << 0;
        /// The server can omit the 124 zeroes after EXPORT_NAME.
        const NO_ZEROES = 1 << 1;
    }

    /// Client flags (section "Client flags").
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ClientFlags: u32 {
        /// The client supports fixed newstyle negotiation.
        const FIXED_NEWSTYLE = 1 << 0;
        /// The client doesn't want the 124 zeroes after EXPORT_NAME.
        const NO_ZEROES = 1 << 1;
    }

    /// Transmission flags: what an export can do (section "Transmission flags").
    ///
    /// The shell sets the flags that follow from the plugin. [`Session`](crate::Session) adds and removes
    /// those that follow from the negotiation.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ExportFlags: u16 {
        /// Always set, by this crate.
        const HAS_FLAGS = 1 << 0;
        /// Changes fail with EPERM.
        const READ_ONLY = 1 << 1;
        /// The export supports FLUSH.
        const SEND_FLUSH = 1 << 2;
        /// The export supports FUA.
        const SEND_FUA = 1 << 3;
        /// Seeks take time.
        const ROTATIONAL = 1 << 4;
        /// The export supports TRIM.
        const SEND_TRIM = 1 << 5;
        /// The export supports WRITE_ZEROES, and NO_HOLE with it.
        const SEND_WRITE_ZEROES = 1 << 6;
        /// The export supports DF. This crate sets the flag if replies come in chunks.
        const SEND_DF = 1 << 7;
        /// FLUSH and FUA on one connection cover the changes of all connections.
        const CAN_MULTI_CONN = 1 << 8;
        /// The export supports CACHE.
        const SEND_CACHE = 1 << 10;
        /// The export supports FAST_ZERO. This crate removes the flag without SEND_WRITE_ZEROES.
        const SEND_FAST_ZERO = 1 << 11;
        /// BLOCK_STATUS may have a payload of context ids. This crate sets the flag if headers are
        /// extended and the client selected a context.
        const BLOCK_STATUS_PAYLOAD = 1 << 12;
    }

    /// Command flags (section "Command flags").
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CommandFlags: u16 {
        /// The change is durable before the reply.
        const FUA = 1 << 0;
        /// WRITE_ZEROES: the range stays allocated.
        const NO_HOLE = 1 << 1;
        /// READ: the reply has one content chunk.
        const DF = 1 << 2;
        /// BLOCK_STATUS: the reply has one descriptor.
        const REQ_ONE = 1 << 3;
        /// WRITE_ZEROES: fails with ENOTSUP if it would be as slow as a write.
        const FAST_ZERO = 1 << 4;
        /// Extended headers: the length is that of a payload, which follows.
        const PAYLOAD_LEN = 1 << 5;
    }

    /// Status flags of `base:allocation` (section "`base:allocation` metadata context").
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct StateFlags: u32 {
        /// Not allocated: a write can fail with ENOSPC.
        const HOLE = 1 << 0;
        /// Reads as zeroes.
        const ZERO = 1 << 1;
    }
}
