//! What a component exports and imports, and so which NBD features its export has.

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::abi::advice;
use crate::abi::interfaces::{INTERFACES, Interfaces};
use crate::abi::wit::{self, PACKAGE};

/// The interfaces that a plugin exports and imports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// The optional interfaces of nbdbox:plugin that the component exports.
    pub interfaces: Interfaces,
    /// The full names of all imported interfaces.
    pub imports: Vec<String>,
    /// The full names of all exported interfaces.
    pub exports: Vec<String>,
}

impl World {
    /// Reads a component's type. Runs nothing of it.
    ///
    /// # Errors
    /// The component isn't a plugin for this version of nbdbox. The text says what it is instead.
    pub(crate) fn of(component: &Component) -> anyhow::Result<Self> {
        let engine = component.engine();
        let ty = component.component_type();
        let imports: Vec<String> = ty
            .imports(engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        let exports: Vec<String> = ty
            .exports(engine)
            .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
            .map(|(name, _)| name.to_owned())
            .collect();
        let has = |name: &str| component.get_export_index(None, name).is_some();
        if !has(wit::interface!("device")) {
            anyhow::bail!(not_a_plugin(&exports));
        }
        if let Some(import) = imports.iter().find(|import| !is_known(import)) {
            anyhow::bail!(unknown_import(import));
        }
        let exported = INTERFACES.iter().filter(|row| has(row.full_name));
        let interfaces = Interfaces::from_iter(exported.map(|row| row.flag));
        let filter = interfaces.contains(Interfaces::FILTER);
        if !filter && imports.iter().any(|import| import == NEXT) {
            anyhow::bail!(
                "it needs {NEXT}, which only a filter may import, and it doesn't export the interface filter"
            );
        }
        if filter && interfaces.contains(Interfaces::EXPORT_LIST) {
            anyhow::bail!(
                "it is a filter and exports export-list: only the plugin at the bottom lists exports; build it without"
            );
        }
        Ok(Self {
            interfaces,
            imports,
            exports,
        })
    }

    /// Whether the plugin exports all of `interfaces`.
    #[must_use]
    pub fn has(&self, interfaces: Interfaces) -> bool {
        self.interfaces.contains(interfaces)
    }

    /// The name of the WIT world whose interfaces these are; `None` if no world of the package has exactly these.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        let worlds = [
            ("minimal", Interfaces::empty()),
            ("read-only", READ_ONLY),
            ("read-write", READ_WRITE),
            ("full", FULL),
        ];
        let found = worlds
            .into_iter()
            .find(|(_, world)| *world == self.interfaces);
        found.map(|(name, _)| name)
    }

    /// Whether the component imports anything of WASI. Of WASI, a plugin gets only clocks, random numbers and a log.
    #[must_use]
    pub fn wasi(&self) -> bool {
        self.imports.iter().any(|name| name.starts_with("wasi:"))
    }
}

/// The interfaces of the package's worlds.
const READ_ONLY: Interfaces = Interfaces::MANIFEST.union(Interfaces::SPARSE);
const READ_WRITE: Interfaces = READ_ONLY
    .union(Interfaces::WRITABLE)
    .union(Interfaces::ZEROABLE);
const FULL: Interfaces = READ_WRITE
    .union(Interfaces::MAPPABLE)
    .union(Interfaces::PREFETCH)
    .union(Interfaces::EXPORT_LIST);

/// The interfaces of WASI 0.2 that the host links. Those of files and sockets give access to nothing.
const WASI: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// The interface to the layer below, which only filters import.
const NEXT: &str = wit::interface!("next");

fn is_known(import: &str) -> bool {
    const OURS: [&str; 7] = [
        NEXT,
        wit::interface!("types"),
        wit::interface!("host"),
        wit::interface!("config"),
        wit::interface!("blobs"),
        wit::interface!("requests"),
        wit::interface!("mappings"),
    ];
    let wasi_0_2 = import.contains("@0.2.") && WASI.iter().any(|name| import.starts_with(name));
    wasi_0_2 || OURS.contains(&import)
}

fn not_a_plugin(exports: &[String]) -> String {
    let device = wit::interface!("device");
    if let Some(other) = exports
        .iter()
        .find(|name| name.starts_with("nbdbox:plugin/device"))
    {
        return format!(
            "it is a plugin for another version: it exports {other}, not {device}; build it with the kit of this \
             version, which `nbdbox new` makes"
        );
    }
    let advice = advice::no_device(exports);
    match exports {
        [] => format!("it is no plugin: it exports nothing, and a plugin exports {device}{advice}"),
        some => format!(
            "it is a component of another world: it exports {}, and a plugin exports {device}{advice}",
            some.join(", ")
        ),
    }
}

fn unknown_import(import: &str) -> String {
    if import.starts_with(PACKAGE) {
        return format!(
            "it needs {import}, which this version of nbdbox doesn't have: use a newer nbdbox, or build without it"
        );
    }
    let advice = advice::component_import(import);
    format!("it needs {import}, which nbdbox gives to no plugin{advice}")
}
