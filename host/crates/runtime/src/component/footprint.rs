//! What an instance of a component takes of the host in addition to its memories and tables. The host knows it before
//! it makes an instance.
//!
//! wasmtime reports only memories and tables to a store's meter. A million globals, imports or passive elements take
//! memory in each instance of their core module, and no limiter sees it. So the compiler counts them where the
//! component declares them, over all instantiations, and the host charges them before it makes an instance.
//!
//! Counting takes time in proportion to the file. Sums saturate, because components that instantiate components
//! multiply. Nobody has validated the bytes yet: whatever makes no sense is an error.

mod core_module;

use thiserror::Error;
use wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentTypeRef, Encoding, Instance, Parser, Payload,
};

use self::core_module::CoreModule;

/// Bytes of a store and the host's state of its guest, for any component.
const STORE: u64 = 24 << 10;

/// Bytes of a component's instance: its handle tables, its flags, and the adapters to other components.
const COMPONENT_INSTANCE: u64 = 4 << 10;

/// Bytes of a function that is lifted or lowered: its trampoline, and its part of an adapter between two components.
const CANONICAL_FUNCTION: u64 = 256;

/// Bytes of a type. It may be a resource's, with a handle table.
const TYPE: u64 = 64;

/// Mappings of a call's stack with its guard page, and of what allocators take for a store.
const STORE_MAPPINGS: u64 = 4;

/// Size in bytes from which the allocator makes a mapping of its own for an allocation (mallopt(3),
/// `M_MMAP_THRESHOLD`).
const MAPPED_ALLOCATION: u64 = 128 << 10;

/// What one instance takes of the host in addition to the bytes of its memories and tables. The sums may be a little
/// too low.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Bytes of memory.
    pub(crate) bytes: u64,
    /// Mappings of the address space, including those of memories and tables.
    pub(crate) mappings: u64,
}

/// Why a footprint can't be counted.
#[derive(Debug, Error)]
pub(crate) enum Uncountable {
    /// The bytes can't be parsed.
    #[error("it isn't a valid component: its WebAssembly can't be parsed")]
    Unreadable(#[from] BinaryReaderError),
    /// The bytes contradict themselves.
    #[error("it isn't a valid component: {0}")]
    Senseless(&'static str),
    /// It instantiates a module or component of which it knows only the type.
    #[error(
        "it instantiates a module or component that it gets from another component, so nbdbox can't count what an \
         instance takes: put that module or component into it"
    )]
    Handed,
}

type Counted<T> = Result<T, Uncountable>;

impl Footprint {
    /// Counts what a component declares. Doesn't recurse.
    ///
    /// # Errors
    /// The bytes make no sense; or the component instantiates a module or component that it gets from another one.
    pub(crate) fn of(component: &[u8]) -> Counted<Self> {
        let mut scopes: Vec<Scope> = Vec::new();
        let mut root = Self::default();
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            match &payload {
                Payload::Version { encoding, .. } => scopes.push(match encoding {
                    Encoding::Module => Scope::Module(CoreModule::default()),
                    Encoding::Component => Scope::Component(Box::default()),
                }),
                Payload::End(_) => {
                    let ended = scopes
                        .pop()
                        .ok_or(Uncountable::Senseless("it ends before it begins"))?;
                    match scopes.last_mut() {
                        Some(Scope::Component(outer)) => outer.define(ended),
                        Some(Scope::Module(_)) => {
                            return Err(Uncountable::Senseless(
                                "a core module contains a definition",
                            ));
                        }
                        None => root = ended.footprint(),
                    }
                }
                payload => match scopes.split_last_mut() {
                    Some((Scope::Module(module), _)) => module.add(payload)?,
                    Some((Scope::Component(component), outer)) => component.add(payload, outer)?,
                    None => return Err(Uncountable::Senseless("it has no header")),
                },
            }
        }
        let of_all = Self {
            bytes: STORE,
            mappings: STORE_MAPPINGS.saturating_add(root.bytes / MAPPED_ALLOCATION),
        };
        Ok(root.and(of_all))
    }

    /// The sum of both, which saturates.
    #[must_use]
    fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            mappings: self.mappings.saturating_add(other.mappings),
        }
    }
}

