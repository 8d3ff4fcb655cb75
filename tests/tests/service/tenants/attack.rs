//! The plugins of one tenant misbehave, and the others' clients keep reading.

use nbdbox_tests::{Server, nbdsh};

use super::scene::{Reader, export, info, tenant, three, uri};

#[test]
fn a_tenant_whose_plugins_loop_crash_and_hoard_harms_nobody_else() {
    let evil = |name: &str, deed: &str| {
        let settings = format!("settings = {{ at = \"read\", do = \"{deed}\", size = \"1M\" }}");
        export("mallory", name, "bad", &settings)
    };
    let config = [
        three(),
        tenant("mallory", "memory = \"128MiB\""),
        evil("loop", "loop"),
        evil("trap", "trap"),
        evil("grow", "grow"),
    ];
    let server = Server::hosting(&config.concat());
    let readers = [("alice", "disk"), ("carol", "secret")]
        .map(|(tenant, name)| Reader::start(&server, tenant, name));
    for _ in 0..3 {
        for name in ["loop", "trap", "grow"] {
            let attack = nbdsh(&uri(&server, "mallory", name), "h.pread(4096, 0)");
            assert_ne!(attack.code, 0, "{name}");
            assert!(
                attack.stderr.contains("Input/output error"),
                "{}",
                attack.stderr
            );
        }
    }
    for reader in readers {
        assert!(reader.stop() > 0);
    }
    // Bob connects only now, and everything works.
    assert_eq!(info(&server, "bob", "disk", "--size").ok(), "2097152\n");
}
