//! The WIT as the standard tools read it: a package that resolves and fits a registry, and whose every item has
//! `@since` or `@unstable`.

use std::collections::BTreeMap;
use std::path::Path;

use wit_bindgen_core::wit_parser::decoding::{DecodedWasm, decode};
use wit_bindgen_core::wit_parser::{Interface, PackageId, Resolve, Stability, WorldItem};

fn package() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_path(folder).unwrap();
    (resolve, package)
}

/// All items that can have `@since`, by their place.
fn items(resolve: &Resolve, package: PackageId) -> BTreeMap<String, Stability> {
    let package = &resolve.packages[package];
    let mut found = BTreeMap::new();
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        found.insert(name.clone(), interface.stability.clone());
        let inside = inside(resolve, interface);
        found.extend(inside.map(|(item, stability)| (format!("{name}.{item}"), stability)));
    }
    for (name, id) in &package.worlds {
        let world = &resolve.worlds[*id];
        found.insert(format!("world {name}"), world.stability.clone());
        for (way, items) in [("import", &world.imports), ("export", &world.exports)] {
            for (key, item) in items {
                let stability = match item {
                    WorldItem::Interface { stability, .. } => stability,
                    WorldItem::Function(function) => &function.stability,
                    WorldItem::Type { id, .. } => &resolve.types[*id].stability,
                };
                let key = resolve.name_world_key(key);
                found.insert(format!("world {name}: {way} {key}"), stability.clone());
            }
        }
    }
    found
}

/// The types of an interface, including those that it uses of another, and its functions.
fn inside<'a>(
    resolve: &'a Resolve,
    interface: &'a Interface,
) -> impl Iterator<Item = (&'a String, Stability)> {
    let types = interface.types.iter();
    let types = types.map(|(name, id)| (name, resolve.types[*id].stability.clone()));
    let functions = interface.functions.iter();
    types.chain(functions.map(|(name, function)| (name, function.stability.clone())))
}

#[test]
fn every_item_has_since_or_unstable() {
    let (resolve, package) = package();
    let items = items(&resolve, package);
    assert!(items.len() > 150, "{}", items.len());
    assert!(items.contains_key("requests.[method]extents.end-at"));
    let silent: Vec<&String> = items
        .iter()
        .filter(|(_, stability)| matches!(stability, Stability::Unknown))
        .map(|(name, _)| name)
        .collect();
    assert!(silent.is_empty(), "no @since and no @unstable: {silent:?}");
}

/// The result of `wkg wit build` and `wasm-tools component wit --wasm`, which a registry delivers.
#[test]
fn it_is_a_package_for_a_registry() {
    let (resolve, package) = package();
    let bytes = wit_component::encode(&resolve, package).unwrap();
    let DecodedWasm::WitPackage(published, id) = decode(&bytes).unwrap() else {
        panic!("a component, and no package")
    };
    let name = &published.packages[id].name;
    assert_eq!(name.to_string(), "nbdbox:plugin@0.1.0");
    let (before, after) = (items(&resolve, package), items(&published, id));
    assert_eq!(before.len(), after.len());
    for (name, stability) in before {
        assert_eq!(after.get(&name), Some(&stability), "{name}");
    }
    for (name, here) in &resolve.packages[package].interfaces {
        let there = published.packages[id].interfaces[name];
        let (here, there) = (&resolve.interfaces[*here], &published.interfaces[there]);
        assert_eq!(here.docs, there.docs, "{name}");
    }
}
