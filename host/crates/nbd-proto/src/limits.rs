//! Every bound of the protocol, whom it restrains, and what would go wrong without it.
//!
//! No other file of this crate has a number that limits a peer.

/// Longest string, in bytes: of export names, descriptions, context names and error texts.
///
/// Restrains both sides. Section "Conventions": a string "MUST be no longer than 4096 bytes".
pub const MAX_STRING: usize = 4096;

/// Longest option payload that the server parses, in bytes. It drains a longer one without keeping it,
/// and answers `NBD_REP_ERR_TOO_BIG` if it knows the option.
///
/// Restrains the client: the shell buffers a whole option, so an unauthenticated peer can make it hold
/// this many bytes. The largest sensible option is a SET_META_CONTEXT with a name and a few queries.
pub const MAX_OPTION: usize = 64 * 1024;

/// Longest option payload that the server drains, in bytes. It closes the connection on the header of a
/// longer one.
///
/// Restrains the client: "if a server believes a client's behaviour constitutes a denial of
/// service, it MAY initiate a hard disconnect" (section "Termination of the session during option
/// haggling"). Without this limit the server would read 4 GiB of rubbish for one header of 16 bytes.
pub const MAX_DRAINED_OPTION: u32 = 1024 * 1024;

/// Bytes that a server's receive buffer must be able to hold during the handshake: a whole option,
/// because [`Handshake::advance`](crate::Handshake::advance) parses nothing less.
pub const HANDSHAKE_BUFFER: usize = 16 + MAX_OPTION;

/// Options in one handshake. The server closes the connection on the next one.
///
/// Restrains the client, which could otherwise request lists and exports for ever without entering
/// one. `qemu-nbd --list` sends two or three options for each export on one connection, so this leaves
/// room for thousands of exports.
pub const MAX_OPTIONS: u32 = 16 * 1024;

/// Queries in one LIST_META_CONTEXT or SET_META_CONTEXT. The server answers more with
/// `NBD_REP_ERR_TOO_BIG`.
///
/// Restrains the client. Each query has 4 bytes at least, so [`MAX_OPTION`] alone would allow 16 384
/// of them, although only one context exists.
pub const MAX_META_QUERIES: u32 = 128;

/// Exports that the server names in reply to one `NBD_OPT_LIST`. If there are more, the list ends with
/// `NBD_REP_ERR_TOO_BIG`.
///
/// Restrains the shell, and a plugin that lists exports: the server builds the whole list in memory.
pub const MAX_LISTED: usize = 10_000;

/// Largest payload in one request or reply, in bytes: 32 MiB.
///
/// Restrains the client's reads and writes. The server advertises no larger maximum block size. Section
/// "Size constraints": a payload up to 2^25 bytes "SHOULD NOT be considered a denial of service attack",
/// so the server drains and answers a refused write of up to this length. It closes the connection on a
/// longer one.
//= proto.md#size-constraints
//# MAY initiate a hard disconnect if a payload length of either a request or a reply would be large enough to
//# be deemed a denial of service attack
//= proto.md#size-constraints
//# any payload not exceeding 2^25 (33,554,432) bytes SHOULD NOT be considered a denial of service attack
//= proto.md#request-types
//# the server MUST support unfragmented reads in which the client's request length does not exceed 65,536
//# bytes.
pub const MAX_PAYLOAD: u32 = 32 * 1024 * 1024;

/// Descriptors in one block status chunk: 2^20.
///
/// Restrains the server (section `NBD_CMD_BLOCK_STATUS`: "a server SHOULD NOT send more than 2^20
/// status descriptors in a single chunk"), and bounds the memory that a client needs.
//= proto.md#request-types
//# a server SHOULD NOT send more than 2^20 status descriptors in a single chunk.
pub const MAX_DESCRIPTORS: usize = 1 << 20;

/// Longest length of a descriptor with 32 bits, in bytes: the largest multiple of every minimum block
/// size that a server may advertise (powers of two up to 65 536).
///
/// Restrains the server: it cuts a longer extent to this length and ends the reply there.
pub const MAX_COMPACT_EXTENT: u32 = 0xffff_0000;

/// Largest minimum block size, in bytes (section "Size constraints": "MUST NOT be larger than 2^16").
pub const MAX_MINIMUM_BLOCK: u32 = 65_536;

/// Smallest preferred block size, in bytes (the same section: "at least as large as the maximum of
/// the minimum block size and 2^9").
pub const MIN_PREFERRED_BLOCK: u32 = 512;

/// Largest minimum block size of an export that clients may enter without a request for its block sizes, in
/// bytes. Such a client should use 512 (section "Size constraints"), so the server answers
/// `NBD_REP_ERR_BLOCK_SIZE_REQD` if the blocks are larger.
pub const ASSUMED_MINIMUM_BLOCK: u32 = 512;

/// Longest option reply that a client reads, in bytes.
///
/// Restrains the server: an NBD_REP_SERVER has two strings, so twice [`MAX_STRING`] and some room.
pub const MAX_OPTION_REPLY: u32 = 16 * 1024;

/// Replies to one option that a client reads.
///
/// Restrains the server: the client keeps its list of exports in memory, 80 MB at worst.
pub const MAX_OPTION_REPLIES: usize = MAX_LISTED + 1;

/// Longest error chunk that a client reads, in bytes.
///
/// Restrains the server: the largest known kind has a text of [`MAX_STRING`] and 14 bytes more. The
/// rest is room for kinds that aren't defined yet, which a client must accept.
pub const MAX_ERROR_CHUNK: u64 = 16 * 1024;
