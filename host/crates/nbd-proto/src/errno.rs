//! The eight error values of the NBD protocol.

use core::fmt;

/// An error value of the transmission phase (section "Error values"). Zero means success and has no variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Errno {
    /// `NBD_EPERM`: operation not permitted, such as a write to a read-only export.
    Eperm = 1,
    /// `NBD_EIO`: input/output error.
    Eio = 5,
    /// `NBD_ENOMEM`: cannot allocate memory. "The server SHOULD NOT return `NBD_ENOMEM` if at all
    /// possible."
    Enomem = 12,
    /// `NBD_EINVAL`: invalid argument.
    Einval = 22,
    /// `NBD_ENOSPC`: no space left on device, such as for a write past the end.
    Enospc = 28,
    /// `NBD_EOVERFLOW`: value too large. Only for a READ with DF, see [`Errno::permitted_for`].
    Eoverflow = 75,
    /// `NBD_ENOTSUP`: operation not supported. Only for a WRITE_ZEROES with FAST_ZERO, see
    /// [`Errno::permitted_for`].
    Enotsup = 95,
    /// `NBD_ESHUTDOWN`: the server is shutting down.
    Eshutdown = 108,
}

impl Errno {
    /// The value on the wire, never zero.
    #[must_use]
    pub const fn to_wire(self) -> u32 {
        self as u32
    }

    /// The error of a value on the wire; `None` for zero, which is success. Unknown values are EINVAL:
    ///
    /// "The client SHOULD treat an unexpected error value as if it had been `NBD_EINVAL`."
    #[must_use]
    pub const fn from_wire(value: u32) -> Option<Self> {
        Some(match value {
            0 => return None,
            1 => Self::Eperm,
            5 => Self::Eio,
            12 => Self::Enomem,
            28 => Self::Enospc,
            75 => Self::Eoverflow,
            95 => Self::Enotsup,
            108 => Self::Eshutdown,
            //= proto.md#error-values
            //# The client SHOULD treat an unexpected error value as if it had been `NBD_EINVAL`, rather than
            //# disconnecting from the server.
            _ => Self::Einval,
        })
    }

    /// The specification's name without `NBD_`, such as `EPERM`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eperm => "EPERM",
            Self::Eio => "EIO",
            Self::Enomem => "ENOMEM",
            Self::Einval => "EINVAL",
            Self::Enospc => "ENOSPC",
            Self::Eoverflow => "EOVERFLOW",
            Self::Enotsup => "ENOTSUP",
            Self::Eshutdown => "ESHUTDOWN",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
