//! A filter as it's written on the command line: `REFERENCE[,KEY=VALUE…]`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::str::FromStr;

use thiserror::Error;

use crate::blob_option::{BlobOption, BlobOptionError};
use crate::grant::{Grant, GrantError};
use crate::limits::{LimitError, Limits};
use crate::reference::{Reference, ReferenceError};
use crate::settings::{SettingError, Settings};

/// A filter, and what it's given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterWord {
    /// The filter.
    pub plugin: Reference,
    /// Its settings.
    pub settings: Settings,
    /// What it's granted.
    pub blobs: Vec<Grant>,
    /// Limits of its own, as `NAME=VALUE`; each fits.
    limits: Vec<String>,
}

/// A word that is no filter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// No filter.
    #[error(
        "a filter is REFERENCE[,KEY=VALUE…], and here the reference is missing: a name, or a path"
    )]
    Missing,
    /// It's none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Something else than a path isn't text.
    #[error("`{0}` isn't UTF-8: only paths may be any bytes")]
    Text(String),
    /// A setting is wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A grant is wrong.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A blob is granted twice.
    #[error("the blob `{0}` is granted twice")]
    Twice(String),
    /// An option of a blob is wrong.
    #[error(transparent)]
    BlobOption(#[from] BlobOptionError),
    /// A limit is wrong.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Grants or limits for a filter of the host's own.
    #[error(
        "`{0}` is a filter of the host's own: it has settings, and no blobs or limits; a file of that name is `./{0}`"
    )]
    Native(&'static str),
}

impl FilterWord {
    /// The filter's limits: its own, and for the rest those that all layers have.
    ///
    /// # Errors
    /// None: they were checked.
    pub fn limits(&self, all: &Limits) -> Result<Limits, LimitError> {
        let mut limits = all.clone();
        for limit in &self.limits {
            limits.set(limit)?;
        }
        Ok(limits)
    }
}

/// `blob.NAME=PATH` is a grant, `blob-option.NAME.KEY=VALUE` an option of one, `limit.NAME=VALUE` a limit, everything
/// else a setting. `,,` stands for a comma.
impl FromStr for FilterWord {
    type Err = FilterError;

    fn from_str(word: &str) -> Result<Self, FilterError> {
        Self::parse(word.as_ref())
    }
}

impl FilterWord {
    /// Reads a word of the command line, in which paths are any bytes.
    ///
    /// # Errors
    /// What is wrong, quoted.
    pub fn parse(word: &OsStr) -> Result<Self, FilterError> {
        let mut parts = split(word).into_iter();
        let plugin = parts.next().filter(|file| !file.is_empty());
        let plugin = plugin.ok_or(FilterError::Missing)?;
        let plugin = Reference::parse(&plugin)?;
        let (mut settings, mut limits) = (Vec::new(), Vec::new());
        let mut blobs: Vec<Grant> = Vec::new();
        let mut options: Vec<BlobOption> = Vec::new();
        for part in parts {
            if let Some(grant) = part.as_bytes().strip_prefix(b"blob.") {
                let grant = Grant::parse(OsStr::from_bytes(grant))?;
                if blobs.iter().any(|blob| blob.name == grant.name) {
                    return Err(FilterError::Twice(grant.name));
                }
                blobs.push(grant);
                continue;
            }
            let part = part
                .into_string()
                .map_err(|part| FilterError::Text(part.to_string_lossy().into_owned()))?;
            if let Some(option) = part.strip_prefix("blob-option.") {
                options.push(option.parse()?);
            } else if let Some(limit) = part.strip_prefix("limit.") {
                Limits::default().set(limit)?;
                limits.push(limit.to_owned());
            } else {
                settings.push(part);
            }
        }
        BlobOption::set_all(&options, &mut blobs)?;
        if let Some(native) = plugin.native()
            && !(blobs.is_empty() && limits.is_empty())
        {
            return Err(FilterError::Native(native.as_str()));
        }
        Ok(Self {
            plugin,
            settings: Settings::parse(&settings)?,
            blobs,
            limits,
        })
    }
}

/// Splits at commas, of which two stand for one that doesn't split.
fn split(word: &OsStr) -> Vec<OsString> {
    let mut parts = vec![Vec::new()];
    let mut rest = word.as_bytes().iter().peekable();
    while let Some(byte) = rest.next() {
        let part = parts.last_mut().expect("there is one from the start");
        if *byte != b',' {
            part.push(*byte);
        } else if rest.next_if_eq(&&b',').is_some() {
            part.push(b',');
        } else {
            parts.push(Vec::new());
        }
    }
    parts.into_iter().map(OsString::from_vec).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::grant::Access;
    use crate::lock::Lock;

    fn parse(word: &str) -> Result<FilterWord, FilterError> {
        word.parse()
    }

    #[test]
    fn settings_grants_and_limits_are_told_apart() {
        let word = "cow.wasm,blob-option.overlay.lock=shared,block=4K,blob.overlay=/a,,b:rw,limit.memory=1G";
        let filter = parse(word).unwrap();
        assert_eq!(filter.plugin, Reference::Path("cow.wasm".into()));
        assert_eq!(filter.settings.get("block"), Some("4K"));
        assert_eq!(filter.settings.iter().count(), 1);
        assert_eq!(filter.blobs.len(), 1);
        assert_eq!(filter.blobs[0].path, Path::new("/a,b"));
        assert_eq!(filter.blobs[0].access, Access::ReadWrite);
        assert_eq!(filter.blobs[0].lock, Some(Lock::Shared));
        let all = Limits {
            extents: 7,
            ..Limits::default()
        };
        let limits = filter.limits(&all).unwrap();
        assert_eq!((limits.memory, limits.extents), (1 << 30, 7));
    }

    #[test]
    fn paths_are_any_bytes_and_the_rest_is_text() {
        let word = OsStr::from_bytes(b"f\xff.wasm,blob.x=/a\xff,,b:rw,block=4K");
        let filter = FilterWord::parse(word).unwrap();
        assert_eq!(
            filter.plugin,
            Reference::Path(OsStr::from_bytes(b"f\xff.wasm").into())
        );
        assert_eq!(filter.blobs[0].path.as_os_str().as_bytes(), b"/a\xff,b");
        let error = FilterWord::parse(OsStr::from_bytes(b"f.wasm,block=\xff"));
        assert!(matches!(error, Err(FilterError::Text(_))));
    }

    #[test]
    fn what_is_wrong_is_quoted() {
        for (word, wrong) in [
            ("", "the reference is missing"),
            (",a=b", "the reference is missing"),
            ("Cow,a=b", "./Cow"),
            ("f.wasm,block", "`block`"),
            ("f.wasm,a=1,a=2", "`a=`"),
            ("f.wasm,blob.x=", "`x=`"),
            ("f.wasm,blob.x=/a,blob.x=/b", "`x`"),
            ("f.wasm,blob-option.x.lock=none", "no blob `x`"),
            ("f.wasm,blob.x=/a,blob-option.x.etag=1", "the keys are lock"),
            ("f.wasm,limit.room=1", "`room`"),
            ("delay,limit.memory=1M", "`./delay`"),
            ("log,blob.x=/a", "no blobs"),
        ] {
            let error = parse(word).unwrap_err().to_string();
            assert!(error.contains(wrong), "{word}: {error}");
        }
    }
}
