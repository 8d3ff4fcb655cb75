//! The C kit's bindings are generated from `wit/`. `NBDBOX_UPDATE_BINDINGS=1` writes them.

use std::fs;
use std::path::{Path, PathBuf};

use wit_bindgen_c::{Enabled, Opts};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

/// The worlds whose bindings are in the repository. For others, run `wit-bindgen c`.
const WORLDS: [&str; 2] = ["read-only", "read-write"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn generated(world: &str) -> Files {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(root().join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let options = Opts {
        autodrop_borrows: Enabled::Yes,
        rename_world: Some("plugin".to_owned()),
        ..Opts::default()
    };
    let mut files = Files::default();
    let mut generator = options.build();
    generator.generate(&mut resolve, world, &mut files).unwrap();
    files
}

#[test]
fn the_bindings_are_those_of_the_wit() {
    let update = std::env::var_os("NBDBOX_UPDATE_BINDINGS").is_some();
    for world in WORLDS {
        let folder = root().join("guest-sdk/c").join(world);
        let files = generated(world);
        assert_eq!(files.iter().count(), 3);
        for (name, bytes) in files.iter() {
            let path = folder.join(name);
            if update {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, bytes).unwrap();
            }
            assert!(
                fs::read(&path).unwrap() == bytes,
                "{name} differs from the bindings of wit/: NBDBOX_UPDATE_BINDINGS=1 cargo test -p nbdbox-tests \
                 --test plugins the_bindings"
            );
        }
    }
}
