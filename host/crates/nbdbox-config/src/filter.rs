//! A filter in the form of the command line: `REFERENCE[,KEY=VALUE…]`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::str::FromStr;

use thiserror::Error;

use crate::blob_option::{BlobOption, BlobOptionError};
use crate::grant::{Grant, GrantError};
use crate::limits::{LimitError, Limits};
use crate::reference::{Reference, ReferenceError};
use crate::settings::{SettingError, Settings};

/// A filter with its settings, grants and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterWord {
    /// The filter.
    pub plugin: Reference,
    /// Its settings.
    pub settings: Settings,
    /// The blobs that it's granted.
    pub blobs: Vec<Grant>,
    /// Its own limits, as `NAME=VALUE`, which have been checked.
    limits: Vec<String>,
}

/// A mistake in the word for a filter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// The reference to a filter is missing.
    #[error(
        "the reference is missing: a filter is REFERENCE[,KEY=VALUE…], where REFERENCE is a name or a path"
    )]
    Missing,
    /// The reference is wrong.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A part that isn't a path isn't UTF-8.
    #[error("`{0}` isn't UTF-8: only paths may have other bytes")]
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
    /// A filter of the host's own has grants or limits.
    #[error(
        "`{0}` is one of the host's own filters, which take settings and no blobs or limits; for a file, write `./{0}`"
    )]
    Native(&'static str),
}

impl FilterWord {
    /// The filter's limits: its own ones, and `all` for the rest.
    ///
    /// # Errors
    /// None, because its limits have been checked.
    pub fn limits(&self, all: &Limits) -> Result<Limits, LimitError> {
        let mut limits = all.clone();
        for limit in &self.limits {
            limits.set(limit)?;
        }
        Ok(limits)
    }
}

/// `blob.NAME=PATH` is a grant, `blob-option.NAME.KEY=VALUE` an option of a grant, `limit.NAME=VALUE` a limit;
/// everything else is a setting. `,,` stands for a comma.
impl FromStr for FilterWord {
    type Err = FilterError;

    fn from_str(word: &str) -> Result<Self, FilterError> {
        Self::parse(word.as_ref())
    }
}

impl FilterWord {
    /// Parses a word of the command line, in which paths may have any bytes.
    ///
    /// # Errors
    /// The first mistake, quoted.
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

/// Splits at commas. Two commas stand for one that doesn't split.
fn split(word: &OsStr) -> Vec<OsString> {
    let mut parts = vec![Vec::new()];
    let mut rest = word.as_bytes().iter().peekable();
    while let Some(byte) = rest.next() {
        let part = parts.last_mut().expect("the list begins with one part");
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
    fn mistakes_are_quoted() {
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
