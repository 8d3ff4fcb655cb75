//! `host/CLI.md` has the commands, options and defaults of the program, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use nbdbox_tests::{nbdbox, run};

/// An option: all its names, and its default if it has one.
type Options = BTreeMap<BTreeSet<String>, Option<String>>;

fn manual() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/CLI.md");
    fs::read_to_string(path).unwrap()
}

fn help(command: &str) -> String {
    let arguments = [command, "--help"];
    run(nbdbox(), arguments.iter().filter(|word| !word.is_empty())).ok()
}

/// The subcommands that `--help` lists, without clap's own.
fn commands() -> BTreeSet<String> {
    let help = help("");
    let list = help.split("Commands:\n").nth(1).unwrap();
    list.lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The manual's text on one subheading.
fn section(manual: &str, heading: &str) -> String {
    let mut sections = manual.split("\n## ");
    let found = sections.find(|section| section.lines().next() == Some(heading));
    found
        .unwrap_or_else(|| panic!("CLI.md has no `## {heading}`"))
        .to_owned()
}

/// The cells of a section's tables, without the headings.
fn rows(section: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = section.lines().collect();
    let is_rule = |line: &str| line.starts_with("|---");
    let bodies = lines.iter().enumerate().filter(|(at, line)| {
        let heading = lines.get(at + 1).is_some_and(|next| is_rule(next));
        line.starts_with('|') && !heading && !is_rule(line)
    });
    bodies
        .map(|(_, line)| {
            let line = line.replace("\\|", "\u{0}");
            let cells = line.trim_matches('|').split('|');
            cells
                .map(|cell| cell.trim().replace('\u{0}', "|"))
                .collect()
        })
        .collect()
}

/// The words in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// An option without its value's name, such as `--unix SOCKET`.
fn flag(text: &str) -> String {
    text.split(' ').next().unwrap().to_owned()
}

fn documented_options(section: &str) -> Options {
    let rows = rows(section)
        .into_iter()
        .filter(|row| row[0].starts_with("`-"));
    rows.map(|row| {
        let names = quoted(&row[0]).map(flag).collect();
        let default = quoted(&row[1]).next().map(str::to_owned);
        (
            names,
            default.or_else(|| Some(row[1].clone()).filter(|text| !text.is_empty())),
        )
    })
    .collect()
}

fn real_options(help: &str) -> Options {
    let list = help.split("Options:\n").nth(1).unwrap();
    let mut options = Options::new();
    let mut open: Option<(BTreeSet<String>, Option<String>)> = None;
    // The end of the list looks like the beginning of another option.
    let end = std::iter::once("  -");
    let list = list
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with(' '));
    for line in list.chain(end) {
        let line = line.trim();
        if line.starts_with('-') && !line.starts_with("- ") {
            options.extend(open.take());
            open = Some((line.split(", ").map(flag).collect(), None));
        }
        let Some((names, default)) = &mut open else {
            continue;
        };
        let bracket = |key: &str| Some(line.split(key).nth(1)?.split(']').next()?.to_owned());
        *default = default.take().or_else(|| bracket("[default: "));
        names.extend(bracket("[alias: "));
    }
    options
}

/// Compares the names and the defaults.
#[track_caller]
fn assert_same_options(documented: &Options, real: &Options) {
    let names = |options: &Options| options.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        names(documented),
        names(real),
        "left: CLI.md, right: --help"
    );
    for (names, default) in real.iter().filter(|(_, default)| default.is_some()) {
        assert_eq!(&documented[names], default, "the default of {names:?}");
    }
}

#[test]
fn every_command_has_a_section_and_no_other() {
    let manual = manual();
    let sections = manual.lines().filter_map(|line| {
        let name = line.strip_prefix("## `nbdbox ")?;
        Some(name.trim_end_matches('`').to_owned())
    });
    assert_eq!(
        sections.collect::<BTreeSet<_>>(),
        commands(),
        "left: CLI.md, right: --help"
    );
    assert!(commands().contains("serve"));
}

#[test]
fn options_are_the_same_in_the_manual_and_in_help() {
    let manual = manual();
    for command in commands() {
        let section = section(&manual, &format!("`nbdbox {command}`"));
        let real = real_options(&help(&command));
        assert!(!real.is_empty());
        assert_same_options(&documented_options(&section), &real);
    }
    let own = manual.split("\n## ").next().unwrap();
    assert_same_options(&documented_options(own), &real_options(&help("")));
}

#[test]
fn values_have_the_same_names() {
    let manual = manual();
    for command in commands() {
        let section = section(&manual, &format!("`nbdbox {command}`"));
        let help = help(&command);
        for row in rows(&section) {
            let Some(option) = quoted(&row[0]).last() else {
                continue;
            };
            let Some((_, value)) = option.split_once(' ') else {
                continue;
            };
            // With aliases, the value's name is behind the last of them.
            assert!(
                help.contains(&format!(" <{value}>\n")),
                "{command} {option}"
            );
        }
    }
}

