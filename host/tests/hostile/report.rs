//! The catalogue as a document.

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
        "# Attacks, and what they met\n\n\
         Made from `host/tests/hostile` by its test, which runs each of these beside a neighbour \
         whose client keeps reading and whose every byte is checked. Each attacker's log line names \
         its export and plugin, its counter rises, and a fresh instance serves its next request.\n\n\
         All the time the process has no more in memory than its meters say, a tenth of that, and 64 MiB for the \
         program itself: the last column.\n\n\
         ## Plugins\n\n\
         | | a plugin that … | its client gets | counted as | in memory |\n|---|---|---|---|---|\n",
    );
    for (index, attack) in ATTACKS.iter().enumerate() {
        let (gets, counted) = match attack.meets {
            Meets::Fault(cause) => ("EIO".to_owned(), cause.name()),
            Meets::Errno(errno) => (errno.name().to_owned(), "an answered error"),
            Meets::Fallback(cause) => ("data".to_owned(), cause.name()),
            Meets::Excused => ("data".to_owned(), "an answered error"),
            Meets::Ignored(cause) => ("a right answer".to_owned(), cause.name()),
            Meets::Nothing => ("a right answer".to_owned(), "–"),
        };
        let (number, words) = (index + 1, attack.words);
        writeln!(
            text,
            "| {number} | {words} | {gets} | {counted} | metered |"
        )
        .unwrap();
    }
    text.push_str(
        "\n## Starts\n\nEach is refused when its export is made, in one line that says why.\n\n",
    );
    for start in STARTS {
        writeln!(text, "- a plugin that {}", start.words).unwrap();
    }
    text.push_str("\n## Bytes\n\nEach is refused when it's loaded, in one line that says why.\n\n");
    for bytes in BYTES {
        writeln!(text, "- {}", bytes.words).unwrap();
    }
    text.push_str(
        "\n## Clients\n\nFrom `tests/tests/protocol/bad_clients.rs`, each beside a neighbour that keeps \
         reading right answers, with the server's memory looked at.\n\n",
    );
    push_told(&mut text, "a client that", BAD_CLIENTS);
    text.push_str(
        "\n## Plugins with WASI\n\nFrom `tests/tests/plugins/wasi.rs`, each beside a neighbour likewise: what \
         there is of WASI has nothing behind it.\n\n",
    );
    push_told(&mut text, "a plugin that", WASI);
    text
}

/// A row for each test of `source` whose comment tells of an attack and of what it met.
fn push_told(text: &mut String, who: &str, source: &str) {
    writeln!(text, "| {who} … | met |\n|---|---|").unwrap();
    let mut rows = 0;
    for (comment, rest) in pairs(source) {
        let Some(told) = comment.strip_prefix("/// It ") else {
            continue;
        };
        assert_eq!(
            rest, "#[test]",
            "`{comment}` tells of no test that always runs"
        );
        let (deed, met) = told.split_once(". Met: ").expect("it tells what was met");
        writeln!(text, "| {deed} | {} |", met.trim_end_matches('.')).unwrap();
        rows += 1;
    }
    assert!(rows > 10, "{rows} rows");
}

/// Each line of `source` with the one after it.
fn pairs(source: &str) -> impl Iterator<Item = (&str, &str)> {
    source.lines().zip(source.lines().skip(1))
}
