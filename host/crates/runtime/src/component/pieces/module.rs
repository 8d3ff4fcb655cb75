//! A core module, with added functions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use wasm_encoder::{Encode as _, ValType};
use wasmparser::{
    BinaryReader, CodeSectionReader, FunctionSectionReader, ImportSectionReader,
    MemorySectionReader, TableSectionReader, TypeRef, TypeSectionReader,
};

use super::bulk::{Bulk, Spaces};
use super::section::{Section, Sections, Writer};

const TYPES: u8 = 1;
const IMPORTS: u8 = 2;
const FUNCTIONS: u8 = 3;
const TABLES: u8 = 4;
const MEMORIES: u8 = 5;
const CODE: u8 = 10;

/// The byte of a function type, and the byte of a call.
const FUNC: u8 = 0x60;
const CALL: u8 = 0x10;

/// What a module has, as far as it matters here.
#[derive(Default)]
struct Found {
    types: u32,
    functions: u32,
    spaces: Spaces,
    bulk: BTreeSet<Bulk>,
}

/// The added functions: the index of the first type, the index of each function, and their code.
struct Added {
    types: u32,
    functions: BTreeMap<Bulk, u32>,
    parts: Vec<([ValType; 3], wasm_encoder::Function)>,
}

/// Cuts the bulk instructions of a module into pieces; `None` if it has none.
///
/// # Errors
/// The bytes aren't a module.
pub(super) fn cut(module: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    let found = find(module)?;
    if found.bulk.is_empty() {
        return Ok(None);
    }
    let added = add(&found);
    let mut written = Writer::default();
    let mut sections = Sections::of(module, &mut written)?;
    while let Some(section) = sections.next()? {
        let more = added.parts.len();
        match section.id {
            TYPES => append(&mut written, section, more, &added.types())?,
            FUNCTIONS => append(&mut written, section, more, &added.type_indices())?,
            CODE => {
                let code = rewrite(section.content, &added)?;
                written.section(section.id, &code)?;
            }
            _ => written.copy(section.whole),
        }
    }
    Ok(Some(written.into_bytes()))
}

fn find(module: &[u8]) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut sections = Sections::of(module, &mut Writer::default())?;
    while let Some(Section { id, content, .. }) = sections.next()? {
        let reader = BinaryReader::new(content, 0);
        match id {
            TYPES => {
                for group in TypeSectionReader::new(reader)? {
                    let types = group?.types().len();
                    found.types = found.types.saturating_add(u32::try_from(types)?);
                }
            }
            IMPORTS => {
                for import in ImportSectionReader::new(reader)?.into_imports() {
                    match import?.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => found.functions += 1,
                        TypeRef::Memory(memory) => found.memory(memory.memory64),
                        TypeRef::Table(table) => found.table(table.table64),
                        TypeRef::Global(_) | TypeRef::Tag(_) => {}
                    }
                }
            }
            FUNCTIONS => {
                let count = FunctionSectionReader::new(reader)?.count();
                found.functions = found.functions.saturating_add(count);
            }
            TABLES => {
                for table in TableSectionReader::new(reader)? {
                    found.table(table?.ty.table64);
                }
            }
            MEMORIES => {
                for memory in MemorySectionReader::new(reader)? {
                    found.memory(memory?.memory64);
                }
            }
            CODE => {
                for body in CodeSectionReader::new(reader)? {
                    for operator in body?.get_operators_reader()? {
                        found.bulk.extend(Bulk::of(&operator?));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

impl Found {
    fn memory(&mut self, is_long: bool) {
        self.spaces.memories.push(address(is_long));
    }

    fn table(&mut self, is_long: bool) {
        self.spaces.tables.push(address(is_long));
    }
}

fn address(is_long: bool) -> ValType {
    if is_long { ValType::I64 } else { ValType::I32 }
}

fn add(found: &Found) -> Added {
    let mut added = Added {
        types: found.types,
        functions: BTreeMap::new(),
        parts: Vec::new(),
    };
    let mut next = found.functions;
    for bulk in &found.bulk {
        if let Some(part) = bulk.in_pieces(&found.spaces) {
            added.parts.push(part);
            added.functions.insert(*bulk, next);
            next = next.saturating_add(1);
        }
    }
    added
}

impl Added {
    /// The added functions' types, one for each function.
    fn types(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (parameters, _) in &self.parts {
            bytes.push(FUNC);
            parameters[..].encode(&mut bytes);
            // A function without results.
            bytes.push(0);
        }
        bytes
    }

    fn type_indices(&self) -> Vec<u8> {
        let mut written = Writer::default();
        for (index, _) in (self.types..).zip(&self.parts) {
            written.number(index);
        }
        written.into_bytes()
    }
}

/// Copies a section and appends `more` items, encoded in `items`, to it.
fn append(
    written: &mut Writer,
    section: Section<'_>,
    more: usize,
    items: &[u8],
) -> anyhow::Result<()> {
    let mut reader = BinaryReader::new(section.content, 0);
    let count = reader.read_var_u32()? as usize;
    let before = &section.content[reader.original_position()..];
    let mut content = Writer::default();
    content.length(count + more)?;
    content.copy(before);
    content.copy(items);
    written.section(section.id, &content.into_bytes())
}

/// Rewrites the code section: a call replaces each bulk instruction, and the added functions follow the module's own.
fn rewrite(code: &[u8], added: &Added) -> anyhow::Result<Vec<u8>> {
    let bodies = CodeSectionReader::new(BinaryReader::new(code, 0))?;
    let mut written = Writer::default();
    written.length(bodies.count() as usize + added.parts.len())?;
    for body in bodies {
        let body = body?;
        let mut copied = body.range().start;
        let end = body.range().end;
        let mut rewritten = Writer::default();
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let (operator, at) = operators.read_with_offset()?;
            let function = Bulk::of(&operator).and_then(|bulk| added.functions.get(&bulk));
            let Some(function) = function else { continue };
            rewritten.copy(&code[copied..at]);
            rewritten.copy(&[CALL]);
            rewritten.number(*function);
            copied = operators.original_position();
        }
        ensure!(copied <= end, "a function is cut off");
        rewritten.copy(&code[copied..end]);
        let rewritten = rewritten.into_bytes();
        written.length(rewritten.len())?;
        written.copy(&rewritten);
    }
    for (_, function) in &added.parts {
        let mut bytes = Vec::new();
        // `encode` writes the length, too.
        function.encode(&mut bytes);
        written.copy(&bytes);
    }
    Ok(written.into_bytes())
}
