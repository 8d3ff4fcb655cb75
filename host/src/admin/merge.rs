//! Merges the pages of several servers into one.
//!
//! The label `process` of each sample names the server that sent it. Every server writes the heads of all families, so
//! this process's own page has all of them. From the other pages it takes only samples of these families, in the strict
//! form in which nbdbox writes them. It drops everything else, since a server that an intruder controls may write
//! anything.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::Report;
use super::others::Page;
use super::report::NamedProcess;

/// The name of this process, the admin server.
const HERE: &str = "admin";

/// The page `/metrics` of all servers.
pub(super) fn metrics(own: &str, pages: &[Page]) -> String {
    let mut families: Vec<(Vec<&str>, String)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for line in own.lines() {
        if let Some(head) = line.strip_prefix("# ") {
            let mut words = head.split(' ');
            if let (Some("HELP" | "TYPE" | "UNIT"), Some(name)) = (words.next(), words.next()) {
                let place = *places.entry(name).or_insert_with(|| {
                    families.push((Vec::new(), String::new()));
                    families.len() - 1
                });
                families[place].0.push(line);
            }
        }
    }
    let texts = pages.iter().filter_map(|page| {
        let text = std::str::from_utf8(page.text.as_ref()?).ok()?;
        Some((&page.server[..], text))
    });
    for (server, text) in std::iter::once((HERE, own)).chain(texts) {
        let label = escaped(server);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some(Sample {
                name,
                labels,
                value,
            }) = Sample::parse(line)
            else {
                continue;
            };
            let Some(place) = places.get(family(name, &places)) else {
                continue;
            };
            let comma = if labels.is_empty() { "" } else { "," };
            let samples = &mut families[*place].1;
            // Writing to a string can't fail.
            let _ = writeln!(
                samples,
                "{name}{{process=\"{label}\"{comma}{labels}}} {value}"
            );
        }
    }
    let mut text = String::new();
    for (head, samples) in families {
        for line in head {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&samples);
    }
    text.push_str("# HELP nbdbox_process_up 1 while the process answers.\n");
    text.push_str("# TYPE nbdbox_process_up gauge\n");
    for Page { server, text: page } in pages {
        let (label, up) = (escaped(server), u8::from(page.is_some()));
        let _ = writeln!(text, "nbdbox_process_up{{process=\"{label}\"}} {up}");
    }
    text.push_str("# EOF\n");
    text
}

/// The report of `/exports` of all servers.
pub(super) fn reports(own: Report, pages: &[Page]) -> Report {
    let mut all = Report::default();
    let read = |page: &Page| {
        let report = serde_json::from_slice::<Report>(page.text.as_ref()?).ok();
        Some((page.server.clone(), report?))
    };
    for page in pages {
        let up = match read(page) {
            None => None,
            Some((_, report)) => {
                all.exports.extend(report.exports);
                all.tenants.extend(report.tenants);
                all.process.add(&report.process);
                Some(report.process)
            }
        };
        all.processes.push(NamedProcess {
            name: page.server.clone(),
            process: up,
        });
    }
    all.process.add(&own.process);
    all.processes.push(NamedProcess {
        name: HERE.to_owned(),
        process: Some(own.process),
    });
    all
}

/// The family of a sample's name. A counter's name ends in `_total`, those of a histogram in `_bucket`, `_sum` and
/// `_count`, and an info's in `_info` (OpenMetrics 1.0).
fn family<'a>(name: &'a str, places: &HashMap<&str, usize>) -> &'a str {
    let endings = ["_total", "_bucket", "_sum", "_count", "_info"];
    let stem = endings.iter().find_map(|ending| {
        name.strip_suffix(ending)
            .filter(|stem| places.contains_key(stem))
    });
    stem.unwrap_or(name)
}

/// A line `NAME{LABELS} VALUE` or `NAME VALUE`.
#[derive(Debug, PartialEq, Eq)]
struct Sample<'a> {
    name: &'a str,
    /// The labels as the server wrote them, without the braces.
    labels: &'a str,
    value: &'a str,
}

impl<'a> Sample<'a> {
    /// Parses a sample in the form in which nbdbox writes it; `None` for any other form.
    fn parse(line: &'a str) -> Option<Self> {
        let end = line.find(|c: char| !is_word(c))?;
        let (name, rest) = line.split_at(end);
        let (labels, value) = match rest.strip_prefix('{') {
            None => ("", rest.strip_prefix(' ')?),
            Some(rest) => {
                let length = labels(rest)?;
                (&rest[..length], rest[length..].strip_prefix("} ")?)
            }
        };
        let is_number = value.parse::<f64>().is_ok() && !value.contains(char::is_whitespace);
        (!name.is_empty() && is_number).then_some(Self {
            name,
            labels,
            value,
        })
    }
}

