//! Checks a request whose header was read (sections "Request types", "Command flags", "Size
//! constraints" and "Error values").

use super::{Command, Raw, Refusal, WriteFlags};
use crate::wire::command;
use crate::{CommandFlags, Errno, ExportFlags, Framing, Session};

impl Session {
    pub(super) fn has(&self, flag: ExportFlags) -> bool {
        self.export().flags.contains(flag)
    }

    /// Applies all rules. If a request breaks several, the client gets the error that helps it most.
    pub(super) fn check(&self, raw: &Raw) -> Result<Command, Refusal> {
        if raw.kind == command::DISC {
            // "There is no reply to an NBD_CMD_DISC", so the server can't refuse one.
            return Ok(Command::Disconnect);
        }
        self.check_advertised(raw.kind)?;
        let flags = self.check_flags(raw)?;
        if raw.kind == command::FLUSH {
            // "For a flush request, length and offset are reserved, and MUST be set to all-zero."
            //= proto.md#request-types
            //# For a flush request, *length* and *offset* are reserved, and MUST be set to all-zero.
            return if raw.offset | raw.length == 0 {
                Ok(Command::Flush)
            } else {
                Err(FLUSH_RANGE)
            };
        }
        self.check_range(raw)?;
        if raw.length == 0 {
            return if raw.kind == command::BLOCK_STATUS {
                //= proto.md#request-types
                //# the behavior of a server on such a request is unspecified although the server SHOULD NOT
                //# disconnect.
                Err(NO_LENGTH)
            } else {
                //= proto.md#request-types
                //# the behavior of a server on such a request is unspecified although the server SHOULD NOT
                //# disconnect.
                Ok(Command::Nothing)
            };
        }
        self.build(raw, flags)
    }

    /// Read-only, and "a client MUST NOT send a ... request unless NBD_FLAG_SEND_... was set".
    fn check_advertised(&self, kind: u16) -> Result<(), Refusal> {
        let advertised = match kind {
            //= proto.md#baseline
            //# The following MUST be implemented by all implementations, and should be considered a baseline:
            command::READ => true,
            // "If this flag is set, the server MUST error subsequent write operations to the
            // export", with "NBD_EPERM if it receives a write or trim request on a read-only
            // export".
            command::WRITE | command::TRIM | command::WRITE_ZEROES
                if self.has(ExportFlags::READ_ONLY) =>
            {
                //= proto.md#transmission-flags
                //# If this flag is set, the server MUST error subsequent write operations to the export.
                //= proto.md#request-types
                //# It SHOULD return `NBD_EPERM` if it receives a write zeroes request on a read-only export.
                //= proto.md#error-values
                //# Finally, it SHOULD return `NBD_EPERM` if it receives a write or trim request on a read-only
                //# export.
                return Err(READ_ONLY);
            }
            command::WRITE => true,
            //= proto.md#request-types
            //# A client MUST NOT send a flush request unless `NBD_FLAG_SEND_FLUSH` was set in the transmission
            //# flags field.
            command::FLUSH => self.has(ExportFlags::SEND_FLUSH),
            //= proto.md#request-types
            //# A client MUST NOT send a trim request unless `NBD_FLAG_SEND_TRIM` was set in the transmission
            //# flags field.
            command::TRIM => self.has(ExportFlags::SEND_TRIM),
            command::CACHE => self.has(ExportFlags::SEND_CACHE),
            //= proto.md#request-types
            //# A client MUST NOT send a write zeroes request unless `NBD_FLAG_SEND_WRITE_ZEROES` was set in the
            //# transmission flags field.
            command::WRITE_ZEROES => self.has(ExportFlags::SEND_WRITE_ZEROES),
            // "Servers SHOULD reply with NBD_EINVAL to clients sending NBD_CMD_BLOCK_STATUS without
            // selecting at least one metadata context."
            //= proto.md#metadata-querying
            //# Servers SHOULD reply with `NBD_EINVAL` to clients sending `NBD_CMD_BLOCK_STATUS` without
            //# selecting at least one metadata context.
            command::BLOCK_STATUS if self.allocation().is_none() => return Err(NO_CONTEXT),
            command::BLOCK_STATUS => true,
            // "The server SHOULD return NBD_EINVAL if it receives an unknown command."
            //= proto.md#terminating-the-transmission-phase
            //# The client and the server MUST NOT initiate any form of disconnect other than in one of the
            //# above circumstances.
            //= proto.md#error-values
            //# The server SHOULD return `NBD_EINVAL` if it receives an unknown command.
            _ => return Err(UNKNOWN_COMMAND),
        };
        if advertised {
            Ok(())
        } else {
            //= proto.md#transmission-flags
            //# The client MUST NOT use a feature documented as 'exposed' by a flag unless that flag was set.
            Err(UNADVERTISED)
        }
    }

