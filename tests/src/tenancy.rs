//! Tenants in a configuration. A tenant's clients are those of its own socket.

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

/// A tenant whose clients come through a socket with the tenant's name.
#[must_use]
pub fn tenant(name: &str, limits: &str) -> String {
    format!(
        "[[listener]]\nname = \"{name}\"\nunix = \"FOLDER/{name}\"\n\
         [tenant.{name}]\nclients = [{{ listener = \"{name}\" }}]\nlimits = {{ {limits} }}\n"
    )
}

/// The URI of an export for the clients of a tenant.
#[must_use]
pub fn uri(server: &Server, tenant: &str, name: &str) -> String {
    let socket = server.folder().join(tenant);
    format!("nbd+unix:///{name}?socket={}", socket.display())
}
