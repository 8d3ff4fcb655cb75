//! Every bound of the protocol, whom it restrains, and what would go wrong without it.
//!
//! Nothing else in this crate holds a number that limits a peer.

/// Longest string, in bytes: export names, descriptions, context names, error texts.
///
/// Restrains both sides. Section "Conventions": a string "MUST be no longer than 4096 bytes".
pub const MAX_STRING: usize = 4096;

/// Longest option payload that is parsed, in bytes. A longer one of a known option is drained as it
/// streams and answered with `NBD_REP_ERR_TOO_BIG`.
///
/// Restrains the client: the shell buffers a whole option, so this is what an unauthenticated peer
/// can make it hold. The largest sensible option is a SET_META_CONTEXT with a name and a few
/// queries.
pub const MAX_OPTION: usize = 64 * 1024;

/// Longest option payload that is drained, in bytes. The header of a longer one closes the
/// connection.
///
/// Restrains the client: "if a server believes a client's behaviour constitutes a denial of
/// service, it MAY initiate a hard disconnect" (section "Termination of the session during option
/// haggling"). Without it 4 GiB of rubbish would be read for one header of 16 bytes.
pub const MAX_DRAINED_OPTION: u32 = 1024 * 1024;

/// What a server's receive buffer must be able to hold during the handshake, in bytes: a whole
/// option, as [`Handshake::advance`](crate::Handshake::advance) parses nothing less.
pub const HANDSHAKE_BUFFER: usize = 16 + MAX_OPTION;

/// Options in one handshake; the next one closes the connection.
///
/// Restrains the client, which could otherwise ask for lists and look-ups for ever without opening
/// anything. `qemu-nbd --list` sends two or three for each export on one connection, so this leaves
/// room for thousands of exports.
pub const MAX_OPTIONS: u32 = 16 * 1024;

/// Queries in one LIST_META_CONTEXT or SET_META_CONTEXT; more are `NBD_REP_ERR_TOO_BIG`.
///
/// Restrains the client. Each query costs 4 bytes at least, so [`MAX_OPTION`] alone would allow
/// 16 384 of them; only one context exists.
pub const MAX_META_QUERIES: u32 = 128;

/// Exports that one `NBD_OPT_LIST` names; further ones are answered with `NBD_REP_ERR_TOO_BIG`
/// after these.
///
/// Restrains the shell (and a plugin that lists exports): the answer is built in memory.
pub const MAX_LISTED: usize = 10_000;

/// Largest payload in one request or reply, in bytes: 32 MiB.
///
/// Restrains the client's reads and writes; what an export advertises is cut to it. Section "Size
/// constraints": a payload up to 2^25 bytes "SHOULD NOT be considered a denial of service attack",
/// so a refused write of up to this length is drained and answered, and a longer one closes the
/// connection.
pub const MAX_PAYLOAD: u32 = 32 * 1024 * 1024;

/// Descriptors in one block status chunk: 2^20.
///
/// Restrains the server (section `NBD_CMD_BLOCK_STATUS`: "a server SHOULD NOT send more than 2^20
/// status descriptors in a single chunk"), and bounds what a client has to hold.
pub const MAX_DESCRIPTORS: usize = 1 << 20;

/// Longest length of a descriptor where it has 32 bits: the largest multiple of every minimum block
/// size that may be advertised (they are powers of two up to 65 536).
///
/// Restrains the server: a longer extent is cut to it and the reply ends there.
pub const MAX_COMPACT_EXTENT: u32 = 0xffff_0000;

/// Largest minimum block size, in bytes (section "Size constraints": "MUST NOT be larger than 2^16").
pub const MAX_MINIMUM_BLOCK: u32 = 65_536;

/// Smallest preferred block size, in bytes (the same section: "at least as large as the maximum of
/// the minimum block size and 2^9").
pub const MIN_PREFERRED_BLOCK: u32 = 512;

/// Minimum block size up to which a client needn't ask for sizes, in bytes. A client that asks for
/// none is told to use 512 (section "Size constraints"), so an export with larger blocks answers
/// `NBD_REP_ERR_BLOCK_SIZE_REQD` to it.
pub const ASSUMED_MINIMUM_BLOCK: u32 = 512;

/// Longest option reply that the client side reads, in bytes.
///
/// Restrains the server: an NBD_REP_SERVER holds two strings, so twice [`MAX_STRING`] and some room.
pub const MAX_OPTION_REPLY: u32 = 16 * 1024;

/// Replies to one option that the client side reads.
///
/// Restrains the server, whose list of exports is kept in memory: 80 MB at the very worst.
pub const MAX_OPTION_REPLIES: usize = MAX_LISTED + 1;

/// Longest error chunk that the client side reads, in bytes.
///
/// Restrains the server: the largest known kind has a text of [`MAX_STRING`] and 14 bytes more; the
/// rest is room for kinds that aren't known yet, which a client has to put up with.
pub const MAX_ERROR_CHUNK: u64 = 16 * 1024;
