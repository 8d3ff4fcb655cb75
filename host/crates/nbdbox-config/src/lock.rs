//! Locks of granted files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::grant::Access;

/// Who else may use a file while an export has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lock {
    /// Nobody else may write it or change its size.
    Exclusive,
    /// Others may use it as well; their own exclusive locks are respected.
    Shared,
    /// The host takes no lock, and ignores those of others.
    None,
}

/// The word isn't a [`Lock`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` isn't a lock: exclusive, shared or none is expected")]
pub struct LockError(String);

impl Lock {
    /// The default for an access: an export doesn't share a file that it may write.
    #[must_use]
    pub fn for_access(access: Access) -> Self {
        match access {
            Access::ReadWrite => Self::Exclusive,
            Access::ReadOnly | Access::MapOnly => Self::Shared,
        }
    }

    /// Whether two exports of one process, each with its access and lock, must not have the same file. They clash if
    /// both write it and don't both share it, or if one writes it and the other has it exclusively.
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
    fn a_shown_lock_can_be_parsed() {
        for lock in [Lock::Exclusive, Lock::Shared, Lock::None] {
            assert_eq!(lock.to_string().parse(), Ok(lock));
        }
        let error = "Shared".parse::<Lock>().unwrap_err().to_string();
        assert!(error.contains("exclusive, shared or none"), "{error}");
    }
}
