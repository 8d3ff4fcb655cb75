//! Tenants in a configuration, each with a socket of its own by which its clients are known.

use crate::{Server, guest};

/// The exports of a tenant, as TOML.
#[must_use]
pub fn export(tenant: &str, name: &str, plugin: &str, more: &str) -> String {
    let path = match plugin {
        "bad" | "counter" | "many" => guest(plugin),
        _ => crate::plugin(plugin),
    };
    format!(
        "[[tenant.{tenant}.export]]\nname = \"{name}\"\nplugin = \"{}\"\n{more}\n",
        path.display()
    )
}

/// A tenant who comes by a socket called like it.
#[must_use]
pub fn tenant(name: &str, limits: &str) -> String {
    format!(
        "[[listener]]\nname = \"{name}\"\nunix = \"FOLDER/{name}\"\n\
         [tenant.{name}]\nclients = [{{ listener = \"{name}\" }}]\nlimits = {{ {limits} }}\n"
    )
}

/// The URI of an export as one tenant has it.
#[must_use]
pub fn uri(server: &Server, tenant: &str, name: &str) -> String {
    let socket = server.folder().join(tenant);
    format!("nbd+unix:///{name}?socket={}", socket.display())
}