    /// "The server SHOULD return NBD_EINVAL if it receives an unknown command flag. It also SHOULD
    /// return NBD_EINVAL if it receives a request with a flag not explicitly documented as
    /// applicable to the given request."
    fn check_flags(&self, raw: &Raw) -> Result<CommandFlags, Refusal> {
        let extended_write = raw.kind == command::WRITE && self.framing() == Framing::Extended;
        let mut allowed = match raw.kind {
            //= proto.md#transmission-flags
            //# Clients MUST NOT set the `NBD_CMD_FLAG_DF` request flag unless this transmission flag is set.
            //= proto.md#command-flags
            //# MUST NOT be set unless the transmission flags include `NBD_FLAG_SEND_DF`.
            command::READ if self.has(ExportFlags::SEND_DF) => CommandFlags::DF,
            //= proto.md#request-message
            //# In the compact style, the client MUST NOT use the `NBD_CMD_FLAG_PAYLOAD_LEN` flag
            command::WRITE if extended_write => CommandFlags::PAYLOAD_LEN,
            //= proto.md#transmission-flags
            //# Clients MUST NOT set the `NBD_CMD_FLAG_FAST_ZERO` request flag unless this transmission flag is
            //# set.
            //= proto.md#command-flags
            //# The client MUST NOT set this unless the server advertised `NBD_FLAG_SEND_FAST_ZERO`.
            //= proto.md#request-types
            //# Additionally, a client MUST NOT send the `NBD_CMD_FLAG_FAST_ZERO` flag unless
            //# `NBD_FLAG_SEND_FAST_ZERO` was set in the transmission flags field.
            command::WRITE_ZEROES if self.has(ExportFlags::SEND_FAST_ZERO) => {
                CommandFlags::NO_HOLE | CommandFlags::FAST_ZERO
            }
            //= proto.md#command-flags
            //# The server MUST support the use of this flag if it advertises `NBD_FLAG_SEND_WRITE_ZEROES`.
            //= proto.md#request-types
            //# SHOULD fail with `NBD_EINVAL` if the `NBD_CMD_FLAG_FAST_ZERO` flag was set.
            command::WRITE_ZEROES => CommandFlags::NO_HOLE,
            command::BLOCK_STATUS => CommandFlags::REQ_ONE,
            _ => CommandFlags::empty(),
        };
        // "provided NBD_FLAG_SEND_FUA has been negotiated, in which case the server MUST accept all
        // commands with this bit set (even by ignoring the bit)"
        //= proto.md#command-flags
        //# This flag is valid for all commands, provided `NBD_FLAG_SEND_FUA` has been negotiated, in which case
        //# the server MUST accept all commands with this bit set (even by ignoring the bit).
        allowed.set(CommandFlags::FUA, self.has(ExportFlags::SEND_FUA));
        //= proto.md#request-types
        //# the server MUST reject any command flags it does not recognize.
        //= proto.md#error-values
        //# The server SHOULD return `NBD_EINVAL` if it receives an unknown command flag.
        let flags = CommandFlags::from_bits(raw.flags).ok_or(FLAGS)?;
        //= proto.md#command-flags
        //# Clients MUST NOT set a command flag bit that is not documented for the particular command
        //= proto.md#error-values
        //# It also SHOULD return `NBD_EINVAL` if it receives a request with a flag not explicitly documented as
        //# applicable to the given request.
        if !allowed.contains(flags) {
            return Err(if flags.contains(CommandFlags::PAYLOAD_LEN) {
                PAYLOAD
            } else {
                FLAGS
            });
        }
        Ok(flags)
    }

