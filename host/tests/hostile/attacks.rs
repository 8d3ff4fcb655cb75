//! The catalogue of attacks: what a plugin does, and the result.

use device::fault::Cause;
use nbd_proto::Errno;

/// The call in which the plugin attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Write,
    Flush,
    Trim,
    Zero,
    Cache,
    Report,
    Locate,
}

impl Call {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::Trim => "trim",
            Self::Zero => "zero",
            Self::Cache => "cache",
            Self::Report => "report",
            Self::Locate => "locate",
        }
    }
}

/// The result for the plugin's own client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meets {
    /// The error for a broken rule, counted under this cause. The instance may be lost.
    Fault(Cause),
    /// An errno, from the host function or from the plugin itself.
    Errno(Errno),
    /// Data for the whole request; the fault is counted under this cause.
    Fallback(Cause),
    /// Data for the whole request, because the plugin answered with an error.
    Excused,
    /// A correct answer to a read; the fault is counted under this cause.
    Ignored(Cause),
    /// A correct answer, because the deed is harmless.
    Nothing,
}

/// One attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    pub(crate) call: Call,
    pub(crate) deed: &'static str,
    pub(crate) words: &'static str,
    pub(crate) meets: Meets,
}

const fn attack(call: Call, deed: &'static str, words: &'static str, meets: Meets) -> Attack {
    Attack {
        call,
        deed,
        words,
        meets,
    }
}

use Call::{Cache, Flush, Locate, Read, Report, Trim, Write, Zero};
use Meets::{Errno as Answers, Excused, Fallback, Fault, Ignored, Nothing};

