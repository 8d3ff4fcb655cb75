//! Plugins with the same digest are loaded once, whatever their files and their tenants.

use std::thread;

use nbd_proto::Framing;
use nbdbox_tests::admin::{ADMIN, get, sample};
use nbdbox_tests::{Client, Server, plugin};

use super::scene::tenant;

/// The exports of each tenant.
const EXPORTS: usize = 4;

#[test]
fn plugins_with_the_same_digest_share_one_compilation() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(plugin("pattern")).unwrap();
    // A custom section gives the plugin a digest that no other test's plugin has.
    bytes.extend(b"\0\x05\x04same");
    let export = |tenant: &str, number: usize| {
        let path = folder.path().join(format!("{tenant}-{number}.wasm"));
        std::fs::write(&path, &bytes).unwrap();
        format!(
            "[[tenant.{tenant}.export]]\nname = \"{number}\"\nplugin = \"{}\"\n\
             settings = {{ size = \"1M\" }}\n",
            path.display()
        )
    };
    let exports_of = |name: &str| -> String { (0..EXPORTS).map(|n| export(name, n)).collect() };
    let config = ["alice", "bob"].map(|name| tenant(name, "") + &exports_of(name));
    let server = Server::hosting(&(config.concat() + ADMIN));
    // All clients at once, so that none is the first.
    thread::scope(|scope| {
        for name in ["alice", "bob"] {
            for number in 0..EXPORTS {
                let socket = server.folder().join(name);
                scope.spawn(move || {
                    let name = number.to_string();
                    let mut client = Client::connect_to(&socket, &name, Framing::Structured);
                    assert!(client.read(0, 512).is_ok());
                });
            }
        }
    });
    let figures = get(&server, "/metrics");
    let figure = |name| sample(&figures, name, &[]).unwrap();
    let compiled = figure("nbdbox_compilations_total");
    let cached = figure("nbdbox_compile_cache_hits_total");
    // The cache may have it from an earlier run. In both cases the server needs it once.
    assert!((compiled + cached - 1.0).abs() < 0.5, "{compiled} {cached}");
}
