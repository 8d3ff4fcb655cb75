//! Bulk instructions in pieces.
//!
//! wasmtime looks at the epoch between instructions, and `memory.fill` and its like are one instruction each: 64 MiB of
//! it hold a worker for 10 to 20 ms, in which nobody else there has a turn. So before a component is compiled, each such
//! instruction becomes a call of a function that is added to its module, which does the same in short pieces, in a loop
//! that meets the epoch. What a guest can tell is only the time: an instruction that would trap traps before it has
//! changed anything, as it must.
//!
//! Everything else stays byte by byte as it was. `table.grow` isn't cut: a table that grows by so much is refused by
//! the memory limit first.

mod bulk;
mod module;
mod section;

use anyhow::ensure;

use self::section::{Sections, Writer};

/// Components within components. Restrains the component's author: each level is a level of recursion here.
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
