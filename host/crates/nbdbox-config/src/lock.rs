//! How a file that is granted is kept from others.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::grant::Access;

/// Who else may use a file while an export has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Nobody else may write it or change its size.
    Exclusive,
    /// Anybody may use it; those who claim it for themselves are respected.
    Shared,
    /// It isn't locked, and others' locks aren't looked at.
    None,
}

/// A word that is no [`Lock`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` isn't a lock: exclusive, shared or none is expected")]
pub struct LockError(String);

impl Lock {
    /// What holds where nothing is said: what an export may write is its own.
    #[must_use]
    pub fn for_access(access: Access) -> Self {
        match access {
            Access::ReadWrite => Self::Exclusive,
            Access::ReadOnly | Access::MapOnly => Self::Shared,
        }
    }

    /// Whether two exports of one process mustn't have the same file, each with its access and lock: both would write
    /// it, unless both share it, or one has it for itself and the other would write it.
    #[must_use]
    pub fn clash(one: (Access, Self), other: (Access, Self)) -> bool {
        let writes = |(access, _): (Access, Self)| access == Access::ReadWrite;
        let shares = |(_, lock): (Access, Self)| lock == Self::Shared;
        let refuses = |(_, lock): (Access, Self)| lock == Self::Exclusive;
        let both_write = writes(one) && writes(other) && !(shares(one) && shares(other));
        both_write || refuses(one) && writes(other) || refuses(other) && writes(one)
    }
}

impl FromStr for Lock {
    type Err = LockError;

    fn from_str(word: &str) -> Result<Self, LockError> {
        match word {
            "exclusive" => Ok(Self::Exclusive),
            "shared" => Ok(Self::Shared),
            "none" => Ok(Self::None),
            _ => Err(LockError(word.to_owned())),
        }
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
            Self::None => "none",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_two_writers_only_if_both_share_it() {
        use Access::{MapOnly, ReadOnly, ReadWrite};
        use Lock::{Exclusive, None, Shared};
        for (one, other, clash) in [
            ((ReadWrite, Exclusive), (ReadWrite, Exclusive), true),
            ((ReadWrite, Exclusive), (ReadWrite, Shared), true),
            ((ReadWrite, Shared), (ReadWrite, None), true),
            ((ReadWrite, None), (ReadWrite, None), true),
            ((ReadWrite, Shared), (ReadWrite, Shared), false),
            ((ReadWrite, Exclusive), (ReadOnly, Shared), false),
            ((ReadWrite, Exclusive), (MapOnly, None), false),
            ((ReadWrite, Shared), (ReadOnly, Exclusive), true),
            ((ReadOnly, Exclusive), (ReadOnly, Exclusive), false),
        ] {
            assert_eq!(Lock::clash(one, other), clash, "{one:?}, {other:?}");
            assert_eq!(Lock::clash(other, one), clash, "{other:?}, {one:?}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_shown() {
        for lock in [Lock::Exclusive, Lock::Shared, Lock::None] {
            assert_eq!(lock.to_string().parse(), Ok(lock));
        }
        let error = "Shared".parse::<Lock>().unwrap_err().to_string();
        assert!(error.contains("exclusive, shared or none"), "{error}");
    }
}
