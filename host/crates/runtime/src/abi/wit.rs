//! The types of `wit/` as wasmtime lifts and lowers them, and the names of the interfaces.
//!
//! When the host links a component, wasmtime checks these types against the component's own. So a difference from the
//! WIT files fails the load of every plugin.

#![expect(
    dead_code,
    reason = "wasmtime constructs enum cases from the guest's values"
)]

use extent_map::Kind;
use wasmtime::component::{ComponentType, Lift, Lower, flags};

/// The package's name, with which the name of each of its interfaces begins.
pub(crate) const PACKAGE: &str = "nbdbox:plugin";

/// The full name of one of the package's interfaces.
macro_rules! interface {
    ($name:literal) => {
        concat!("nbdbox:plugin/", $name, "@0.1.0")
    };
}
pub(crate) use interface;

/// `types.errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Errno {
    #[component(name = "eperm")]
    Eperm,
    #[component(name = "eio")]
    Eio,
    #[component(name = "enomem")]
    Enomem,
    #[component(name = "einval")]
    Einval,
    #[component(name = "enospc")]
    Enospc,
    #[component(name = "eoverflow")]
    Eoverflow,
    #[component(name = "enotsup")]
    Enotsup,
    #[component(name = "eshutdown")]
    Eshutdown,
}

impl From<Errno> for nbd_proto::Errno {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::Eperm => Self::Eperm,
            Errno::Eio => Self::Eio,
            Errno::Enomem => Self::Enomem,
            Errno::Einval => Self::Einval,
            Errno::Enospc => Self::Enospc,
            Errno::Eoverflow => Self::Eoverflow,
            Errno::Enotsup => Self::Enotsup,
            Errno::Eshutdown => Self::Eshutdown,
        }
    }
}

impl From<nbd_proto::Errno> for Errno {
    fn from(errno: nbd_proto::Errno) -> Self {
        use nbd_proto::Errno as Proto;
        match errno {
            Proto::Eperm => Self::Eperm,
            Proto::Eio => Self::Eio,
            Proto::Enomem => Self::Enomem,
            Proto::Einval => Self::Einval,
            Proto::Enospc => Self::Enospc,
            Proto::Eoverflow => Self::Eoverflow,
            Proto::Enotsup => Self::Enotsup,
            Proto::Eshutdown => Self::Eshutdown,
        }
    }
}

/// `types.extent-kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum ExtentKind {
    #[component(name = "data")]
    Data,
    #[component(name = "hole")]
    Hole,
    #[component(name = "zero")]
    Zero,
    #[component(name = "undefined")]
    Undefined,
}

impl From<ExtentKind> for Kind {
    fn from(kind: ExtentKind) -> Self {
        match kind {
            ExtentKind::Data => Self::Data,
            ExtentKind::Hole => Self::Hole,
            ExtentKind::Zero => Self::Zero,
            ExtentKind::Undefined => Self::Undefined,
        }
    }
}

impl From<Kind> for ExtentKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Data => Self::Data,
            Kind::Hole => Self::Hole,
            Kind::Zero => Self::Zero,
            Kind::Undefined => Self::Undefined,
        }
    }
}

/// `types.extent`.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) kind: ExtentKind,
}

/// `types.progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Progress {
    #[component(name = "more")]
    More,
    #[component(name = "full")]
    Full,
}

impl From<extent_map::Progress> for Progress {
    fn from(progress: extent_map::Progress) -> Self {
        match progress {
            extent_map::Progress::More => Self::More,
            extent_map::Progress::Full => Self::Full,
        }
    }
}

// `types.write-flags`.
flags! {
    WriteFlags {
        #[component(name = "fua")]
        const FUA;
        #[component(name = "no-hole")]
        const NO_HOLE;
        #[component(name = "fast-zero")]
        const FAST_ZERO;
    }
}

/// Each flag of the WIT, and the host's flag for it.
const FLAGS: [(WriteFlags, device::WriteFlags); 3] = [
    (WriteFlags::FUA, device::WriteFlags::FUA),
    (WriteFlags::NO_HOLE, device::WriteFlags::NO_HOLE),
    (WriteFlags::FAST_ZERO, device::WriteFlags::FAST_ZERO),
];

impl From<device::WriteFlags> for WriteFlags {
    fn from(flags: device::WriteFlags) -> Self {
        let set = FLAGS.into_iter().filter(|(_, own)| flags.contains(*own));
        set.fold(Self::default(), |all, (flag, _)| all | flag)
    }
}

impl From<WriteFlags> for device::WriteFlags {
    fn from(flags: WriteFlags) -> Self {
        let set = FLAGS.into_iter().filter(|(flag, _)| flags.contains(*flag));
        set.map(|(_, own)| own).collect()
    }
}

/// `next.layer-info`.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct LayerInfo {
    pub(crate) size: u64,
    pub(crate) minimum: u32,
    pub(crate) preferred: u32,
    pub(crate) maximum: u32,
    #[component(name = "read-only")]
    pub(crate) read_only: bool,
    pub(crate) immutable: bool,
    pub(crate) zeroable: bool,
    pub(crate) sparse: bool,
    pub(crate) prefetch: bool,
}

/// `blobs.access`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Access {
    #[component(name = "map-only")]
    MapOnly,
    #[component(name = "read-only")]
    ReadOnly,
    #[component(name = "read-write")]
    ReadWrite,
}

impl From<blob::Access> for Access {
    fn from(access: blob::Access) -> Self {
        match access {
            blob::Access::MapOnly => Self::MapOnly,
            blob::Access::ReadOnly => Self::ReadOnly,
            blob::Access::ReadWrite => Self::ReadWrite,
        }
    }
}

impl From<Access> for blob::Access {
    fn from(access: Access) -> Self {
        match access {
            Access::MapOnly => Self::MapOnly,
            Access::ReadOnly => Self::ReadOnly,
            Access::ReadWrite => Self::ReadWrite,
        }
    }
}

/// `host.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Level {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
}

/// `manifest.value-kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum ValueKind {
    #[component(name = "text")]
    Text,
    #[component(name = "size")]
    Size,
    #[component(name = "number")]
    Number,
    #[component(name = "boolean")]
    Boolean,
}

/// `manifest.setting`.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) kind: ValueKind,
    pub(crate) required: bool,
    pub(crate) default: Option<String>,
    pub(crate) help: String,
}

/// `manifest.blob-need`.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct BlobNeed {
    pub(crate) name: String,
    pub(crate) access: Access,
    pub(crate) help: String,
}

/// `manifest.plugin-info`.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct PluginInfo {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) settings: Vec<Setting>,
    pub(crate) blobs: Vec<BlobNeed>,
}

/// `device.instance-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum InstanceMode {
    #[component(name = "single")]
    Single,
    #[component(name = "parallel")]
    Parallel,
}

/// `device.block-sizes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct BlockSizes {
    pub(crate) minimum: u32,
    pub(crate) preferred: u32,
    pub(crate) maximum: u32,
}

/// `device.device-info`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct DeviceInfo {
    pub(crate) size: u64,
    #[component(name = "block-sizes")]
    pub(crate) block_sizes: Option<BlockSizes>,
    pub(crate) description: Option<String>,
    pub(crate) mode: InstanceMode,
    #[component(name = "read-only")]
    pub(crate) read_only: bool,
    pub(crate) immutable: bool,
}

/// `export-list.listed-export`.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct ListedExport {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
}
