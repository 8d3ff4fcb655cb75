//! Servers with TLS, and their clients.

use std::path::Path;

use nbd_proto::wire::{option, option_reply};
use nbdbox_tests::{Raw, Run, Server, plugin, run};
use rustls::version::TLS13;

use nbdbox_tests::pki::rustls_client;

/// The options for this mode, with the certificates of this folder.
fn options(mode: &str, folder: &Path) -> [String; 2] {
    let folder = folder.display();
    [
        format!("--tls={mode}"),
        format!("--tls-certificates={folder}"),
    ]
}

/// Serves a plugin on a unix socket; `more` are options and settings.
pub(crate) fn unix(mode: &str, folder: &Path, name: &str, more: &[&str]) -> Server {
    let mut arguments = options(mode, folder).to_vec();
    arguments.push(plugin(name).display().to_string());
    arguments.extend(more.iter().map(ToString::to_string));
    Server::start(arguments)
}

/// As [`unix`], on a TCP port.
pub(crate) fn tcp(mode: &str, folder: &Path, name: &str, more: &[&str]) -> Server {
    let options = options(mode, folder);
    let all: Vec<&str> = options.iter().map(String::as_str).collect();
    Server::plugin_over_tcp(name, &[&all, more].concat())
}

/// The URI for a client with this folder.
pub(crate) fn uri(server: &Server, client: &Path) -> String {
    let (port, client) = (server.port(), client.display());
    format!("nbds://localhost:{port}/?tls-certificates={client}")
}

/// Runs nbdinfo as a client with this folder.
pub(crate) fn nbdinfo(server: &Server, client: &Path) -> Run {
    run("nbdinfo", [uri(server, client)])
}

/// A client's folder and a server's port, as QEMU's options have them.
pub(crate) fn qemu(server: &Server, client: &Path) -> [String; 2] {
    let (port, client) = (server.port(), client.display());
    [
        format!("tls-creds-x509,id=tls0,dir={client},endpoint=client"),
        format!("driver=nbd,host=localhost,port={port},tls-creds=tls0"),
    ]
}

/// Runs `qemu-img info` as a client with this folder.
pub(crate) fn qemu_img_info(server: &Server, client: &Path) -> Run {
    let [credentials, image] = qemu(server, client);
    let arguments = ["info", "--object", &credentials, "--image-opts", &image];
    run("qemu-img", arguments)
}

/// A raw connection after STARTTLS, over TLS 1.3.
pub(crate) fn over_tls(server: &Server, client: &Path) -> Raw {
    let mut raw = Raw::negotiating(server);
    assert_eq!(raw.ask_one(option::STARTTLS, &[]), option_reply::ACK);
    raw.over_tls(&rustls_client(client, &TLS13)).unwrap()
}
