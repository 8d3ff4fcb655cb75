//! Plugins in other languages than Rust, built from source and used by real clients.

mod c_bindings;
mod concat;
mod disks;
mod fat;
mod js_types;
mod partition;
mod regions;
mod zstd;

/// Puts a plugin into the compile cache. Otherwise several tests of a large plugin would compile it at the same time.
fn compile_once(plugin: &std::path::Path) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let arguments = ["inspect".as_ref(), plugin.as_os_str()];
    let _ = nbdbox_tests::run(nbdbox_tests::nbdbox(), arguments).ok();
}

/// Runs `nbdbox test` with these arguments. The plugin may break no rule.
fn keeps_the_contract<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) {
    let words = ["test", "--seed", "5", "--skip", "speed"].map(std::ffi::OsStr::new);
    let arguments = words.into_iter().chain(arguments.iter().map(AsRef::as_ref));
    let ran = nbdbox_tests::run(nbdbox_tests::nbdbox(), arguments);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(" 0 broken, "), "{}", ran.stdout);
}
