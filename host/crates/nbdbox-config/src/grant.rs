//! Grants in the operator's form: `NAME=PATH[:ro|:rw|:map-only]`.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::lock::Lock;

/// What a plugin may do with a blob. Each access includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Access {
    /// Answer with references to its bytes, and learn where its data is. The plugin can't see the bytes.
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

/// A file that is granted under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The name by which the plugin opens it.
    pub name: String,
    /// The operator's file or block device.
    #[serde(with = "crate::config::passed")]
    pub path: PathBuf,
    /// What the plugin may do with it.
    pub access: Access,
    /// Who else may use the file, if the operator has set that.
    pub lock: Option<Lock>,
}

/// The word isn't a grant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("blob `{0}` isn't NAME=PATH[:ro|:rw|:map-only], as in disk=/srv/disk.img:rw")]
pub struct GrantError(String);

impl Grant {
    /// Grants `PATH[:ro|:rw|:map-only]` under `name`; `None` if the name or the path is empty. The path may have any
    /// bytes.
    #[must_use]
    pub fn new(name: &str, word: impl AsRef<OsStr>) -> Option<Self> {
        let word = word.as_ref().as_bytes();
        let suffixes = [
            (":ro", Access::ReadOnly),
            (":rw", Access::ReadWrite),
            (":map-only", Access::MapOnly),
        ];
        let (path, access) = suffixes
            .iter()
            .find_map(|(suffix, access)| Some((word.strip_suffix(suffix.as_bytes())?, *access)))
            .unwrap_or((word, Access::default()));
        (!name.is_empty() && !path.is_empty()).then(|| Self {
            name: name.to_owned(),
            path: OsStr::from_bytes(path).into(),
            access,
            lock: None,
        })
    }

    /// Parses `NAME=PATH[:ro|:rw|:map-only]` of the command line. The path may have any bytes.
    ///
    /// # Errors
    /// The word has another form, or the name isn't UTF-8.
    pub fn parse(word: &OsStr) -> Result<Self, GrantError> {
        let bytes = word.as_bytes();
        let equals = bytes.iter().position(|byte| *byte == b'=');
        let split = equals.map(|at| (&bytes[..at], &bytes[at + 1..]));
        split
            .and_then(|(name, rest)| {
                Self::new(std::str::from_utf8(name).ok()?, OsStr::from_bytes(rest))
            })
            .ok_or_else(|| GrantError(word.to_string_lossy().into_owned()))
    }

    /// Who else may use the file: the operator's choice, or the default for the access.
    #[must_use]
    pub fn lock(&self) -> Lock {
        self.lock.unwrap_or(Lock::for_access(self.access))
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(word: &str) -> Result<Self, GrantError> {
        Self::parse(word.as_ref())
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
    fn a_grant_without_an_access_is_read_only() {
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
    fn a_path_is_any_bytes() {
        let grant = Grant::parse(OsStr::from_bytes(b"d=/a\xff=\xfe:rw")).unwrap();
        assert_eq!(grant.path.as_os_str().as_bytes(), b"/a\xff=\xfe");
        assert_eq!(grant.access, Access::ReadWrite);
        assert!(Grant::parse(OsStr::from_bytes(b"d\xff=/a")).is_err());
    }

    #[test]
    fn half_a_grant_is_none() {
        for word in ["", "d", "d=", "=/a", "d=:rw"] {
            assert_eq!(parse(word), None, "{word}");
        }
    }
}
