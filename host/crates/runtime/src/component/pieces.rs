//! Cuts bulk instructions into pieces.
//!
//! wasmtime looks at the epoch between instructions, and `memory.fill` and its like are one instruction each. 64 MiB of
//! it hold a worker for 10 to 20 ms, and no other guest on that worker gets a turn. So before nbdbox compiles a
//! component, it replaces each bulk instruction by a call of a function that it adds to the module. The function does
//! the same in short pieces, in a loop that meets the epoch. A guest can notice only the time: an instruction that
//! would trap still traps before it has changed anything.
//!
//! All other bytes stay as they are. `table.grow` isn't cut, because the memory limit refuses a table that grows by
//! that much.

mod bulk;
mod module;
mod section;

use anyhow::ensure;

use self::section::{Sections, Writer};

/// The most levels of nested components. Restrains the component's author: each is a level of recursion here.
const DEPTH: usize = 64;

const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// Cuts the bulk instructions of all core modules of a component into pieces.
///
/// # Errors
/// The bytes aren't a component, or components are nested too deep.
pub(crate) fn cut(component: &[u8]) -> anyhow::Result<Vec<u8>> {
    cut_nested(component, 0)
}

fn cut_nested(component: &[u8], depth: usize) -> anyhow::Result<Vec<u8>> {
    ensure!(
        depth < DEPTH,
        "it has components nested more than {DEPTH} deep"
    );
    let mut written = Writer::default();
    let mut sections = Sections::of(component, &mut written)?;
    while let Some(section) = sections.next()? {
        match section.id {
            CORE_MODULE => match module::cut(section.content)? {
                Some(module) => written.section(section.id, &module)?,
                None => written.copy(section.whole),
            },
            COMPONENT => {
                let nested = cut_nested(section.content, depth + 1)?;
                written.section(section.id, &nested)?;
            }
            _ => written.copy(section.whole),
        }
    }
    Ok(written.into_bytes())
}

#[cfg(test)]
mod tests;
