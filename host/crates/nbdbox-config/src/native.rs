//! The names of the host's own filters.

/// A filter of the host's own. In place of a filter, these names come before the files in any folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeName {
    /// Advertises other block sizes.
    BlocksizePolicy,
    /// Delays calls.
    Delay,
    /// Fails some calls.
    Error,
    /// The server ends with its last client.
    Exitlast,
    /// The server ends when an event has happened.
    Exitwhen,
    /// Hides, emulates or forces FUA.
    Fua,
    /// Logs calls to a file.
    Log,
    /// Hides reading ahead.
    Nocache,
    /// Describes everything as data.
    Noextents,
    /// Hides trimming.
    Notrim,
    /// Hides zeroing.
    Nozero,
}

impl NativeName {
    /// All names, in alphabetical order.
    pub const ALL: [Self; 11] = [
        Self::BlocksizePolicy,
        Self::Delay,
        Self::Error,
        Self::Exitlast,
        Self::Exitwhen,
        Self::Fua,
        Self::Log,
        Self::Nocache,
        Self::Noextents,
        Self::Notrim,
        Self::Nozero,
    ];

    /// The name, as an operator writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlocksizePolicy => "blocksize-policy",
            Self::Delay => "delay",
            Self::Error => "error",
            Self::Exitlast => "exitlast",
            Self::Exitwhen => "exitwhen",
            Self::Fua => "fua",
            Self::Log => "log",
            Self::Nocache => "nocache",
            Self::Noextents => "noextents",
            Self::Notrim => "notrim",
            Self::Nozero => "nozero",
        }
    }

    /// What the filter does, in one line.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::BlocksizePolicy => "advertises other block sizes, and may enforce them",
            Self::Delay => "delays calls",
            Self::Error => "fails some calls",
            Self::Exitlast => "ends the server with its last client",
            Self::Exitwhen => {
                "ends the server when a file appears or goes, a process exits or a pipe closes"
            }
            Self::Fua => "hides FUA, emulates it by flushes, or forces it",
            Self::Log => "logs calls to a file",
            Self::Nocache => "hides reading ahead, or does it by reading",
            Self::Noextents => "describes everything as data",
            Self::Notrim => "hides trimming",
            Self::Nozero => "hides zeroing, or does it by writing",
        }
    }

    /// The filter of this name.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }
}
