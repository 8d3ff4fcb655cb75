//! The paths of the program and of the plugins under test.

use std::env;
use std::path::PathBuf;

/// The path of the program: `NBDBOX_PROGRAM`, or the one that was built beside this test.
#[must_use]
pub fn nbdbox() -> PathBuf {
    let path = env::var_os("NBDBOX_PROGRAM").map_or_else(built, PathBuf::from);
    assert!(
        path.exists(),
        "{} isn't built: run `cargo build -p nbdbox`",
        path.display()
    );
    path
}

/// An example plugin that `make plugins` built.
#[must_use]
pub fn plugin(name: &str) -> PathBuf {
    in_target("plugins", name)
}

/// A plugin of `tests/guests` that `make plugins` built.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    in_target("test-guests", name)
}

/// `target/debug/nbdbox` beside `target/debug/deps/this-test`.
fn built() -> PathBuf {
    let test = env::current_exe().expect("a running test has a file");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("tests are built in target/PROFILE/deps");
    profile.join("nbdbox")
}

fn in_target(folder: &str, name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    let path = root.join(folder).join(format!("{name}.wasm"));
    assert!(
        path.exists(),
        "{} isn't built: run `make plugins`",
        path.display()
    );
    path
}
