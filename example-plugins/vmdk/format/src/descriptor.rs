//! The descriptor: lines of text that list the files of a disk. The names are only logged and compared, never opened.

use crate::{Error, Result, SECTOR};

/// The most bytes of a descriptor in a file of its own. Restrains the image's author.
pub const MAX_FILE: u64 = 1 << 20;

/// The most extents of a disk. Restrains the image's author; images of QEMU have one for each 2 GiB.
const MAX_EXTENTS: usize = 4096;

/// The contents of an extent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtentKind {
    /// Zeroes, without a file.
    Zero,
    /// A part of a plain file.
    Flat {
        /// What the image calls it.
        name: String,
        /// Its start in that file, in bytes.
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
    /// Its contents.
    pub kind: ExtentKind,
}

/// The contents of a descriptor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// The name of the parent, as the image has it.
    pub parent: Option<String>,
    /// The extents, one after the other.
    pub extents: Vec<Extent>,
}

impl Descriptor {
    /// Parses the text up to a NUL, and skips lines that don't concern the place of data. `None`: no line belongs to a
    /// descriptor. Comments and blank lines are skipped, except that the usual first comment makes a text a descriptor.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        Self::read(bytes, extent)
    }

    /// The parent that the descriptor inside a sparse file names. Its extents are ignored, because the file is the
    /// disk.
    pub fn parent(bytes: &[u8]) -> Result<Option<String>> {
        let descriptor = Self::read(bytes, |_| Ok(None))?;
        Ok(descriptor.and_then(|descriptor| descriptor.parent))
    }

    fn read(bytes: &[u8], extent: fn(&str) -> Result<Option<Extent>>) -> Result<Option<Self>> {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        let text = text.trim_start_matches(BYTE_ORDER_MARK);
        let (mut descriptor, mut hint, mut has_parent) = (Self::default(), None, false);
        let mut is_one = false;
        for line in text.split(['\n', '\r']).map(str::trim) {
            if let Some(comment) = line.strip_prefix('#') {
                is_one |= is_title(comment);
            } else if let Some((key, value)) = assignment(line) {
                let key = key.to_ascii_lowercase();
                is_one |= KEYS.contains(&key.as_str()) || key.starts_with("ddb.");
                match key.as_str() {
                    "parentcid" => has_parent = !is_nobody(value),
                    "parentfilenamehint" => hint = Some(value.to_owned()),
                    _ => {}
                }
            } else if let Some(extent) = extent(line)? {
                is_one = true;
                descriptor.extents.push(extent);
            }
        }
        if descriptor.extents.len() > MAX_EXTENTS {
            let count = descriptor.extents.len();
            return Err(Error::malformed(format!("too many extents: {count}")));
        }
        descriptor.parent = has_parent.then(|| hint.unwrap_or_default());
        Ok(is_one.then_some(descriptor))
    }
}

/// The byte order mark, which editors may write at the start of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The keys of a descriptor, in lower case. Keys of the disk's geometry begin with `ddb.`.
const KEYS: [&str; 7] = [
    "version",
    "encoding",
    "cid",
    "parentcid",
    "isnativesnapshot",
    "createtype",
    "parentfilenamehint",
];

/// The comment at the start of most descriptors, in lower case and without blanks.
fn is_title(comment: &str) -> bool {
    let letters = comment.split_whitespace().collect::<String>();
    letters.eq_ignore_ascii_case("diskdescriptorfile")
}

/// The content identifier that means: no parent.
fn is_nobody(cid: &str) -> bool {
    let cid = cid.trim_start_matches("0x").trim_start_matches("0X");
    u32::from_str_radix(cid, 16) == Ok(u32::MAX)
}

/// Parses `KEY=VALUE` or `KEY = "VALUE"`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    let word = !key.is_empty() && !key.contains([' ', '\t', '"']);
    word.then(|| (key, value.trim().trim_matches('"')))
}

