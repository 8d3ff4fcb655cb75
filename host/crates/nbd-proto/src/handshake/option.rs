//! Parses and checks a client's options (section "Option types").

use alloc::borrow::ToOwned as _;
use alloc::string::String;

use crate::bytes::Reader;
use crate::wire::{self, info, option, option_reply};
use crate::{limits, text};

/// An option's header (section "Fixed newstyle negotiation").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OptionHeader {
    /// One of [`option`], or unknown.
    pub(super) number: u32,
    /// Bytes of payload that follow.
    pub(super) length: u32,
}

/// What is at the front of the input.
pub(super) enum OptionRead {
    /// A part of a header.
    Incomplete,
    /// Bytes with the wrong magic.
    Garbage,
    /// A header.
    Header(OptionHeader),
}

impl OptionHeader {
    pub(super) fn read(input: &[u8]) -> OptionRead {
        let mut reader = Reader::new(input);
        match reader.u64() {
            None => return OptionRead::Incomplete,
            Some(wire::OPTION_MAGIC) => {}
            Some(_) => return OptionRead::Garbage,
        }
        let (Some(number), Some(length)) = (reader.u32(), reader.u32()) else {
            return OptionRead::Incomplete;
        };
        OptionRead::Header(Self { number, length })
    }

    /// Whether this server implements the option.
    pub(super) const fn is_known(self) -> bool {
        matches!(
            self.number,
            option::EXPORT_NAME
                | option::ABORT
                | option::LIST
                | option::STARTTLS
                | option::INFO
                | option::GO
                | option::STRUCTURED_REPLY
                | option::LIST_META_CONTEXT
                | option::SET_META_CONTEXT
                | option::EXTENDED_HEADERS
        )
    }
}

/// The error that answers an option: reply type and text.
pub(super) type Complaint = (u32, &'static str);

const fn invalid(text: &'static str) -> Complaint {
    (option_reply::ERR_INVALID, text)
}

/// The payload of INFO and GO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InfoOption {
    pub(super) name: String,
    pub(super) wanted: InfoWanted,
}

/// The information that a client requested. The server always sends INFO_EXPORT in addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InfoWanted {
    pub(super) name: bool,
    pub(super) description: bool,
    pub(super) block_size: bool,
}

impl InfoOption {
    /// "32 bits, length of name (unsigned); MUST be no larger than the option data length - 6;
    /// String: name of the export; 16 bits, number of information requests; 16 bits x n - list of
    /// NBD_INFO information requests".
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Complaint> {
        let mut reader = Reader::new(payload);
        let name = string(&mut reader, NO_NAME)?.to_owned();
        let count = reader
            .u16()
            .ok_or(invalid("the number of information requests is missing"))?;
        if reader.len() != usize::from(count) * 2 {
            return Err(invalid(
                "the number of information requests contradicts the option's length",
            ));
        }
        let mut wanted = InfoWanted::default();
        while let Some(request) = reader.u16() {
            match request {
                //= proto.md#option-reply-types
                //# A particular information type SHOULD only appear once for a given export unless documented
                //# otherwise.
                info::NAME => wanted.name = true,
                info::DESCRIPTION => wanted.description = true,
                info::BLOCK_SIZE => wanted.block_size = true,
                // "The server MUST ignore any information requests it does not understand."
                //= proto.md#option-types
                //# The server MUST ignore any information requests it does not understand.
                _ => {}
            }
        }
        Ok(Self { name, wanted })
    }
}

/// The payload of LIST_META_CONTEXT and SET_META_CONTEXT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MetaOption {
    pub(super) name: String,
    /// Whether the queries match `base:allocation`, the only context.
    pub(super) allocation: bool,
}

