//! References to plugins and filters: a path, a name that is looked up, or an address in a registry.
//!
//! ```text
//! REFERENCE = PATH | OCI | NAME
//! PATH      contains "/" or ends in ".wasm"
//! OCI       = "oci://" HOST [":" PORT] "/" REPOSITORY [":" TAG] ["@sha256:" 64 hex digits]
//! NAME      = [a-z0-9][a-z0-9-]{0,63}
//! ```
//!
//! So a name never means a file in the working folder, and a file is never taken for a name.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::native::NativeName;

/// The most characters of a name.
const NAME: usize = 64;

/// The scheme of an address in a registry.
const OCI: &str = "oci://";

/// A reference to a plugin or filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reference {
    /// The file at this path, which may have any bytes.
    Path(#[serde(with = "crate::config::passed")] PathBuf),
    /// A plugin or filter that is looked up by this name.
    Name(String),
    /// An artifact in a registry.
    Registry(Artifact),
}

/// An artifact in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The registry's host, and its port if there is one.
    pub host: String,
    /// The repository, with slashes.
    pub repository: String,
    /// The tag.
    pub tag: Option<String>,
    /// The required SHA-256 of the artifact's manifest, in lower-case hexadecimal.
    pub digest: Option<String>,
}

/// The word isn't a reference.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// The word is neither a path nor a name.
    #[error(
        "`{0}` isn't the name of a plugin: 1 to {NAME} of a-z, 0-9 and `-`, without a `-` at the start; for a \
         file of that name, write ./{0}"
    )]
    Name(String),
    /// The word isn't an address in a registry.
    #[error(
        "`{0}` isn't oci://HOST[:PORT]/REPOSITORY[:TAG][@sha256:DIGEST]; for a file of that name, write ./{0}"
    )]
    Registry(String),
}

impl Reference {
    /// Parses a reference.
    ///
    /// # Errors
    /// The word is none of the three. The message shows how to write a file of that name.
    pub fn parse(word: &OsStr) -> Result<Self, ReferenceError> {
        let bytes = word.as_bytes();
        let shown = || word.to_string_lossy().into_owned();
        if bytes.starts_with(OCI.as_bytes()) {
            let artifact = word.to_str().and_then(Artifact::parse);
            let artifact = artifact.ok_or_else(|| ReferenceError::Registry(shown()))?;
            return Ok(Self::Registry(artifact));
        }
        if bytes.contains(&b'/') || bytes.ends_with(b".wasm") {
            return Ok(Self::Path(word.into()));
        }
        match word.to_str() {
            Some(name) if is_name(name) => Ok(Self::Name(name.to_owned())),
            _ => Err(ReferenceError::Name(shown())),
        }
    }
}

impl Reference {
    /// For a filter: the filter of the host's own that has this name. These names come before all others.
    #[must_use]
    pub fn native(&self) -> Option<NativeName> {
        match self {
            Self::Name(name) => NativeName::named(name),
            Self::Path(_) | Self::Registry(_) => None,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Name(name) => f.write_str(name),
            Self::Registry(artifact) => write!(f, "{artifact}"),
        }
    }
}

impl Artifact {
    fn parse(word: &str) -> Option<Self> {
        let rest = word.strip_prefix(OCI)?;
        let (host, rest) = rest.split_once('/')?;
        let (rest, digest) = match rest.split_once("@sha256:") {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        let is_word = |word: &str, more: &[u8]| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
            !word.is_empty() && word.bytes().all(fits)
        };
        let fits = is_word(host, b".-_:[]")
            && repository.split('/').all(|part| is_word(part, b"._-"))
            && !repository.bytes().any(|byte| byte.is_ascii_uppercase())
            && tag.is_none_or(|tag| is_word(tag, b"._-") && tag.len() <= 128)
            && digest.is_none_or(|digest| {
                digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
        fits.then(|| Self {
            host: host.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_ascii_lowercase),
        })
    }
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OCI}{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@sha256:{digest}")?;
        }
        Ok(())
    }
}

/// Whether a word has the form of a plugin's name.
#[must_use]
pub fn is_name(word: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME).contains(&word.len()) && !word.starts_with('-') && word.bytes().all(fits)
}

