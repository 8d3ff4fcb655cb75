//! A request has one id, in the guest's lines and in the host's.

use nbdbox_tests::{Server, guest, nbdsh, plugin};
use serde_json::Value;

use super::scene::{export, mallorys, tenant, uri};

/// The lines of a log in JSON.
fn lines(log: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.lines().map(parse).collect()
}

fn with<'a>(lines: &'a [Value], key: &str, start: &str) -> Vec<&'a Value> {
    let has = |line: &&Value| {
        line[key]
            .as_str()
            .is_some_and(|text| text.starts_with(start))
    };
    lines.iter().filter(has).collect()
}

#[test]
fn the_guests_last_words_and_the_hosts_line_have_the_same_request() {
    let bad = tenant(
        "mallory",
        "bad",
        &guest("bad"),
        "at = \"read\", do = \"log-trap\", size = \"1M\"",
    );
    let server = Server::hosting(&format!("log-format = \"json\"\n{bad}"));
    // The first connection has only its handshake. On the second, the third request fails.
    let _ = nbdsh(&uri(&server, "mallory", "bad"), "").ok();
    let script = "
h.block_status(512, 0, lambda *_: 0)
h.block_status(512, 0, lambda *_: 0)
try:
    h.pread(512, 0)
    sys.exit('it was read')
except nbd.Error:
    pass
";
    let _ = nbdsh(&uri(&server, "mallory", "bad"), script).ok();
    let lines = lines(&server.stop().log);
    let guest = with(&lines, "message", "last words");
    let host = with(&lines, "message", "the plugin trapped");
    assert_eq!((guest.len(), host.len()), (1, 1), "{lines:#?}");
    assert_eq!(guest[0]["target"], "plugin");
    assert_eq!(host[0]["level"], "WARN");
    for key in ["request", "tenant", "export", "plugin"] {
        assert_eq!(guest[0][key], host[0][key], "{key}");
    }
    assert_eq!(guest[0]["request"], "2.3");
    assert_eq!(guest[0]["tenant"], "mallory");
    let second = lines.iter().filter(|line| line["connection"] == 2);
    assert!(
        second.count() >= 2,
        "the client connected and disconnected: {lines:#?}"
    );
}

#[test]
fn a_request_is_the_same_in_every_layer_and_on_every_export() {
    let filter = format!(
        "filters = [{{ plugin = \"{}\" }}]",
        plugin("offset").display()
    );
    let traps = "at = \"read\", do = \"log-trap\", mode = \"parallel\"";
    let bad = export("bad", &guest("bad"), traps, &filter);
    let server = mallorys("", &[bad]);
    let script = "
h.block_status(512, 0, lambda *_: 0)
try:
    h.pread(512, 0)
except nbd.Error:
    pass
try:
    h.pread(512, 2 << 20)
except nbd.Error:
    pass
";
    let _ = nbdsh(&server.uri_of("bad"), script).ok();
    let log = server.stop().log;
    let line = |words: &str| {
        let line = log.lines().find(|line| line.contains(words));
        line.unwrap_or_else(|| panic!("no {words}: {log}"))
    };
    // A line of the guest below, a line of the host about it, and a line about a request that the host denied.
    for (words, request) in [
        ("last words", "request=1.2"),
        ("the plugin trapped", "request=1.2"),
        ("refused: ", "request=1.3"),
    ] {
        assert!(line(words).contains(request), "{}", line(words));
    }
    assert!(line("last words").contains("plugin=\"bad\""), "{log}");
}

#[test]
fn json_or_text_is_what_the_command_line_says() {
    let pattern = tenant("alice", "disk", &plugin("pattern"), "size = \"1M\"");
    let text = Server::hosting(&pattern).stop().log;
    assert!(text.contains(" INFO nbdbox::service: stopping"), "{text}");
    let plugin = plugin("pattern");
    let arguments = ["--log-format", "json", plugin.to_str().unwrap(), "size=1M"];
    let server = Server::start(arguments);
    let _ = nbdsh(&server.uri(), "h.pread(512, 0)").ok();
    let lines = lines(&server.stop().log);
    assert!(
        !with(&lines, "message", "connected").is_empty(),
        "{lines:#?}"
    );
}
