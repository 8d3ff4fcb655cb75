//! A server with an admin listener.

use std::path::Path;

pub(crate) use nbdbox_tests::admin::{ADMIN, curl, get, sample, socket};
use nbdbox_tests::{Server, guest, nbdsh, plugin};

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

/// A server with one tenant, Mallory, who comes by the main socket and has these exports.
pub(crate) fn mallorys(limits: &str, exports: &[String]) -> Server {
    let head = format!(
        "drain = \"60min\"\n{ADMIN}[[listener]]\nname = \"all\"\nunix = \"FOLDER/socket\"\n\
         [tenant.mallory]\nclients = [{{ listener = \"all\" }}]\nlimits = {{ {limits} }}\n"
    );
    Server::hosting(&(head + &exports.concat()))
}

/// An export of Mallory's, with its settings and what else its table says.
pub(crate) fn export(name: &str, plugin: &Path, settings: &str, more: &str) -> String {
    format!(
        "[[tenant.mallory.export]]\nname = \"{name}\"\nplugin = \"{}\"\n\
         settings = {{ {settings} }}\n{more}\n",
        plugin.display()
    )
}

/// The URI of an export as its tenant has it.
pub(crate) fn uri(server: &Server, tenant: &str, export: &str) -> String {
    let socket = server.folder().join(tenant);
    format!("nbd+unix:///{export}?socket={}", socket.display())
}

/// What `/metrics` says after a script of [`nbdsh`], while its client is still connected.
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

/// The value of one sample, which is there.
pub(crate) fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let value = sample(text, name, labels);
    value.unwrap_or_else(|| panic!("no {name} with {labels:?}: {text}"))
}
