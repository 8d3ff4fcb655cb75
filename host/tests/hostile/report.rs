//! The catalogue of attacks as a document.

use std::fmt::Write as _;
use std::path::Path;

use crate::attacks::{ATTACKS, Meets};
use crate::bytes::BYTES;
use crate::starts::STARTS;

const BAD_CLIENTS: &str = include_str!("../../../tests/tests/protocol/bad_clients.rs");
const WASI: &str = include_str!("../../../tests/tests/plugins/wasi.rs");

/// Compares `tests/ATTACKS.md` with the catalogue, or writes it.
pub(crate) fn check() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/ATTACKS.md");
    let made = document();
    if std::env::var_os("NBDBOX_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == made,
        "tests/ATTACKS.md is out of date: set NBDBOX_WRITE_DOCS=1 and run again"
    );
}

fn document() -> String {
    let mut text = String::from(
        "# Attacks and their results\n\n\
         The test in `host/tests/hostile` generates this page. It runs each attack next to a \
         neighbour whose client keeps reading, and checks every byte of the neighbour's. After \
         each attack, one log line names the attacker's export and plugin, a counter has risen, \
         and a fresh instance serves the attacker's next request.\n\n\
         Throughout, the process has no more in memory than its meters report, plus a tenth of \
         that, plus 64 MiB for the program itself. The last column shows that this held.\n\n\
         ## Plugins\n\n\
         | | a plugin that … | its client gets | counted as | in memory |\n|---|---|---|---|---|\n",
    );
    for (index, attack) in ATTACKS.iter().enumerate() {
        let (gets, counted) = match attack.meets {
            Meets::Fault(cause) => ("EIO".to_owned(), cause.name()),
            Meets::Errno(errno) => (errno.name().to_owned(), "an error answer"),
            Meets::Fallback(cause) => ("data".to_owned(), cause.name()),
            Meets::Excused => ("data".to_owned(), "an error answer"),
            Meets::Ignored(cause) => ("the right answer".to_owned(), cause.name()),
            Meets::Nothing => ("the right answer".to_owned(), "–"),
        };
        let (number, words) = (index + 1, attack.words);
        writeln!(
            text,
            "| {number} | {words} | {gets} | {counted} | metered |"
        )
        .unwrap();
    }
    text.push_str(
        "\n## Starts\n\nnbdbox refuses each of these when it makes the export. \
         One line gives the reason.\n\n",
    );
    for start in STARTS {
        writeln!(text, "- a plugin that {}", start.words).unwrap();
    }
    text.push_str(
        "\n## Bytes\n\nnbdbox refuses each of these files when it loads them. \
         One line gives the reason.\n\n",
    );
    for bytes in BYTES {
        writeln!(text, "- {}", bytes.words).unwrap();
    }
    text.push_str(
        "\n## Clients\n\nFrom `tests/tests/protocol/bad_clients.rs`. Each test runs next to a \
         neighbour that keeps reading right answers, and checks the server's memory.\n\n",
    );
    push_told(&mut text, "a client that", BAD_CLIENTS);
    text.push_str(
        "\n## Plugins with WASI\n\nFrom `tests/tests/plugins/wasi.rs`. Each test runs next to a neighbour, \
         too. nbdbox links WASI, but with nothing behind it.\n\n",
    );
    push_told(&mut text, "a plugin that", WASI);
    text
}

/// Adds a row for each test of `source` whose comment has an attack and its result.
fn push_told(text: &mut String, who: &str, source: &str) {
    writeln!(text, "| {who} … | result |\n|---|---|").unwrap();
    let mut rows = 0;
    for (comment, rest) in pairs(source) {
        let Some(told) = comment.strip_prefix("/// It ") else {
            continue;
        };
        assert_eq!(
            rest, "#[test]",
            "`{comment}` isn't followed by a test that always runs"
        );
        let (deed, met) = told
            .split_once(". Result: ")
            .expect("the comment has a result");
        writeln!(text, "| {deed} | {} |", met.trim_end_matches('.')).unwrap();
        rows += 1;
    }
    assert!(rows > 10, "{rows} rows");
}

/// Each line of `source` with the next one.
fn pairs(source: &str) -> impl Iterator<Item = (&str, &str)> {
    source.lines().zip(source.lines().skip(1))
}
