//! C: the world in which a disk can be written.

use nbdbox_tests::{Server, guest, run};

#[test]
fn a_disk_in_c_is_written_read_and_zeroed() {
    let server = Server::start([guest("c-disk")]);
    let commands = [
        "write -P 7 4096 8192",
        "read -P 7 4096 8192",
        "write -z 4096 4096",
        "read -P 0 4096 4096",
        "read -P 7 8192 4096",
        "flush",
    ];
    let mut arguments = vec!["-f".to_owned(), "raw".to_owned()];
    for command in commands {
        arguments.extend(["-c".to_owned(), command.to_owned()]);
    }
    arguments.push(server.uri());
    let said = run("qemu-io", arguments).ok();
    assert!(!said.contains("failed"), "{said}");
    assert_eq!(said.matches("wrote ").count(), 2, "{said}");
    assert_eq!(said.matches("read ").count(), 3, "{said}");
}