#[test]
fn usage_lines_are_the_same() {
    let manual = manual();
    for command in commands() {
        let section = section(&manual, &format!("`nbdbox {command}`"));
        let usage = format!("`nbdbox {command}");
        let documented = section
            .lines()
            .skip(1)
            .find(|line| line.starts_with(&usage));
        let documented = documented.unwrap().trim_matches('`');
        let help = help(&command);
        let real = help
            .lines()
            .find_map(|line| line.strip_prefix("Usage: "))
            .unwrap();
        let plain = real.replace(['<', '>'], "").replace("...", "…");
        let plain = match plain.contains("[OPTIONS]") {
            true => plain,
            // clap doesn't count --help.
            false => plain.replacen(&command, &format!("{command} [OPTIONS]"), 1),
        };
        assert_eq!(documented, plain);
    }
}

/// The names of limits that the program lists for a wrong one.
fn limit_keys() -> BTreeSet<String> {
    let ran = run(nbdbox(), ["serve", "--limit", "nonsense=1", "x.wasm"]);
    let list = ran
        .stderr
        .split("the limits are ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    list.split(", ").map(str::to_owned).collect()
}

#[test]
fn limits_and_their_defaults_are_the_same() {
    let section = section(&manual(), "Limits");
    let rows = rows(&section)
        .into_iter()
        .filter(|row| row[0].starts_with('`'));
    let documented: BTreeMap<String, String> = rows
        .map(|row| {
            let word = |cell: &str| cell.trim_matches('`').to_owned();
            assert!(!row[2].is_empty() && !row[3].is_empty(), "{row:?}");
            (word(&row[0]), word(&row[1]))
        })
        .collect();
    assert_eq!(
        documented.keys().cloned().collect::<BTreeSet<_>>(),
        limit_keys()
    );
    // Joins the lines of the paragraph, which help breaks at the terminal's width.
    let help = help("serve")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let paragraph = help.split("with their defaults: ").nth(1).unwrap();
    let words = paragraph
        .split([' ', ',', ';'])
        .filter(|word| !word.is_empty());
    let real: BTreeMap<String, String> = words
        .take_while(|word| !word.starts_with('-'))
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(documented, real, "left: CLI.md, right: serve --help");
    // The program accepts these values: its error is about the plugin.
    let all: Vec<String> = documented
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let ran = run(
        nbdbox(),
        ["serve", "--limit", &all.join(","), "/nowhere.wasm"],
    );
    assert_eq!(ran.code, 1, "{}", ran.stderr);
}

#[test]
fn every_environment_variable_is_documented() {
    let section = section(&manual(), "Environment");
    let documented: BTreeSet<String> = rows(&section)
        .iter()
        .flat_map(|row| quoted(&row[0]).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut sources = String::new();
    for folder in ["../host/src", "../host/crates"] {
        collect(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut sources,
        );
    }
    // The names in capitals in arguments of functions that read the environment, or of closures over them.
    let reads = [
        "var(\"",
        "var_os(\"",
        "from_env(\"",
        "absolute(\"",
        "set(\"",
    ];
    let mut read: BTreeSet<String> = reads
        .iter()
        .flat_map(|read| sources.split(read).skip(1))
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    assert!(
        read.contains("NBDBOX_LOG") && read.contains("HOME"),
        "{read:?}"
    );
    // The standard library reads this one.
    read.insert("TMPDIR".to_owned());
    assert_eq!(documented, read, "left: CLI.md, right: the sources");
}

/// The functions that, by the WIT, the host calls in an instance that it throws away.
fn called_at_load() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let mut comment = String::new();
        for line in fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
            let line = line.trim();
            if let Some(words) = line.strip_prefix("///") {
                comment.push_str(words);
            } else if let Some((name, _)) = line.split_once(": func(") {
                if comment.contains("The host calls it when it loads the") {
                    found.insert(name.to_owned());
                }
                comment.clear();
            } else if !line.starts_with('@') {
                comment.clear();
            }
        }
    }
    found
}

#[test]
fn the_functions_that_inspect_calls_are_documented() {
    let section = section(&manual(), "`nbdbox inspect`");
    let help = help("inspect");
    let called = called_at_load();
    assert!(
        called.contains("describe") && called.len() > 1,
        "{called:?}"
    );
    for function in called {
        let word = format!("`{function}`");
        assert!(section.contains(&word), "CLI.md doesn't say {word}");
        assert!(help.contains(&word), "inspect --help doesn't say {word}");
    }
}

/// Collects all Rust code below a folder.
fn collect(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, text);
        } else if path.extension().is_some_and(|end| end == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