    /// Size, bounds and alignment (section "Size constraints").
    fn check_range(&self, raw: &Raw) -> Result<(), Refusal> {
        let block = self.export().enforced();
        // "The server SHOULD report an NBD_EINVAL error if the client's request is not aligned to
        // advertised minimum block size boundaries, or is larger than the advertised maximum block
        // size". The maximum bounds payloads: a request that only has an effect may be longer. A client that didn't
        // request the block sizes "should assume that the server will support ... a maximum block size of ...
        // 33,554,432 (32 MiB)".
        //= proto.md#size-constraints
        //# the client MAY request an effect length larger than the maximum payload size; the server SHOULD NOT
        //# disconnect
        let carries_data = matches!(raw.kind, command::READ | command::WRITE);
        //= proto.md#structured-reply-types
        //# A server MUST NOT send a chunk where any variable-length portion of the chunk is larger than any
        //# advertised maximum payload size
        if carries_data && raw.length > u64::from(self.longest()) {
            //= proto.md#request-types
            //# A server MAY support read requests larger than the maximum payload size
            return Err(TOO_LONG);
        }
        let end = raw.offset.checked_add(raw.length);
        //= proto.md#error-values
        //# It SHOULD return `NBD_EINVAL` if it receives a read or trim request including one or more sectors
        //# beyond the size of the device, or if a read or write request is not aligned to advertised minimum
        //# block sizes.
        if end.is_none_or(|end| end > self.export().size) {
            // "The server SHOULD return NBD_ENOSPC if it receives a write request including one or
            // more sectors beyond the size of the device. ... It SHOULD return NBD_EINVAL if it
            // receives a read or trim request including one or more sectors beyond the size of the
            // device"
            //= proto.md#error-values
            //# The server SHOULD return `NBD_ENOSPC` if it receives a write request including one or more
            //# sectors beyond the size of the device.
            let writes = matches!(raw.kind, command::WRITE | command::WRITE_ZEROES);
            //= proto.md#request-types
            //# The server SHOULD return `NBD_ENOSPC` if it receives a write zeroes request including one or
            //# more sectors beyond the size of the device.
            //= proto.md#request-types
            //# The server SHOULD return `NBD_EINVAL` if it receives a `NBD_CMD_BLOCK_STATUS` request including
            //# one or more sectors beyond the size of the device.
            //= proto.md#request-types
            //# The server SHOULD return `NBD_EINVAL` if it receives a `NBD_CMD_BLOCK_STATUS` request with an
            //# effect length exceeding the size of the export.
            return Err(if writes { WRITE_PAST_END } else { PAST_END });
        }
        let beside = u64::from(block.minimum() - 1);
        //= proto.md#size-constraints
        //# The server SHOULD report an `NBD_EINVAL` error if the client's request is not aligned to advertised
        //# minimum block size boundaries or would exceed the export size.
        if (raw.offset | raw.length) & beside != 0 {
            //= proto.md#size-constraints
            //# When allowing clients that did not negotiate sizing via NBD, a server that enforces stricter
            //# size constraints than the defaults MUST cleanly error commands that fall outside the constraints
            //# without corrupting data
            return Err(UNALIGNED);
        }
        Ok(())
    }

    /// The command of a request that passed all checks.
    fn build(&self, raw: &Raw, flags: CommandFlags) -> Result<Command, Refusal> {
        let Raw { offset, length, .. } = *raw;
        let short = || u32::try_from(length).map_err(|_| TOO_LONG);
        // `check_flags` has refused flags that the command can't have.
        //= proto.md#command-flags
        //# it MUST NOT send its reply to that command until all write operations (if any) associated with that
        //# command have been completed and persisted to non-volatile storage.
        let write = WriteFlags::from_bits_truncate(flags.bits());
        Ok(match raw.kind {
            command::READ => {
                //= proto.md#command-flags
                //# the server MAY ignore this bit being set on such a command.
                let dont_fragment = flags.contains(CommandFlags::DF);
                Command::Read {
                    offset,
                    length: short()?,
                    dont_fragment,
                }
            }
            command::WRITE => Command::Write {
                offset,
                length: short()?,
                flags: write,
            },
            command::TRIM => Command::Trim {
                offset,
                length,
                flags: write,
            },
            command::CACHE => Command::Cache { offset, length },
            command::WRITE_ZEROES => Command::WriteZeroes {
                offset,
                length,
                flags: write,
            },
            command::BLOCK_STATUS => Command::BlockStatus {
                offset,
                length,
                one: flags.contains(CommandFlags::REQ_ONE),
            },
            _ => return Err(UNKNOWN_COMMAND),
        })
    }
}

const fn refusal(errno: Errno, text: &'static str) -> Refusal {
    Refusal { errno, text }
}

const UNKNOWN_COMMAND: Refusal = refusal(Errno::Einval, "unknown command");
const UNADVERTISED: Refusal = refusal(Errno::Einval, "the export doesn't support this command");
const NO_CONTEXT: Refusal = refusal(Errno::Einval, "the client selected no metadata context");
pub(super) const CONTEXT_ID: Refusal = refusal(
    Errno::Einval,
    "the client didn't select this metadata context",
);
const READ_ONLY: Refusal = refusal(Errno::Eperm, "the export is read-only");
const FLAGS: Refusal = refusal(
    Errno::Einval,
    "the request has a flag that its command doesn't take",
);
const PAYLOAD: Refusal = refusal(
    Errno::Einval,
    "the request has a payload that its command doesn't take",
);
const FLUSH_RANGE: Refusal = refusal(Errno::Einval, "a flush must have offset 0 and length 0");
const NO_LENGTH: Refusal = refusal(Errno::Einval, "block status needs a length of at least 1");
const TOO_LONG: Refusal = refusal(
    Errno::Einval,
    "the request is longer than the maximum block size",
);
const PAST_END: Refusal = refusal(Errno::Einval, PAST_END_TEXT);
const WRITE_PAST_END: Refusal = refusal(Errno::Enospc, PAST_END_TEXT);
const PAST_END_TEXT: &str = "the request reaches past the end of the export";
const UNALIGNED: Refusal = refusal(
    Errno::Einval,
    "the request isn't aligned to the minimum block size",
);