impl MetaOption {
    /// "32 bits, length of export name; String, name of export ...; 32 bits, number of queries; Zero
    /// or more queries, each being: 32 bits, length of query; String, query".
    ///
    /// "If the option request is syntactically invalid (such as a query length that would require
    /// reading beyond the original length given in the option header), the server MUST fail the
    /// request with NBD_REP_ERR_INVALID."
    pub(super) fn parse(number: u32, payload: &[u8]) -> Result<Self, Complaint> {
        let mut reader = Reader::new(payload);
        let name = string(&mut reader, NO_NAME)?.to_owned();
        let count = reader
            .u32()
            .ok_or(invalid("the number of queries is missing"))?;
        //= proto.md#option-types
        //# In this case, the server SHOULD NOT fail with `NBD_REP_ERR_TOO_BIG`.
        if count > limits::MAX_META_QUERIES {
            //= proto.md#option-types
            //# In this case, the server MAY fail with `NBD_REP_ERR_TOO_BIG` if too many queries are requested.
            //= proto.md#option-types
            //# The server MAY return `NBD_REP_ERR_TOO_BIG` if a request seeks to select too many contexts.
            return Err((
                option_reply::ERR_TOO_BIG,
                "the option has more than 128 queries",
            ));
        }
        let lists = number == option::LIST_META_CONTEXT;
        // LIST: "If zero queries are sent, then the server MUST return all the metadata contexts".
        // SET: "If zero queries are sent, the server MUST select no metadata contexts."
        //= proto.md#option-types
        //# If zero queries are sent, then the server MUST return all the metadata contexts that are available
        //# to the client to select on the given export.
        //= proto.md#option-types
        //# If zero queries are sent, the server MUST select no metadata contexts.
        let mut allocation = lists && count == 0;
        for _ in 0..count {
            //= proto.md#metadata-querying
            //# The entire name (namespace, colon, and leaf-name) MUST follow the restrictions for strings as
            //# laid out earlier in this document.
            //= proto.md#option-types
            //# The server MAY ignore queries that do not select a single metadata context
            let query = string(&mut reader, NO_QUERY)?;
            // "base:": "the server MUST ignore this form during NBD_OPT_SET_META_CONTEXT, and MUST
            // support this as a wildcard during NBD_OPT_LIST_META_CONTEXT". No other query matches: "the
            // server MUST ignore query strings belonging to an unknown namespace", and unknown leaves.
            //= proto.md#metadata-querying
            //# the empty leaf-name makes sense as a wildcard for a client query during
            //# `NBD_OPT_LIST_META_CONTEXT`, but SHOULD NOT select any contexts during
            //# `NBD_OPT_SET_META_CONTEXT`.
            //= proto.md#the-base-metadata-namespace
            //# `base:` - the server MUST ignore this form during `NBD_OPT_SET_META_CONTEXT`, and MUST support
            //# this as a wildcard during `NBD_OPT_LIST_META_CONTEXT`
            //= proto.md#the-base-metadata-namespace
            //# If a `[leaf-name]` requested by the client is not recognized, the server MUST ignore it rather
            //# than report an error.
            //= proto.md#option-types
            //# However, the server MUST ignore query strings belonging to an unknown namespace.
            allocation |= query == wire::BASE_ALLOCATION || (lists && query == "base:");
        }
        //= proto.md#option-types
        //# If the option request is syntactically invalid (such as a query length that would require reading
        //# beyond the original length given in the option header), the server MUST fail the request with
        //# `NBD_REP_ERR_INVALID`.
        if !reader.is_empty() {
            return Err(invalid("the option has bytes after its last query"));
        }
        Ok(Self { name, allocation })
    }
}

/// Reads a string after its length of 32 bits. `complaint` is the error's text if the bytes aren't a string of the
/// protocol.
fn string<'a>(reader: &mut Reader<'a>, complaint: &'static str) -> Result<&'a str, Complaint> {
    //= proto.md#option-types
    //# the server MUST fail the request with `NBD_REP_ERR_INVALID`.
    let length = reader.u32().ok_or(invalid("the option is too short"))?;
    let bytes = usize::try_from(length)
        .ok()
        .and_then(|length| reader.take(length));
    //= proto.md#option-types
    //# 32 bits, length of name (unsigned); MUST be no larger than the option data length - 6
    let bytes = bytes.ok_or(invalid("a string reaches past the end of the option"))?;
    text::parse_string(bytes).ok_or(invalid(complaint))
}