/// Attacks on a running export.
pub(crate) const ATTACKS: &[Attack] = &[
    attack(
        Read,
        "loop",
        "loops endlessly in read",
        Fault(Cause::CpuTime),
    ),
    attack(
        Write,
        "loop",
        "loops endlessly in write",
        Fault(Cause::CpuTime),
    ),
    attack(
        Flush,
        "loop",
        "loops endlessly in flush",
        Fault(Cause::CpuTime),
    ),
    attack(
        Trim,
        "loop",
        "loops endlessly in trim",
        Fault(Cause::CpuTime),
    ),
    attack(
        Zero,
        "loop",
        "loops endlessly in zero",
        Fault(Cause::CpuTime),
    ),
    attack(
        Cache,
        "loop",
        "loops endlessly in cache",
        Fault(Cause::CpuTime),
    ),
    attack(
        Report,
        "loop",
        "loops endlessly in report",
        Fallback(Cause::CpuTime),
    ),
    attack(
        Write,
        "stuck-realloc",
        "has a realloc that never returns",
        Fault(Cause::CpuTime),
    ),
    attack(
        Read,
        "reads",
        "reads a granted file in an endless loop",
        Fault(Cause::CpuTime),
    ),
    attack(
        Read,
        "wait",
        "reads the clock in an endless loop",
        Fault(Cause::CpuTime),
    ),
    attack(
        Read,
        "strings",
        "passes strings to the host in an endless loop",
        Fault(Cause::CpuTime),
    ),
    attack(Read, "trap", "aborts in read", Fault(Cause::Trap)),
    attack(Write, "trap", "aborts in write", Fault(Cause::Trap)),
    attack(Flush, "trap", "aborts in flush", Fault(Cause::Trap)),
    attack(Trim, "trap", "aborts in trim", Fault(Cause::Trap)),
    attack(Zero, "trap", "aborts in zero", Fault(Cause::Trap)),
    attack(Cache, "trap", "aborts in cache", Fault(Cause::Trap)),
    attack(Report, "trap", "aborts in report", Fallback(Cause::Trap)),
    attack(Read, "panic", "panics", Fault(Cause::Trap)),
    attack(Read, "recurse", "recurses endlessly", Fault(Cause::Trap)),
    attack(
        Read,
        "grow",
        "grows its memory endlessly",
        Fault(Cause::Memory),
    ),
    attack(
        Read,
        "grow-politely",
        "requests 1 GiB of memory and checks the result",
        Answers(Errno::Enomem),
    ),
    attack(
        Read,
        "short",
        "returns a byte less than requested",
        Fault(Cause::Reply),
    ),
    attack(
        Read,
        "long",
        "returns a byte more than requested",
        Fault(Cause::Reply),
    ),
    attack(
        Read,
        "twice",
        "answers the same read twice",
        Fault(Cause::Reply),
    ),
    attack(
        Read,
        "untouched",
        "leaves the reply empty",
        Fault(Cause::Reply),
    ),
    attack(
        Read,
        "blob-pieces",
        "answers by reference, byte by byte",
        Nothing,
    ),
    attack(
        Read,
        "past-blob",
        "points past the end of a blob",
        Fault(Cause::Range),
    ),
    attack(
        Write,
        "past-blob",
        "stores past the end of a blob",
        Fault(Cause::Range),
    ),
    attack(
        Write,
        "store-past-payload",
        "stores more than the payload",
        Fault(Cause::Range),
    ),
    attack(
        Write,
        "past-payload",
        "reads past the payload",
        Fault(Cause::Range),
    ),
    attack(
        Write,
        "store",
        "stores into a blob that is granted `ro`",
        Fault(Cause::Range),
    ),
    attack(
        Read,
        "access",
        "writes to a blob that is granted `ro`",
        Answers(Errno::Eperm),
    ),
    attack(
        Read,
        "not-granted",
        "opens a blob called /etc/passwd",
        Answers(Errno::Eperm),
    ),
    attack(
        Read,
        "handles",
        "leaks handles endlessly",
        Fault(Cause::Budget),
    ),
    attack(
        Read,
        "double-drop",
        "drops a handle twice",
        Fault(Cause::Abi),
    ),
    attack(Read, "forged-handle", "invents a handle", Fault(Cause::Abi)),
    attack(
        Read,
        "kept-handle",
        "uses a handle that isn't its own",
        Fault(Cause::Abi),
    ),
    attack(
        Read,
        "wrong-handle",
        "uses a blob's handle as a reply's",
        Fault(Cause::Abi),
    ),
    attack(
        Read,
        "past-memory",
        "passes bytes past the end of its memory",
        Fault(Cause::Abi),
    ),
    attack(
        Read,
        "4-gib-list",
        "passes a list of 4 GiB",
        Fault(Cause::Abi),
    ),
    attack(
        Read,
        "invalid-utf8",
        "passes a string that isn't UTF-8",
        Fault(Cause::Abi),
    ),
    attack(
        Read,
        "invalid-enum",
        "passes an enum case that doesn't exist",
        Fault(Cause::Abi),
    ),
    attack(
        Read,
        "4-gib-string",
        "passes a string of 4 GiB",
        Fault(Cause::Abi),
    ),
    attack(
        Read,
        "changing",
        "claims to be immutable, but changes",
        Nothing,
    ),
    attack(
        Read,
        "counting",
        "claims to be `parallel`, but keeps a count in its memory",
        Nothing,
    ),
    attack(
        Read,
        "log",
        "floods the log, with terminal escapes",
        Nothing,
    ),
    attack(
        Read,
        "log-huge",
        "logs a line of 10 MiB",
        Fault(Cause::Budget),
    ),
    attack(
        Report,
        "same",
        "adds the same extent endlessly",
        Fallback(Cause::Budget),
    ),
    attack(
        Report,
        "outside",
        "adds extents outside the range endlessly",
        Fallback(Cause::Budget),
    ),
    attack(
        Report,
        "empty",
        "adds empty extents endlessly",
        Fallback(Cause::Budget),
    ),
    attack(
        Report,
        "add-all",
        "adds lists of extents endlessly",
        Fallback(Cause::Budget),
    ),
    attack(
        Report,
        "alternating",
        "adds a hole at every other byte",
        Fallback(Cause::Budget),
    ),
    attack(
        Report,
        "descending",
        "adds a hole at every other byte, from the top down",
        Fallback(Cause::Budget),
    ),
    attack(
        Report,
        "after-full",
        "keeps adding extents after `full`",
        Fallback(Cause::Budget),
    ),
    attack(
        Report,
        "kept-handle",
        "ends the extents of another request",
        Fallback(Cause::Abi),
    ),
    attack(
        Report,
        "add-all-past-memory",
        "adds a list of extents past the end of its memory",
        Fallback(Cause::Abi),
    ),
    attack(
        Report,
        "overflow",
        "adds an extent that ends past 2^64",
        Excused,
    ),
    attack(
        Locate,
        "past-blob",
        "maps past the end of a blob",
        Ignored(Cause::Range),
    ),
    attack(Locate, "downwards", "maps downwards", Ignored(Cause::Range)),
    attack(
        Locate,
        "elsewhere",
        "maps other bytes than those requested",
        Nothing,
    ),
    attack(Locate, "endless", "maps endlessly", Fault(Cause::CpuTime)),
    attack(Locate, "trap", "crashes while mapping", Fault(Cause::Trap)),
];
