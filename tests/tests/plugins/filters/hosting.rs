//! Filters in a configuration: checked first, then served, each with its own grants.

use std::fs;
use std::path::Path;

use nbd_proto::{CommandFlags, Framing};
use nbdbox_tests::{Client, Server, nbdbox, plugin, run};
use tempfile::TempDir;

/// A tenant with one export that has these filters.
fn config(filters: &str) -> String {
    format!(
        r#"
        [[listener]]
        unix = "FOLDER/socket"
        name = "here"

        [tenant.alice]
        clients = [{{ listener = "here" }}]

        [[tenant.alice.export]]
        name = ""
        plugin = "{}"
        settings = {{ size = "4M" }}
        filters = [{filters}]
        "#,
        plugin("pattern").display()
    )
}

/// A `cow` whose changes go to this file.
fn cow(overlay: &Path) -> String {
    let overlay = overlay.display();
    filter(
        "cow",
        &format!(", blobs = {{ overlay = \"{overlay}:rw\" }}"),
    )
}

fn filter(name: &str, rest: &str) -> String {
    format!("{{ plugin = \"{}\"{rest} }},", plugin(name).display())
}

#[test]
fn a_stack_of_a_configuration_is_served() {
    let overlay = ", blobs = { overlay = \"FOLDER/overlay:rw\" }, limits = { memory = \"8MiB\" }";
    let filters = [
        filter("cow", overlay),
        filter("offset", ", settings = { offset = \"1M\" }"),
    ];
    let text = config(&filters.concat());
    let place = TempDir::with_prefix("nbdbox-overlay-").unwrap();
    let path = place.path().join("overlay");
    fs::File::create(&path).unwrap().set_len(4 << 20).unwrap();
    let text = text.replace("FOLDER/overlay", path.to_str().unwrap());
    let server = Server::hosting(&text);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    assert_eq!(client.size(), 3 << 20);
    let below = client.read(0, 4096).unwrap();
    assert_eq!(below[..8], (1_u64 << 20).to_be_bytes());
    client.write(0, &[7; 512], CommandFlags::FUA).unwrap();
    drop((client, server));
    let server = Server::hosting(&text);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let read = client.read(0, 4096).unwrap();
    assert!(read[..512] == [7; 512] && read[512..] == below[512..]);
}

#[test]
fn unflushed_writes_are_kept_when_the_export_is_removed() {
    let place = TempDir::with_prefix("nbdbox-overlay-").unwrap();
    let path = place.path().join("overlay");
    fs::File::create(&path).unwrap().set_len(5 << 20).unwrap();
    let text = config(&cow(&path));
    for taken_away in [false, true] {
        let server = Server::hosting(&text);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        let new = vec![7 + u8::from(taken_away); 1 << 20];
        client.write(0, &new, CommandFlags::empty()).unwrap();
        if taken_away {
            server.reload(&text.replace("name = \"\"", "name = \"other\""));
        }
        assert_eq!(server.stop().code, Some(0));
        let server = Server::hosting(&text);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        assert!(client.read(0, 1 << 20).unwrap() == new, "{taken_away}");
    }
}

#[test]
fn check_shows_what_each_layer_needs() {
    let folder = TempDir::with_prefix("nbdbox-check-").unwrap();
    let path = folder.path().join("nbdbox.toml");
    let check = |filters: &str| {
        let text = config(filters).replace("FOLDER", folder.path().to_str().unwrap());
        fs::write(&path, text).unwrap();
        run(nbdbox(), ["check".as_ref(), path.as_os_str()])
    };
    let fine = check(&filter("offset", ""));
    assert!(fine.stdout.contains("all fits"), "{fine:?}");
    let rows: Vec<&str> = fine.stdout.lines().collect();
    assert!(
        rows[1].contains("offset") && rows[2].contains("pattern"),
        "{rows:?}"
    );

    // The filter can do without the file, so its manifest doesn't require it.
    let overlay = folder.path().join("overlay");
    fs::write(&overlay, []).unwrap();
    let fine = check(&cow(&overlay));
    let row = fine.stdout.lines().nth(1).unwrap();
    assert!(
        row.contains("overlay:rw") && row.ends_with(" optional"),
        "{row}"
    );

    let wrong = filter("offset", ", settings = { of = \"1M\" }");
    let wrong = check(&(wrong + &filter("pattern", "")));
    assert_eq!(wrong.code, 1);
    for words in [
        "the filter offset: unknown key `of`",
        "pattern isn't a filter",
    ] {
        assert!(wrong.stderr.contains(words), "{words}: {wrong:?}");
    }
    let missing = check("{ settings = {} },");
    assert!(
        missing.stderr.contains("filters.plugin: it is missing"),
        "{missing:?}"
    );
    let many = check(&filter("offset", "").repeat(9));
    assert!(
        many.stderr.contains("there are 9; at most 8 are allowed"),
        "{many:?}"
    );
}
