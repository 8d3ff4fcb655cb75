//! What the operator wrote: `NAME=PATH[:ro|:rw|:map-only]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use crate::lock::Lock;

/// What a plugin may do with a blob. Each includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Say that bytes of it are to be sent, and ask where its data is: the plugin can't see them.
    MapOnly,
    /// Read it.
    #[default]
    ReadOnly,
    /// Write it too.
    ReadWrite,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MapOnly => "map-only",
            Self::ReadOnly => "ro",
            Self::ReadWrite => "rw",
        })
    }
}

/// A file, granted under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The name that the plugin knows.
    pub name: String,
    /// The operator's file or block device.
    pub path: PathBuf,
    /// What is allowed.
    pub access: Access,
    /// Who else may use it, if that was said.
    pub lock: Option<Lock>,
}

/// A word that is no grant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("blob `{0}` isn't NAME=PATH[:ro|:rw|:map-only], as in disk=/srv/disk.img:rw")]
pub struct GrantError(String);

impl Grant {
    /// A grant under `name` of `PATH[:ro|:rw|:map-only]`; `None` if one of the two is empty.
    #[must_use]
    pub fn new(name: &str, word: &str) -> Option<Self> {
        let suffixes = [
            (":ro", Access::ReadOnly),
            (":rw", Access::ReadWrite),
            (":map-only", Access::MapOnly),
        ];
        let (path, access) = suffixes
            .iter()
            .find_map(|(suffix, access)| Some((word.strip_suffix(suffix)?, *access)))
            .unwrap_or((word, Access::default()));
        (!name.is_empty() && !path.is_empty()).then(|| Self {
            name: name.to_owned(),
            path: path.into(),
            access,
            lock: None,
        })
    }

    /// Who else may use it, as was said, or as its access has it.
    #[must_use]
    pub fn lock(&self) -> Lock {
        self.lock.unwrap_or(Lock::for_access(self.access))
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(word: &str) -> Result<Self, GrantError> {
        let split = word.split_once('=');
        split
            .and_then(|(name, rest)| Self::new(name, rest))
            .ok_or_else(|| GrantError(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(word: &str) -> Option<(String, PathBuf, Access)> {
        word.parse()
            .ok()
            .map(|grant: Grant| (grant.name, grant.path, grant.access))
    }

    #[test]
    fn read_only_unless_said_otherwise() {
        assert_eq!(
            parse("d=/a"),
            Some(("d".into(), "/a".into(), Access::ReadOnly))
        );
        assert_eq!(
            parse("d=/a:rw"),
            Some(("d".into(), "/a".into(), Access::ReadWrite))
        );
        assert_eq!(
            parse("d=a:map-only"),
            Some(("d".into(), "a".into(), Access::MapOnly))
        );
        assert_eq!(
            parse("d=/a:b=c"),
            Some(("d".into(), "/a:b=c".into(), Access::ReadOnly))
        );
    }

    #[test]
    fn half_a_grant_is_none() {
        for word in ["", "d", "d=", "=/a", "d=:rw"] {
            assert_eq!(parse(word), None, "{word}");
        }
    }
}