/// A module or component that is being read. A component may contain others.
enum Scope {
    Module(CoreModule),
    Component(Box<Component>),
}

impl Scope {
    fn footprint(&self) -> Footprint {
        match self {
            Self::Module(module) => module.footprint(),
            Self::Component(component) => component.instance,
        }
    }
}

/// The footprint of the item that an index stands for; `None` if it comes from outside, so that only its type is known.
type Known = Option<Footprint>;

/// A component, as far as it has been read.
struct Component {
    /// Its core modules, by index.
    modules: Vec<Known>,
    /// Its components, by index.
    components: Vec<Known>,
    /// What an instance of it takes.
    instance: Footprint,
}

impl Default for Component {
    fn default() -> Self {
        Self {
            modules: Vec::new(),
            components: Vec::new(),
            instance: Footprint {
                bytes: COMPONENT_INSTANCE,
                mappings: 0,
            },
        }
    }
}

impl Component {
    /// Adds a module or component that is defined inside of this one.
    fn define(&mut self, inner: Scope) {
        let footprint = Some(inner.footprint());
        match inner {
            Scope::Module(_) => self.modules.push(footprint),
            Scope::Component(_) => self.components.push(footprint),
        }
    }

    /// Counts what a section declares. `outer` are the components around this one, the root first.
    fn add(&mut self, payload: &Payload<'_>, outer: &[Scope]) -> Counted<()> {
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        self.instantiate(known(&self.modules, module_index)?)?;
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    if let ComponentInstance::Instantiate {
                        component_index, ..
                    } = instance?
                    {
                        self.instantiate(known(&self.components, component_index)?)?;
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    match import?.ty {
                        ComponentTypeRef::Module(_) => self.modules.push(None),
                        ComponentTypeRef::Component(_) => self.components.push(None),
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    // The exported item gets a second index.
                    match export.kind {
                        ComponentExternalKind::Module => {
                            self.modules.push(known(&self.modules, export.index)?);
                        }
                        ComponentExternalKind::Component => {
                            self.components.push(known(&self.components, export.index)?);
                        }
                        _ => {}
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(&alias?, outer)?;
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                self.take(section.count(), CANONICAL_FUNCTION);
            }
            Payload::ComponentTypeSection(section) => self.take(section.count(), TYPE),
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>, outer: &[Scope]) -> Counted<()> {
        match *alias {
            ComponentAlias::InstanceExport { kind, .. } => match kind {
                ComponentExternalKind::Module => self.modules.push(None),
                ComponentExternalKind::Component => self.components.push(None),
                _ => {}
            },
            ComponentAlias::Outer { kind, count, index } => {
                let away = count as usize;
                let around = match away.checked_sub(1) {
                    None => &*self,
                    Some(further) => match outer.iter().rev().nth(further) {
                        Some(Scope::Component(component)) => component,
                        _ => {
                            return Err(Uncountable::Senseless(
                                "an alias points outside of the file",
                            ));
                        }
                    },
                };
                match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        let module = known(&around.modules, index)?;
                        self.modules.push(module);
                    }
                    ComponentOuterAliasKind::Component => {
                        let component = known(&around.components, index)?;
                        self.components.push(component);
                    }
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {}
                }
            }
            ComponentAlias::CoreInstanceExport { .. } => {}
        }
        Ok(())
    }

    fn instantiate(&mut self, what: Known) -> Counted<()> {
        let what = what.ok_or(Uncountable::Handed)?;
        self.instance = self.instance.and(what);
        Ok(())
    }

    fn take(&mut self, count: u32, each: u64) {
        self.instance = self.instance.and(Footprint {
            bytes: u64::from(count) * each,
            mappings: 0,
        });
    }
}

fn known(space: &[Known], index: u32) -> Counted<Known> {
    let found = space.get(index as usize).copied();
    found.ok_or(Uncountable::Senseless("an index points at nothing"))
}

#[cfg(test)]
mod tests;
