//! What an instance of one core module takes of the host.

use wasmparser::{ElementItems, ElementKind, Payload, TypeRef};

use super::{Counted, Footprint};

/// Bytes of an instance of an empty module: the fixed part of its context, and what its store keeps for it.
const INSTANCE: u64 = 2 << 10;

/// Bytes of an import: in the context, and once more while the host makes the instance.
const IMPORT: u64 = 64;

/// Bytes of a global.
const GLOBAL: u64 = 16;

/// Bytes of a tag.
const TAG: u64 = 16;

/// Bytes of a function that the guest can take a reference to.
const FUNCTION_REFERENCE: u64 = 32;

/// Bytes of an element that waits for `table.init`.
const PASSIVE_ELEMENT: u64 = 16;

/// Bytes of a segment of elements or data.
const SEGMENT: u64 = 64;

/// Bytes of a table in addition to its elements.
const TABLE: u64 = 256;

/// Bytes of a memory in addition to its contents: what the host keeps of its mapping and of its initial contents.
const MEMORY: u64 = 1 << 10;

/// Mappings of a memory: the guards before and behind it, its initial part, and the part that it grew by.
const MEMORY_MAPPINGS: u64 = 4;

/// Mappings of a table, if it's large.
const TABLE_MAPPINGS: u64 = 1;

/// A core module, as far as it has been read. Its counts can't overflow: they add one item of the file at a time, or a
/// section's own count, which has 32 bits.
#[derive(Debug, Default)]
pub(super) struct CoreModule {
    functions: u64,
    imports: u64,
    globals: u64,
    tags: u64,
    tables: u64,
    memories: u64,
    segments: u64,
    passive_elements: u64,
    /// Places from which the guest can take references to functions.
    references: u64,
}

impl CoreModule {
    /// Counts what a section declares. It doesn't look at the bodies of functions, because a function that a body
    /// refers to has to be declared elsewhere too.
    pub(super) fn add(&mut self, payload: &Payload<'_>) -> Counted<()> {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    self.imports += 1;
                    if let TypeRef::Func(_) | TypeRef::FuncExact(_) = import?.ty {
                        self.functions += 1;
                    }
                }
            }
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::TableSection(section) => {
                self.tables += u64::from(section.count());
                self.references += u64::from(section.count());
            }
            Payload::MemorySection(section) => self.memories += u64::from(section.count()),
            Payload::TagSection(section) => self.tags += u64::from(section.count()),
            Payload::GlobalSection(section) => {
                self.globals += u64::from(section.count());
                self.references += u64::from(section.count());
            }
            Payload::ExportSection(section) => self.references += u64::from(section.count()),
            Payload::ElementSection(section) => {
                for element in section.clone() {
                    let element = element?;
                    let items = match element.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    };
                    self.segments += 1;
                    self.references += u64::from(items);
                    if let ElementKind::Passive = element.kind {
                        self.passive_elements += u64::from(items);
                    }
                }
            }
            Payload::DataSection(section) => self.segments += u64::from(section.count()),
            _ => {}
        }
        Ok(())
    }

    /// What an instance of the module takes.
    pub(super) fn footprint(&self) -> Footprint {
        let parts = [
            (1, INSTANCE),
            (self.imports, IMPORT),
            (self.globals, GLOBAL),
            (self.tags, TAG),
            (self.references.min(self.functions), FUNCTION_REFERENCE),
            (self.passive_elements, PASSIVE_ELEMENT),
            (self.segments, SEGMENT),
            (self.tables, TABLE),
            (self.memories, MEMORY),
        ];
        let bytes = parts.iter().fold(0u64, |sum, (count, each)| {
            sum.saturating_add(count.saturating_mul(*each))
        });
        let memories = self.memories.saturating_mul(MEMORY_MAPPINGS);
        let tables = self.tables.saturating_mul(TABLE_MAPPINGS);
        Footprint {
            bytes,
            mappings: memories.saturating_add(tables),
        }
    }
}