/// The length of the labels, each `KEY="VALUE"`, at the beginning of a text. `None` if anything else stands before `}`,
/// or if a label is `process`, which only this process may set.
fn labels(text: &str) -> Option<usize> {
    let mut rest = text;
    while !rest.starts_with('}') {
        let key = rest.find('=')?;
        if key == 0 || !rest[..key].chars().all(is_word) || &rest[..key] == "process" {
            return None;
        }
        rest = rest[key + 1..].strip_prefix('"')?;
        let mut is_escaped = false;
        let end = rest.find(|c| {
            let ends = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        })?;
        rest = &rest[end + 1..];
        rest = match rest.strip_prefix(',') {
            Some(more) if !more.starts_with('}') => more,
            Some(_) => return None,
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
    Some(text.len() - rest.len())
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const OWN: &str = "\
# HELP nbdbox_sockets Open connections.
# TYPE nbdbox_sockets gauge
nbdbox_sockets 0
# HELP nbdbox_operations Requests.
# TYPE nbdbox_operations counter
# EOF
";

    fn page(server: &str, text: Option<&'static str>) -> Page {
        Page {
            server: server.to_owned(),
            text: text.map(|text| Bytes::from_static(text.as_bytes())),
        }
    }

    #[test]
    fn samples_name_their_process_and_stay_with_their_family() {
        let gold = "nbdbox_sockets 2\nnbdbox_operations_total{tenant=\"a\",export=\"}\\\"\"} 7\n";
        let text = metrics(OWN, &[page("gold", Some(gold)), page("x\"y", None)]);
        let expected = "\
# HELP nbdbox_sockets Open connections.
# TYPE nbdbox_sockets gauge
nbdbox_sockets{process=\"admin\"} 0
nbdbox_sockets{process=\"gold\"} 2
# HELP nbdbox_operations Requests.
# TYPE nbdbox_operations counter
nbdbox_operations_total{process=\"gold\",tenant=\"a\",export=\"}\\\"\"} 7
# HELP nbdbox_process_up 1 while the process answers.
# TYPE nbdbox_process_up gauge
nbdbox_process_up{process=\"gold\"} 1
nbdbox_process_up{process=\"x\\\"y\"} 0
# EOF
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_line_in_any_other_form_is_dropped() {
        for line in [
            "",
            "nbdbox_sockets",
            "nbdbox_sockets x",
            "nbdbox_sockets 1 2",
            "nbdbox_sockets  1",
            "nbdbox_sockets{} 1 # {a=\"b\"} 1",
            "nbdbox_sockets{process=\"other\"} 1",
            "nbdbox_sockets{a=\"b\"process=\"c\"} 1",
            "nbdbox_sockets{a=\"b\",} 1",
            "nbdbox_sockets{a=\"b} 1",
            "nbdbox_sockets{a=b} 1",
            "{a=\"b\"} 1",
            "# TYPE nbdbox_sockets counter",
        ] {
            assert_eq!(Sample::parse(line), None, "{line}");
        }
        let unknown = page("gold", Some("evil_total 1\n# EOF\nnbdbox_sockets 1"));
        let text = metrics(OWN, &[unknown]);
        assert!(!text.contains("evil"), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1);
    }

    #[test]
    fn reports_add_up_and_name_their_processes() {
        let gold = r#"{"exports":[],"tenants":[],"process":{"cpu_ns":5,"host_lane_ns":0,"resident":7,"metered":1,
            "mappings":null,"metered_mappings":0,"descriptors":3,"threads":2,"host_lane_threads":0}}"#;
        let mut own = Report::default();
        own.process.cpu_ns = 1;
        own.process.descriptors = Some(4);
        let all = reports(own, &[page("gold", Some(gold)), page("down", Some("{"))]);
        assert_eq!(all.process.cpu_ns, 6);
        assert_eq!(all.process.descriptors, Some(7));
        assert_eq!(all.process.resident, Some(7));
        let names: Vec<_> = all
            .processes
            .iter()
            .map(|one| (&one.name[..], one.process.is_some()))
            .collect();
        assert_eq!(names, [("gold", true), ("down", false), ("admin", true)]);
    }
}
