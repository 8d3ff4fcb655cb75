//! A system call that a list allows, with conditions on its arguments.

use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

/// A system call that is allowed if its arguments meet all conditions.
pub(super) struct Call {
    pub(super) number: i64,
    arguments: &'static [Argument],
}

/// A condition on an argument. Flags and numbers are 32 bits wide, and the kernel ignores the upper half; a pointer is
/// compared as a whole.
pub(super) enum Argument {
    /// The bits of `mask` in the lower half have this value.
    Bits { index: u8, mask: u32, value: u32 },
    /// The argument is the null pointer.
    Null { index: u8 },
}

/// Allows a call with any arguments.
pub(super) const fn any(number: i64) -> Call {
    Call {
        number,
        arguments: &[],
    }
}

/// Allows a call if its arguments meet all of these conditions.
pub(super) const fn with(number: i64, arguments: &'static [Argument]) -> Call {
    Call { number, arguments }
}

/// The condition that the argument at `index`, counted from 0, is this number.
pub(super) const fn is(index: u8, value: i32) -> Argument {
    Argument::Bits {
        index,
        mask: u32::MAX,
        value: value.cast_unsigned(),
    }
}

/// The condition that the argument at `index`, counted from 0, is this request of ioctl(2).
#[expect(
    clippy::cast_possible_truncation,
    reason = "the kernel looks at 32 bits of it (ioctl(2))"
)]
pub(super) const fn is_request(index: u8, request: u64) -> Argument {
    Argument::Bits {
        index,
        mask: u32::MAX,
        value: request as u32,
    }
}

/// The condition that the argument at `index` has all of these bits.
pub(super) const fn has(index: u8, bits: i32) -> Argument {
    Argument::Bits {
        index,
        mask: bits.cast_unsigned(),
        value: bits.cast_unsigned(),
    }
}

/// The condition that the argument at `index` has none of these bits.
pub(super) const fn lacks(index: u8, bits: i32) -> Argument {
    Argument::Bits {
        index,
        mask: bits.cast_unsigned(),
        value: 0,
    }
}

/// The condition that the argument at `index` is the null pointer.
pub(super) const fn null(index: u8) -> Argument {
    Argument::Null { index }
}

impl Call {
    /// The rules for seccompiler. No rule means any arguments.
    pub(super) fn rules(&self) -> Result<Vec<SeccompRule>, BackendError> {
        if self.arguments.is_empty() {
            return Ok(Vec::new());
        }
        let conditions = self.arguments.iter().map(Argument::condition);
        Ok(vec![SeccompRule::new(
            conditions.collect::<Result<_, _>>()?,
        )?])
    }
}

#[cfg(test)]
impl Call {
    /// Whether the conditions on the argument at `at` hold for `value`.
    pub(super) fn allows(&self, at: u8, value: i32) -> bool {
        self.arguments.iter().all(|argument| match *argument {
            Argument::Bits {
                index,
                mask,
                value: wanted,
            } => index != at || value.cast_unsigned() & mask == wanted,
            Argument::Null { index } => index != at || value == 0,
        })
    }
}

impl Argument {
    fn condition(&self) -> Result<SeccompCondition, BackendError> {
        use SeccompCmpArgLen::{Dword, Qword};
        use SeccompCmpOp::{Eq, MaskedEq};
        match *self {
            Self::Bits { index, mask, value } => {
                let compare = MaskedEq(u64::from(mask));
                SeccompCondition::new(index, Dword, compare, u64::from(value))
            }
            Self::Null { index } => SeccompCondition::new(index, Qword, Eq, 0),
        }
    }
}
