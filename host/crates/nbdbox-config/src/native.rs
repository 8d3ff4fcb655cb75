//! The names of the filters that are the host's own.

/// One of them. Where a filter stands, such a name is looked up before any folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeName {
    /// Other block sizes.
    BlocksizePolicy,
    /// Calls take longer.
    Delay,
    /// Some calls fail.
    Error,
    /// The server ends with its last client.
    Exitlast,
    /// The server ends when something has happened.
    Exitwhen,
    /// FUA is taken away, made of flushes, or forced.
    Fua,
    /// Calls are noted in a file.
    Log,
    /// Reading ahead is taken away.
    Nocache,
    /// Everything is data.
    Noextents,
    /// Trimming is taken away.
    Notrim,
    /// Zeroing is taken away.
    Nozero,
}

impl NativeName {
    /// All of them, by name.
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

    /// As it's written.
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

    /// What it does, in one line.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::BlocksizePolicy => "tells clients other block sizes, and may hold them to those",
            Self::Delay => "lets calls take longer",
            Self::Error => "lets some calls fail",
            Self::Exitlast => "ends the server with its last client",
            Self::Exitwhen => "ends the server when a file, a process or a pipe says so",
            Self::Fua => "takes FUA away, makes it of flushes, or forces it",
            Self::Log => "notes calls in a file",
            Self::Nocache => "takes reading ahead away, or does it by reading",
            Self::Noextents => "says that everything is data",
            Self::Notrim => "takes trimming away",
            Self::Nozero => "takes zeroing away, or does it by writing",
        }
    }

    /// The one that is written so.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }
}