/// Parses `ACCESS SECTORS KIND ["NAME" [OFFSET]]`, and ignores further words. `None` for any other line.
fn extent(line: &str) -> Result<Option<Extent>> {
    let words = words(line);
    let upper = |index: usize| words.get(index).map(|word| word.to_ascii_uppercase());
    let access = upper(0).unwrap_or_default();
    if !matches!(access.as_str(), "RW" | "RDONLY" | "NOACCESS") {
        return Ok(None);
    }
    let bad = || Error::malformed(format!("invalid extent: {line:?}"));
    if access == "NOACCESS" {
        return Err(Error::unsupported("an extent with NOACCESS"));
    }
    let bytes = |word: &str| {
        let sectors: u64 = word.parse().ok()?;
        let bytes = sectors.checked_mul(SECTOR)?;
        (bytes <= i64::MAX as u64).then_some(bytes)
    };
    let length = words.get(1).and_then(|word| bytes(word));
    let length = length.filter(|length| *length > 0).ok_or_else(bad)?;
    let name = || words.get(3).map(|name| (*name).to_owned()).ok_or_else(bad);
    let kind = match upper(2).ok_or_else(bad)?.as_str() {
        "ZERO" => ExtentKind::Zero,
        "FLAT" | "VMFS" => ExtentKind::Flat {
            name: name()?,
            offset: match words.get(4) {
                None => 0,
                Some(word) => bytes(word).ok_or_else(bad)?,
            },
        },
        "SPARSE" => ExtentKind::Sparse { name: name()? },
        other => return Err(Error::unsupported(format!("extent kind {other:?}"))),
    };
    Ok(Some(Extent { length, kind }))
}

/// The words of a line. A word in quotes may contain spaces.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => {
                let end = rest.find([' ', '\t', '"']).unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
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
        let descriptor = Descriptor::parse(text.as_bytes()).unwrap().unwrap();
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
            "version=1",
            "parentCID=ffffffff\nparentFileNameHint=\"x\"",
            "parentCID = FFFFFFFF",
            "parentCID=0xffffffff",
        ] {
            let parsed = Descriptor::parse(text.as_bytes()).unwrap();
            assert_eq!(parsed.unwrap().parent, None, "{text}");
        }
    }

    #[test]
    fn any_spelling_is_read() {
        let expected = ExtentKind::Flat {
            name: "a b".to_owned(),
            offset: 1024,
        };
        for text in [
            "version=1\nRW 8 FLAT \"a b\" 2\n",
            "\u{feff}# Disk DescriptorFile\r\nversion=1\r\nRW 8 FLAT \"a b\" 2\r\n",
            "\n\n \t\n#made by hand\nCreateType = \"custom\"\nrw 8 flat \"a b\" 2",
            "#disk descriptor file\r  RW\t8  FLAT\t\"a b\"  2 \"uuid\" more\r",
            "RW 8 FLAT\"a b\"2\n# RW 8 ZERO\n#RW 8 ZERO",
            "RDONLY 8 VMFS \"a b\" 2 partition-uuid=1 x",
        ] {
            let parsed = Descriptor::parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(parsed.extents.len(), 1, "{text}");
            assert_eq!(parsed.extents[0].kind, expected, "{text}");
            assert_eq!(parsed.extents[0].length, 4096, "{text}");
        }
    }

    #[test]
    fn a_parent_is_found_whatever_the_extents_are() {
        let text = "CID=1\nparentCID=2\nRW nonsense\nNOACCESS 1 X\nparentFileNameHint=\"p\"\n";
        assert!(Descriptor::parse(text.as_bytes()).is_err());
        let parent = Descriptor::parent(text.as_bytes()).unwrap();
        assert_eq!(parent.as_deref(), Some("p"));
        assert_eq!(Descriptor::parent(b"RW nonsense"), Ok(None));
    }

    #[test]
    fn other_texts_are_no_descriptors() {
        for text in [
            "",
            "# a comment\n",
            "key=value\n",
            "RWX 8 ZERO\n",
            "KDMX\u{1}\0version=1",
        ] {
            assert_eq!(Descriptor::parse(text.as_bytes()), Ok(None), "{text}");
        }
        let title = Descriptor::parse(b"#DISK Descriptor FILE").unwrap();
        assert_eq!(title, Some(Descriptor::default()));
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
            "RW 1",
            "RW 1 FLAT",
            "RW 1 SPARSE",
            "RW 1 FLAT \"a\" b",
            "NOACCESS 1 ZERO",
        ] {
            assert!(Descriptor::parse(line.as_bytes()).is_err(), "{line}");
        }
        let many = "RW 1 ZERO\n".repeat(MAX_EXTENTS + 1);
        assert!(Descriptor::parse(many.as_bytes()).is_err());
    }
}
