//! The descriptor: lines of text that say of which files a disk is made. Their names are texts to show and
//! compare: nobody opens them.

use crate::{Error, Result, SECTOR};

/// Bytes of a descriptor in a file of its own. Restrains the image's author.
pub const MAX_FILE: u64 = 1 << 20;

/// Extents of a disk. Restrains the image's author; QEMU's own images have one for each 2 GiB.
const MAX_EXTENTS: usize = 4096;

/// What an extent is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtentKind {
    /// Zeroes, without a file.
    Zero,
    /// A part of a plain file.
    Flat {
        /// What the image calls it.
        name: String,
        /// Where it starts there, in bytes.
        offset: u64,
    },
    /// A sparse file.
    Sparse {
        /// What the image calls it.
        name: String,
    },
}

/// A part of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// In bytes.
    pub length: u64,
    /// Where its bytes are.
    pub kind: ExtentKind,
}

/// What a disk is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// The parent that it stands on, by the name that the image has for it.
    pub parent: Option<String>,
    /// One after the other.
    pub extents: Vec<Extent>,
}

impl Descriptor {
    /// Whether a file begins as a descriptor does.
    pub fn is_at(first: &[u8]) -> bool {
        first.starts_with(b"# Disk DescriptorFile")
    }

    /// Reads its text up to a NUL; lines that say nothing of where data is are left out.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        let (mut descriptor, mut hint, mut has_parent) = (Self::default(), None, false);
        for line in text.lines().map(str::trim) {
            if let Some((key, value)) = assignment(line) {
                match key.to_ascii_lowercase().as_str() {
                    "parentcid" => has_parent = !value.eq_ignore_ascii_case("ffffffff"),
                    "parentfilenamehint" => hint = Some(value.to_owned()),
                    _ => {}
                }
            } else if let Some(extent) = extent(line)? {
                descriptor.extents.push(extent);
            }
        }
        if descriptor.extents.len() > MAX_EXTENTS {
            let count = descriptor.extents.len();
            return Err(Error::malformed(format!("a disk of {count} extents")));
        }
        descriptor.parent = has_parent.then(|| hint.unwrap_or_default());
        Ok(descriptor)
    }
}

/// `KEY=VALUE` or `KEY = "VALUE"`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    let word = !key.is_empty() && !key.contains([' ', '"', '#']);
    word.then(|| (key, value.trim().trim_matches('"')))
}

/// `ACCESS SECTORS KIND ["NAME" [OFFSET]]`; `None` for any other line.
fn extent(line: &str) -> Result<Option<Extent>> {
    let (head, rest) = line.split_once('"').unwrap_or((line, ""));
    let words: Vec<&str> = head.split_whitespace().collect();
    let [access @ ("RW" | "RDONLY" | "NOACCESS"), sectors, kind] = words[..] else {
        return Ok(None);
    };
    let bad = || Error::malformed(format!("an extent that can't be read: {line:?}"));
    if access == "NOACCESS" {
        return Err(Error::unsupported("an extent without access"));
    }
    let (name, offset) = rest.split_once('"').unwrap_or((rest, ""));
    let bytes = |word: &str| {
        let sectors: u64 = word.parse().ok()?;
        let bytes = sectors.checked_mul(SECTOR)?;
        (bytes <= i64::MAX as u64).then_some(bytes)
    };
    let offset = match offset.trim() {
        "" => 0,
        word => bytes(word).ok_or_else(bad)?,
    };
    let name = name.to_owned();
    let kind = match kind {
        "ZERO" => ExtentKind::Zero,
        "FLAT" | "VMFS" => ExtentKind::Flat { name, offset },
        "SPARSE" => ExtentKind::Sparse { name },
        other => return Err(Error::unsupported(format!("an extent of kind {other:?}"))),
    };
    let length = bytes(sectors)
        .filter(|length| *length > 0)
        .ok_or_else(bad)?;
    Ok(Some(Extent { length, kind }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_and_a_parent_are_found_among_other_lines() {
        let text = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=fffffffe\n\
                    parentFileNameHint=\"/etc/passwd\"\ncreateType=\"twoGbMaxExtentFlat\"\n\
                    \n# Extent description\nRW 10 FLAT \"a b.vmdk\" 3\nRW 5 ZERO\n\
                    RDONLY 7 SPARSE \"s.vmdk\"\n#DDB\nddb.adapterType = \"ide\"\n\0RW 1 ZERO\n";
        let descriptor = Descriptor::parse(text.as_bytes()).unwrap();
        assert_eq!(descriptor.parent.as_deref(), Some("/etc/passwd"));
        let kinds: Vec<_> = descriptor.extents.into_iter().collect();
        let name = |name: &str| name.to_owned();
        let expected = [
            (
                10,
                ExtentKind::Flat {
                    name: name("a b.vmdk"),
                    offset: 1536,
                },
            ),
            (5, ExtentKind::Zero),
            (
                7,
                ExtentKind::Sparse {
                    name: name("s.vmdk"),
                },
            ),
        ];
        let expected = expected.map(|(sectors, kind)| Extent {
            length: sectors * SECTOR,
            kind,
        });
        assert_eq!(kinds, expected);
    }

    #[test]
    fn no_parent_is_no_parent() {
        for text in [
            "",
            "parentCID=ffffffff\nparentFileNameHint=\"x\"",
            "parentCID = FFFFFFFF",
        ] {
            assert_eq!(Descriptor::parse(text.as_bytes()).unwrap().parent, None);
        }
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        for line in [
            "RW 0 ZERO",
            "RW x FLAT \"a\" 0",
            "RW 1 FLAT \"a\" -1",
            "RW 1 FLAT \"a\" 18446744073709551615",
            "RW 99999999999999999999 ZERO",
            "RW 36028797018963968 ZERO",
            "RW 1 VMFSRDM \"/dev/sda\"",
            "NOACCESS 1 ZERO",
        ] {
            assert!(Descriptor::parse(line.as_bytes()).is_err(), "{line}");
        }
        let many = "RW 1 ZERO\n".repeat(MAX_EXTENTS + 1);
        assert!(Descriptor::parse(many.as_bytes()).is_err());
    }
}
