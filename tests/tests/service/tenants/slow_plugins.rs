//! Plugins that compile slowly hold up only their own tenant.

use std::process::{Child, Command, Stdio};

use nbdbox_tests::Server;

use super::scene::{export, info, tenant, uri};

/// A component around a module with this many functions: the host needs seconds to find that it's no plugin.
fn slow(functions: u32) -> Vec<u8> {
    let body = b"\x07\0\x20\0\x41\x01\x6a\x0b";
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, b"\x01\x60\x01\x7f\x01\x7f"),
        section(3, &vector(functions, b"\0")),
        section(10, &vector(functions, body)),
    ];
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module.concat())].concat()
}

/// The same item, `count` times.
fn vector(count: u32, item: &[u8]) -> Vec<u8> {
    [number(count), item.repeat(count as usize)].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    [vec![id], number(length), content.to_vec()].concat()
}

/// A number in LEB128.
fn number(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
    bytes
}

fn ask(server: &Server, name: &str) -> Child {
    let mut client = Command::new("nbdinfo");
    client.arg(uri(server, "alice", name));
    client.stdout(Stdio::null()).stderr(Stdio::null());
    client.spawn().unwrap()
}

#[test]
fn a_tenants_plugins_that_take_long_to_compile_hold_up_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["one", "two", "three"];
    let slow = names.iter().zip(400_000..).map(|(name, functions)| {
        let path = folder.path().join(name);
        std::fs::write(&path, slow(functions)).unwrap();
        let path = path.display();
        format!("[[tenant.alice.export]]\nname = \"{name}\"\nplugin = \"{path}\"\n")
    });
    let quick = export("bob", "disk", "pattern", "settings = { size = \"1M\" }");
    let config = [
        tenant("alice", ""),
        slow.collect(),
        tenant("bob", ""),
        quick,
    ];
    // A fresh cache: the code of an earlier run must not be in it.
    let cache = tempfile::tempdir().unwrap();
    let server = Server::hosting_with_cache(&config.concat(), cache.path());
    let mut waiting = names.map(|name| ask(&server, name));
    while !is_compiling(&server) {
        std::thread::yield_now();
    }
    assert_eq!(
        info(&server, "bob", "disk", "--size").ok().trim(),
        "1048576"
    );
    for client in &mut waiting {
        assert!(
            client.try_wait().unwrap().is_none(),
            "Alice's client has to wait"
        );
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

/// Whether the keeper has started a compiler.
fn is_compiling(server: &Server) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    // A thread may end meanwhile, and so may a child.
    let children = threads.flatten().filter_map(|thread| {
        let children = thread.path().join("children");
        std::fs::read_to_string(children).ok()
    });
    let children = children.collect::<String>();
    children.split_whitespace().any(|child| {
        let words = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        words
            .split(|byte| *byte == 0)
            .any(|word| word == b"compile-plugin")
    })
}
