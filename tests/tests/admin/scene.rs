//! A server with an admin listener.

use std::path::Path;

pub(crate) use nbdbox_tests::admin::{ADMIN, curl, get, sample, socket};
use nbdbox_tests::{Server, guest, plugin};

/// Alice reads a pattern, Bob has memory to write to, Mallory's plugin loops; nobody asks for Carol's.
pub(crate) fn hosting() -> Server {
    let tenants = [
        tenant("alice", "disk", &plugin("pattern"), "size = \"1M\""),
        tenant("bob", "ram", &plugin("memory"), "size = \"2M\""),
        tenant(
            "mallory",
            "loop",
            &guest("bad"),
            "at = \"read\", do = \"loop\", size = \"1M\"",
        ),
        // Written to, it would fail for good: its memory was the disk.
        "read-only = true\n".to_owned(),
        tenant("carol", "quiet", &plugin("pattern"), "size = \"1M\""),
    ];
    Server::hosting(&format!("{}{ADMIN}", tenants.concat()))
}

/// A tenant who comes by a socket called like it, with one export.
pub(crate) fn tenant(name: &str, export: &str, plugin: &Path, settings: &str) -> String {
    format!(
        "[[listener]]\nname = \"{name}\"\nunix = \"FOLDER/{name}\"\n\
         [tenant.{name}]\nclients = [{{ listener = \"{name}\" }}]\n\
         [[tenant.{name}.export]]\nname = \"{export}\"\nplugin = \"{}\"\n\
         settings = {{ {settings} }}\n",
        plugin.display()
    )
}

/// The URI of an export as its tenant has it.
pub(crate) fn uri(server: &Server, tenant: &str, export: &str) -> String {
    let socket = server.folder().join(tenant);
    format!("nbd+unix:///{export}?socket={}", socket.display())
}
