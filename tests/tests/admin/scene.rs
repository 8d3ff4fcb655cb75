//! A server with an admin listener, and curl.

use std::path::{Path, PathBuf};

use nbdbox_tests::{Run, Server, guest, plugin, run};

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

/// The table of the configuration.
pub(crate) const ADMIN: &str = "[admin]\nunix = \"FOLDER/admin\"\n";

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

/// The admin listener's socket.
pub(crate) fn socket(server: &Server) -> PathBuf {
    server.folder().join("admin")
}

/// curl, with what it's to do.
pub(crate) fn curl(socket: &Path, arguments: &[&str]) -> Run {
    let socket = socket.to_str().unwrap();
    let all = ["--silent", "--show-error", "--unix-socket", socket];
    run("curl", all.iter().chain(arguments))
}

/// What a path answers.
pub(crate) fn get(server: &Server, path: &str) -> String {
    let url = format!("http://localhost{path}");
    curl(&socket(server), &["--fail", &url]).ok()
}

/// The value of one sample; none where there is none.
pub(crate) fn sample(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has = |line: &&str| {
        let label = |(key, value): &(&str, &str)| line.contains(&format!("{key}=\"{value}\""));
        let names_it = line.split(['{', ' ']).next() == Some(name);
        names_it && labels.iter().all(label)
    };
    let line = text.lines().find(has)?;
    Some(line.rsplit(' ').next().unwrap().parse().unwrap())
}
