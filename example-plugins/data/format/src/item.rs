//! The items of a text, before evaluation.

use std::rc::Rc;

/// One expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// `0x55`, `"text"`, `le32:1`, or several of them in a row.
    Bytes(Vec<u8>),
    /// `@OFFSET`
    Seek(u64),
    /// `@+N`
    Forward(u64),
    /// `@-N`
    Back(u64),
    /// `@^N`, a power of two.
    Align(u64),
    /// `<NAME`
    File(String),
    /// `\NAME`
    Name(String),
    /// `expression -> \NAME`
    Assign(Rc<Item>, String),
    /// `expression*N`
    Repeat(Rc<Item>, u64),
    /// `expression[from:to]`; without `to` up to the end.
    Slice(Rc<Item>, u64, Option<u64>),
    /// `( … )` and `$NAME`
    Group(Rc<[Item]>),
}

impl Item {
    /// Whether it is a run of bytes, which can be repeated, sliced and named.
    pub(crate) fn is_data(&self) -> bool {
        !matches!(
            self,
            Self::Seek(_) | Self::Forward(_) | Self::Back(_) | Self::Align(_)
        )
    }
}