const NO_NAME: &str = "the export's name isn't UTF-8 of at most 4096 bytes without NUL";
const NO_QUERY: &str = "a query isn't UTF-8 of at most 4096 bytes without NUL";

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn sized(text: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        out.extend_from_slice(text);
        out
    }

    fn info(name: &[u8], requests: &[u16]) -> Vec<u8> {
        let mut out = sized(name);
        out.extend(u16::try_from(requests.len()).unwrap().to_be_bytes());
        out.extend(requests.iter().flat_map(|request| request.to_be_bytes()));
        out
    }

    fn meta(name: &[u8], queries: &[&[u8]]) -> Vec<u8> {
        let mut out = sized(name);
        out.extend(u32::try_from(queries.len()).unwrap().to_be_bytes());
        out.extend(queries.iter().flat_map(|query| sized(query)));
        out
    }

    fn selects(number: u32, queries: &[&[u8]]) -> bool {
        MetaOption::parse(number, &meta(b"x", queries))
            .unwrap()
            .allocation
    }

    /// Points 7, 10.
    #[test]
    fn unknown_information_requests_are_ignored() {
        let parsed = InfoOption::parse(&info(b"disk", &[3, 77, 0, 3, 2])).unwrap();
        let wanted = InfoWanted {
            name: false,
            description: true,
            block_size: true,
        };
        assert_eq!(
            parsed,
            InfoOption {
                name: "disk".into(),
                wanted
            }
        );
    }

    /// Point 9.
    #[test]
    fn every_cut_or_padded_info_option_is_invalid() {
        let whole = info(b"disk", &[1, 2]);
        for end in 0..whole.len() {
            let error = InfoOption::parse(&whole[..end]).unwrap_err();
            assert_eq!(error.0, option_reply::ERR_INVALID, "cut at {end}");
        }
        let mut padded = whole;
        padded.push(0);
        assert_eq!(
            InfoOption::parse(&padded).unwrap_err().0,
            option_reply::ERR_INVALID
        );
    }

    /// Point 9.
    #[test]
    fn a_name_longer_than_the_option_is_invalid() {
        for length in [7u32, 4097, u32::MAX] {
            let mut payload = info(b"disk12", &[]);
            payload[..4].copy_from_slice(&length.to_be_bytes());
            assert_eq!(
                InfoOption::parse(&payload).unwrap_err().0,
                option_reply::ERR_INVALID
            );
        }
    }

    /// Point 14.
    #[test]
    fn a_name_that_is_no_string_is_invalid() {
        for name in [&b"a\0b"[..], b"\xc3", &[b'x'; 4097]] {
            assert_eq!(
                InfoOption::parse(&info(name, &[])).unwrap_err().0,
                option_reply::ERR_INVALID
            );
        }
        assert!(InfoOption::parse(&info(&[b'x'; 4096], &[])).is_ok());
    }

    /// Point 32.
    #[test]
    fn every_cut_or_padded_meta_option_is_invalid() {
        let whole = meta(b"disk", &[b"base:allocation", b"x-y:z"]);
        for end in 0..whole.len() {
            let error = MetaOption::parse(option::SET_META_CONTEXT, &whole[..end]).unwrap_err();
            assert_eq!(error.0, option_reply::ERR_INVALID, "cut at {end}");
        }
        let mut padded = whole;
        padded.push(0);
        let error = MetaOption::parse(option::LIST_META_CONTEXT, &padded).unwrap_err();
        assert_eq!(error.0, option_reply::ERR_INVALID);
    }

    /// Point 33.
    #[test]
    fn list_takes_no_query_and_the_wildcard_for_all() {
        let list = option::LIST_META_CONTEXT;
        assert!(selects(list, &[]));
        assert!(selects(list, &[b"base:"]));
        assert!(selects(list, &[b"x-a:", b"base:allocation"]));
        assert!(!selects(list, &[b"qemu:", b"base:other", b"base", b""]));
    }

    /// Point 34.
    #[test]
    fn set_selects_only_the_exact_name() {
        let set = option::SET_META_CONTEXT;
        assert!(!selects(set, &[]));
        assert!(!selects(set, &[b"base:"]));
        assert!(!selects(set, &[b"base:allocations", b"nosuch:allocation"]));
        assert!(selects(
            set,
            &[b"base:", b"base:allocation", b"base:allocation"]
        ));
    }

    #[test]
    fn too_many_queries_are_too_big() {
        let queries = vec![&b"base:"[..]; 129];
        let error = MetaOption::parse(option::SET_META_CONTEXT, &meta(b"", &queries)).unwrap_err();
        assert_eq!(error.0, option_reply::ERR_TOO_BIG);
        let announced = [&[0; 4][..], &[0xff; 4]].concat();
        let error = MetaOption::parse(option::LIST_META_CONTEXT, &announced).unwrap_err();
        assert_eq!(error.0, option_reply::ERR_TOO_BIG);
    }
}
