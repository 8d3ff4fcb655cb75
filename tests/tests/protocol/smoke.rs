//! The shortest test of everything together.

use nbdbox_tests::{Server, run};

#[test]
fn a_plugin_is_served_to_a_real_client() {
    let server = Server::plugin("pattern", &["size=64K"]);
    let text = run("nbdinfo", ["--size", &server.uri()]).ok();
    assert_eq!(text.trim(), "65536");
    let exit = server.stop();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
}
