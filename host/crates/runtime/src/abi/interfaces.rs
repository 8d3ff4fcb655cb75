//! The interfaces that a plugin can export: one table, from which loading, an export's flags, `nbdbox inspect` and the
//! test of the manual take them.

use bitflags::bitflags;
use nbd_proto::ExportFlags;

use crate::abi::wit;

bitflags! {
    /// A set of optional interfaces.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Interfaces: u8 {
        /// The plugin says what it is and what it needs.
        const MANIFEST = 1 << 0;
        /// The export can be written.
        const WRITABLE = 1 << 1;
        /// Ranges can be trimmed and zeroed.
        const ZEROABLE = 1 << 2;
        /// The plugin tells its holes.
        const SPARSE = 1 << 3;
        /// The plugin tells where its bytes are, and the host remembers that.
        const MAPPABLE = 1 << 4;
        /// The plugin can read ahead.
        const PREFETCH = 1 << 5;
        /// The plugin has several exports.
        const EXPORT_LIST = 1 << 6;
        /// It is a filter: it stands on another layer.
        const FILTER = 1 << 7;
    }
}

/// One interface, and what follows from it.
#[derive(Debug)]
pub struct Interface {
    /// Its place in a set; empty for the one that every plugin exports.
    pub flag: Interfaces,
    pub(crate) full_name: &'static str,
    /// Its functions. A component that exports the interface has all of them.
    pub(crate) functions: &'static [&'static str],
    /// Interfaces without which this one brings an export nothing.
    pub needs: Interfaces,
    /// What clients are told.
    pub(crate) flags: ExportFlags,
    /// What the export can do, in NBD's words.
    pub features: &'static [&'static str],
    /// What it would bring to a plugin that lacks it; `None` where that isn't for every plugin.
    pub advice: Option<&'static str>,
}

/// All of them, `device` first, which isn't optional.
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
        advice: Some("settings and grants are checked before it runs"),
        ..interface(
            Interfaces::MANIFEST,
            wit::interface!("manifest"),
            &["describe"],
        )
    },
    Interface {
        flags: ExportFlags::SEND_FLUSH.union(ExportFlags::SEND_FUA),
        features: &["WRITE", "FLUSH", "FUA"],
        advice: Some("it can be written"),
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
        advice: Some("it can be trimmed and zeroed"),
        ..interface(
            Interfaces::ZEROABLE,
            wit::interface!("zeroable"),
            &["trim", "zero"],
        )
    },
    Interface {
        features: &["BLOCK_STATUS base:allocation"],
        advice: Some("holes are told"),
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

/// An interface that changes nothing for clients.
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
    /// Its name in the package: `writable`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let version = self.full_name.split('@').next().unwrap_or_default();
        version.rsplit('/').next().unwrap_or_default()
    }

    /// Whether a plugin that exports `all` has it, and what it needs.
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

    /// The table of the manual, in order: names and functions. `filter` has a chapter of its own.
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
