//! The interfaces that a plugin can export, in one table. Loading, the flags of an export, `nbdbox inspect` and the
//! test of the manual read it.

use bitflags::bitflags;
use nbd_proto::ExportFlags;

use crate::abi::wit;

bitflags! {
    /// A set of optional interfaces, a bit each.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Interfaces: u8 {
        /// The plugin describes itself and what it needs.
        const MANIFEST = 1 << 0;
        /// Clients can write to the export.
        const WRITABLE = 1 << 1;
        /// Clients can trim and zero ranges.
        const ZEROABLE = 1 << 2;
        /// The plugin reports its extents.
        const SPARSE = 1 << 3;
        /// The plugin reports where its bytes are, and the host remembers the answer.
        const MAPPABLE = 1 << 4;
        /// The plugin can read ahead on request.
        const PREFETCH = 1 << 5;
        /// The plugin has several exports, and lists them.
        const EXPORT_LIST = 1 << 6;
        /// The plugin is a filter over another layer.
        const FILTER = 1 << 7;
    }
}

/// An interface, and what an export gains by it.
#[derive(Debug)]
pub struct Interface {
    /// The interface's bit; empty for `device`, which every plugin exports.
    pub flag: Interfaces,
    pub(crate) full_name: &'static str,
    /// The interface's functions. A component that exports the interface has all of them.
    pub(crate) functions: &'static [&'static str],
    /// Interfaces without which this one is of no use to an export.
    pub needs: Interfaces,
    /// NBD flags that the export advertises because of the interface.
    pub(crate) flags: ExportFlags,
    /// What the export can do because of the interface, in NBD's terms.
    pub features: &'static [&'static str],
    /// What a plugin without the interface would gain by it; `None` if the interface isn't meant for every plugin.
    pub advice: Option<&'static str>,
}

/// All interfaces. `device` comes first; it isn't optional.
pub const INTERFACES: [Interface; 9] = [
    Interface {
        features: &["READ"],
        ..interface(
            Interfaces::empty(),
            wit::interface!("device"),
            &["open", "read"],
        )
    },
    Interface {
        advice: Some("the host checks settings and grants before it opens the export"),
        ..interface(
            Interfaces::MANIFEST,
            wit::interface!("manifest"),
            &["describe"],
        )
    },
    Interface {
        flags: ExportFlags::SEND_FLUSH.union(ExportFlags::SEND_FUA),
        features: &["WRITE", "FLUSH", "FUA"],
        advice: Some("clients can write"),
        ..interface(
            Interfaces::WRITABLE,
            wit::interface!("writable"),
            &["write", "flush"],
        )
    },
    Interface {
        needs: Interfaces::WRITABLE,
        flags: ExportFlags::SEND_TRIM
            .union(ExportFlags::SEND_WRITE_ZEROES)
            .union(ExportFlags::SEND_FAST_ZERO),
        features: &["TRIM", "WRITE_ZEROES", "FAST_ZERO"],
        advice: Some("clients can trim and zero"),
        ..interface(
            Interfaces::ZEROABLE,
            wit::interface!("zeroable"),
            &["trim", "zero"],
        )
    },
    Interface {
        features: &["BLOCK_STATUS base:allocation"],
        advice: Some("clients see holes"),
        ..interface(Interfaces::SPARSE, wit::interface!("sparse"), &["report"])
    },
    interface(
        Interfaces::MAPPABLE,
        wit::interface!("mappable"),
        &["locate"],
    ),
    Interface {
        flags: ExportFlags::SEND_CACHE,
        features: &["CACHE"],
        ..interface(
            Interfaces::PREFETCH,
            wit::interface!("prefetch"),
            &["cache"],
        )
    },
    Interface {
        features: &["LIST of its own"],
        ..interface(
            Interfaces::EXPORT_LIST,
            wit::interface!("export-list"),
            &["list-exports"],
        )
    },
    interface(
        Interfaces::FILTER,
        wit::interface!("filter"),
        &["changes-bytes"],
    ),
];

/// An interface that adds nothing to what clients can do.
const fn interface(
    flag: Interfaces,
    full_name: &'static str,
    functions: &'static [&'static str],
) -> Interface {
    Interface {
        flag,
        full_name,
        functions,
        needs: Interfaces::empty(),
        flags: ExportFlags::empty(),
        features: &[],
        advice: None,
    }
}

impl Interface {
    /// The short name, such as `writable`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let version = self.full_name.split('@').next().unwrap_or_default();
        version.rsplit('/').next().unwrap_or_default()
    }

    /// Whether the interface is of use to a plugin that exports `all`: it's among them, and so is all that it needs.
    #[must_use]
    pub fn is_of_use(&self, all: Interfaces) -> bool {
        all.contains(self.flag | self.needs)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Compares the manual's table with this one: names and functions. `filter` has a chapter of its own.
    #[test]
    fn the_manual_lists_the_interfaces_and_their_functions() {
        let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../guest-sdk/MANUAL.md");
        let manual = fs::read_to_string(manual).unwrap();
        let (_, table) = manual
            .split_once("| Interface | The export | Functions |\n|---|---|---|\n")
            .unwrap();
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let listed = rows.map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (cells[1].to_owned(), cells[3].to_owned())
        });
        let quoted = |name: &&str| format!("`{name}`");
        let known = INTERFACES
            .iter()
            .filter(|row| row.flag != Interfaces::FILTER);
        let known = known.map(|row| {
            let functions: Vec<String> = row.functions.iter().map(quoted).collect();
            (quoted(&row.name()), functions.join(", "))
        });
        let (mut listed, mut known): (Vec<_>, Vec<_>) = (listed.collect(), known.collect());
        listed.sort();
        known.sort();
        assert_eq!(listed, known);
        for function in INTERFACES.iter().flat_map(|row| row.functions) {
            assert!(manual.contains(&format!("### `{function}`")), "{function}");
        }
    }

    #[test]
    fn each_interface_has_its_own_flag() {
        let optional = INTERFACES.iter().map(|row| row.flag);
        let all = optional.fold(Interfaces::empty(), |all, flag| {
            assert!(!all.intersects(flag));
            all | flag
        });
        assert_eq!(all, Interfaces::all());
    }
}