/// The name that is most like `wanted`, if one is like it at all: with the fewest letters added, removed, exchanged or
/// swapped with the next one. Among equals, a name that continues `wanted`.
#[must_use]
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let named = names.into_iter().map(|name| {
        let goes_on = name.starts_with(wanted);
        (distance(wanted, name), !goes_on, name)
    });
    let (distance, _, name) = named.min()?;
    (distance <= 1 + wanted.len().min(name.len()) / 3).then_some(name)
}

/// The number of such steps from one word to the other (optimal string alignment). Both are at most as long as a name.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut before = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, a) in one.iter().enumerate() {
        let mut this = vec![row + 1];
        for (column, b) in other.iter().enumerate() {
            let mut least = (last[column] + usize::from(a != b))
                .min(last[column + 1] + 1)
                .min(this[column] + 1);
            if row > 0 && column > 0 && *a == other[column - 1] && one[row - 1] == *b {
                least = least.min(before[column - 1] + 1);
            }
            this.push(least);
        }
        before = std::mem::replace(&mut last, this);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(word: &str) -> Result<Reference, ReferenceError> {
        Reference::parse(word.as_ref())
    }

    #[test]
    fn a_name_of_the_hosts_own_is_no_file() {
        let native = |word: &str| parse(word).ok().and_then(|word| word.native());
        assert_eq!(native("delay"), Some(NativeName::Delay));
        for word in ["./delay", "delay.wasm", "delays", "Delay"] {
            assert_eq!(native(word), None, "{word}");
        }
    }

    #[test]
    fn paths_names_and_registries_are_told_apart() {
        for word in [
            "a.wasm",
            "./a",
            "a/b",
            "/a",
            ".wasm",
            "A.wasm",
            "https://a/b",
            "./oci://a",
        ] {
            assert_eq!(parse(word), Ok(Reference::Path(word.into())), "{word}");
        }
        let odd = OsStr::from_bytes(b"\xff/a");
        assert_eq!(Reference::parse(odd), Ok(Reference::Path(odd.into())));
        for word in ["a", "qcow2", "partition-filter", "0", &"x".repeat(64)] {
            assert_eq!(parse(word), Ok(Reference::Name(word.to_owned())), "{word}");
        }
        let digest = "0".repeat(64);
        for word in [
            "oci://ghcr.io/a/b:1",
            "oci://[::1]:5000/a",
            &format!("oci://h:1/a_b/c:v1@sha256:{digest}"),
        ] {
            let reference = parse(word).unwrap();
            assert!(matches!(reference, Reference::Registry(_)), "{word}");
            assert_eq!(reference.to_string(), word);
        }
    }

    #[test]
    fn the_error_for_any_other_word_shows_how_to_write_a_file() {
        for word in [
            "",
            "Plugin",
            "my_plugin",
            "-a",
            "a b",
            "plugin.WASM",
            "ü",
            "a.b",
            &"x".repeat(65),
            "oci:a",
        ] {
            let error = parse(word).unwrap_err().to_string();
            assert!(error.contains(&format!("./{word}")), "{word}: {error}");
        }
        assert!(Reference::parse(OsStr::from_bytes(b"\xff")).is_err());
        for word in [
            "oci://",
            "oci://h",
            "oci://h/",
            "oci:///a",
            "oci://h/A",
            "oci://h/a//b",
            "oci://h/a:",
            "oci://h/a@sha256:1",
            "oci://h/a?b",
        ] {
            let error = parse(word).unwrap_err().to_string();
            assert!(
                error.contains("REPOSITORY") && error.contains(&format!("./{word}")),
                "{word}: {error}"
            );
        }
    }

    #[test]
    fn the_nearest_is_found_if_it_is_near() {
        let names = ["pattern", "partition", "qcow2", "cow", "file", "zero"];
        for (wanted, name) in [
            ("patern", Some("pattern")),
            ("pattren", Some("pattern")),
            ("qcow", Some("qcow2")),
            ("partitions", Some("partition")),
            ("fiel", Some("file")),
            ("kubernetes", None),
            ("x", None),
        ] {
            assert_eq!(nearest(wanted, names), name, "{wanted}");
        }
        assert_eq!(nearest("a", []), None);
    }
}
