//! Options of a blob, in addition to its path and access: `NAME.KEY=VALUE`.

use std::str::FromStr;

use thiserror::Error;

use crate::grant::Grant;
use crate::lock::{Lock, LockError};

/// All keys.
const KEYS: &str = "lock";

/// An option of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobOption {
    /// The name under which the blob is granted.
    blob: String,
    /// Its lock: the only key so far.
    lock: Lock,
}

/// A mistake in an option.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BlobOptionError {
    /// No `=`, no dot before it, or nothing before the dot.
    #[error("`{0}` isn't NAME.KEY=VALUE, as in disk.lock=shared; the keys are {KEYS}")]
    Syntax(String),
    /// No option has this key.
    #[error("`{0}`: there is no option `{1}`; the keys are {KEYS}")]
    Key(String, String),
    /// The value doesn't fit its key.
    #[error("`{0}`: {1}")]
    Lock(String, LockError),
    /// No blob of this name is granted.
    #[error("`{0}.{1}` is set, but no blob `{0}` is granted")]
    Blob(String, &'static str),
    /// The option is given twice.
    #[error("`{0}.{1}` is given twice")]
    Twice(String, &'static str),
}

impl FromStr for BlobOption {
    type Err = BlobOptionError;

    /// The name ends at the last dot before the `=`.
    fn from_str(word: &str) -> Result<Self, BlobOptionError> {
        let split = word.split_once('=');
        let split = split.and_then(|(path, value)| Some((path.rsplit_once('.')?, value)));
        match split {
            Some((("", _), _)) | None => Err(BlobOptionError::Syntax(word.to_owned())),
            Some(((blob, "lock"), value)) => Ok(Self {
                blob: blob.to_owned(),
                lock: value
                    .parse()
                    .map_err(|error| BlobOptionError::Lock(word.to_owned(), error))?,
            }),
            Some(((_, key), _)) => Err(BlobOptionError::Key(word.to_owned(), key.to_owned())),
        }
    }
}

impl BlobOption {
    /// Sets each option in its grant.
    ///
    /// # Errors
    /// An option's blob isn't granted, or an option is given twice.
    pub fn set_all(options: &[Self], grants: &mut [Grant]) -> Result<(), BlobOptionError> {
        for Self { blob, lock } in options {
            let grant = grants.iter_mut().find(|grant| grant.name == *blob);
            let grant = grant.ok_or_else(|| BlobOptionError::Blob(blob.clone(), "lock"))?;
            if grant.lock.replace(*lock).is_some() {
                return Err(BlobOptionError::Twice(blob.clone(), "lock"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(options: &[&str]) -> Result<Vec<Option<Lock>>, String> {
        let options: Result<Vec<BlobOption>, _> =
            options.iter().map(|option| option.parse()).collect();
        let options = options.map_err(|error: BlobOptionError| error.to_string())?;
        let mut grants: Vec<Grant> = ["disk=/a:rw", "b.c=/b"]
            .map(|word| word.parse().unwrap())
            .into();
        BlobOption::set_all(&options, &mut grants).map_err(|error| error.to_string())?;
        Ok(grants.into_iter().map(|grant| grant.lock).collect())
    }

    #[test]
    fn a_name_ends_at_the_last_dot() {
        assert_eq!(
            set(&["disk.lock=shared", "b.c.lock=none"]),
            Ok(vec![Some(Lock::Shared), Some(Lock::None)])
        );
        assert_eq!(set(&[]), Ok(vec![None, None]));
    }

    #[test]
    fn mistakes_are_quoted_and_the_keys_are_named() {
        for (words, wrong) in [
            (&["lock=shared"][..], "`lock=shared` isn't NAME.KEY=VALUE"),
            (&[".lock=shared"], "isn't NAME.KEY=VALUE"),
            (&["disk.lock"], "the keys are lock"),
            (
                &["disk.look=shared"],
                "there is no option `look`; the keys are lock",
            ),
            (&["disk.lock=mine"], "exclusive, shared or none"),
            (&["image.lock=none"], "no blob `image` is granted"),
            (&["disk.lock=none", "disk.lock=none"], "given twice"),
        ] {
            let error = set(words).unwrap_err();
            assert!(error.contains(wrong), "{words:?}: {error}");
        }
    }
}
