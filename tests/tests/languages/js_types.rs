//! The JavaScript kit's types have every function, enum case and record field of `wit/`.

use std::fs;
use std::path::Path;

use wit_bindgen_core::wit_parser::{Resolve, TypeDefKind};

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `add-all` as JavaScript has it; `[method]extents.add-all` is `addAll`.
fn camel(name: &str) -> String {
    let name = name.rsplit('.').next().unwrap();
    let mut words = name.split('-');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |name, word| {
        name + &word[..1].to_uppercase() + &word[1..]
    })
}

#[test]
fn the_types_name_what_the_wit_names() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(root().join("wit")).unwrap();
    let world = resolve
        .select_world(&[package], Some("read-write"))
        .unwrap();
    let kit = root().join("guest-sdk/js");
    let text = fs::read_to_string(kit.join("wit.d.ts")).unwrap()
        + &fs::read_to_string(kit.join("nbdbox.d.ts")).unwrap();
    let world = &resolve.worlds[world];
    let mut checked = 0;
    let mut has = |name: String| {
        assert!(text.contains(&name), "the kit's types lack {name}");
        checked += 1;
    };
    for item in world.imports.values().chain(world.exports.values()) {
        let wit_bindgen_core::wit_parser::WorldItem::Interface { id, .. } = item else {
            continue;
        };
        let interface = &resolve.interfaces[*id];
        interface
            .functions
            .keys()
            .for_each(|name| has(camel(name) + "("));
        for id in interface.types.values() {
            match &resolve.types[*id].kind {
                TypeDefKind::Enum(cases) => {
                    cases
                        .cases
                        .iter()
                        .for_each(|case| has(format!("\"{}\"", case.name)));
                }
                TypeDefKind::Record(record) => {
                    record
                        .fields
                        .iter()
                        .for_each(|field| has(camel(&field.name)));
                }
                TypeDefKind::Flags(flags) => {
                    flags
                        .flags
                        .iter()
                        .for_each(|flag| has(camel(&flag.name) + "?: boolean"));
                }
                _ => {}
            }
        }
    }
    assert!(checked > 80, "{checked}");
}
