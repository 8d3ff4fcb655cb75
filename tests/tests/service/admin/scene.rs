//! A server with an admin listener.

use std::path::Path;

pub(crate) use nbdbox_tests::admin::{ADMIN, curl, get, sample, socket};
use nbdbox_tests::{Server, guest, nbdsh, plugin};

/// Alice reads a pattern, Bob writes to a memory disk, and Mallory's plugin loops. No client requests Carol's export.
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
        // If a client could write, the export would fail for good: its memory was the disk.
        "read-only = true\n".to_owned(),
        tenant("carol", "quiet", &plugin("pattern"), "size = \"1M\""),
    ];
    Server::hosting(&format!("{}{ADMIN}", tenants.concat()))
}

/// A tenant with one export, whose clients come through a socket with the tenant's name.
pub(crate) fn tenant(name: &str, export: &str, plugin: &Path, settings: &str) -> String {
    format!(
        "[[listener]]\nname = \"{name}\"\nunix = \"FOLDER/{name}\"\n\
         [tenant.{name}]\nclients = [{{ listener = \"{name}\" }}]\n\
         [[tenant.{name}.export]]\nname = \"{export}\"\nplugin = \"{}\"\n\
         settings = {{ {settings} }}\n",
        plugin.display()
    )
}

/// A server with one tenant, Mallory, whose clients come through the main socket, and who has these exports.
pub(crate) fn mallorys(limits: &str, exports: &[String]) -> Server {
    let head = format!(
        "drain = \"60min\"\n{ADMIN}[[listener]]\nname = \"all\"\nunix = \"FOLDER/socket\"\n\
         [tenant.mallory]\nclients = [{{ listener = \"all\" }}]\nlimits = {{ {limits} }}\n"
    );
    Server::hosting(&(head + &exports.concat()))
}

/// An export of Mallory's, with its settings and other keys of its table.
pub(crate) fn export(name: &str, plugin: &Path, settings: &str, more: &str) -> String {
    format!(
        "[[tenant.mallory.export]]\nname = \"{name}\"\nplugin = \"{}\"\n\
         settings = {{ {settings} }}\n{more}\n",
        plugin.display()
    )
}

/// The URI of an export for its tenant's clients.
pub(crate) fn uri(server: &Server, tenant: &str, export: &str) -> String {
    let socket = server.folder().join(tenant);
    format!("nbd+unix:///{export}?socket={}", socket.display())
}

/// The text of `/metrics` after a script of [`nbdsh`], while the script's client is still connected.
pub(crate) fn scraped(server: &Server, uri: &str, script: &str) -> String {
    let scrape = format!(
        "
import subprocess
command = ['curl', '--silent', '--fail', '--unix-socket', '{}', 'http://localhost/metrics']
print(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
",
        socket(server).display()
    );
    nbdsh(uri, &(script.to_owned() + &scrape)).ok()
}

/// The value of one sample, which must exist.
pub(crate) fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let value = sample(text, name, labels);
    value.unwrap_or_else(|| panic!("no {name} with {labels:?}: {text}"))
}
