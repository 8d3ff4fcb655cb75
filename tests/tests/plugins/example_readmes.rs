//! The commands in the examples' READMEs print what the READMEs show.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use nbdbox_tests::{Run, nbdbox, plugin};
use tempfile::TempDir;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../example-plugins")
}

fn readme(folder: &Path) -> String {
    fs::read_to_string(folder.join("README.md")).unwrap()
}

/// The fenced blocks of one language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

/// The folders that have a plugin.
fn plugins() -> Vec<PathBuf> {
    let folders = fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    folders
        .filter(|path| path.join("README.md").exists())
        .collect()
}

/// Runs a script as in the repository's root after `make plugins build`.
fn run_as_documented(script: &str) -> Run {
    let root = TempDir::with_prefix("nbdbox-readme-").unwrap();
    let target = root.path().join("target");
    fs::create_dir_all(target.join("release")).unwrap();
    symlink(plugin("pattern").parent().unwrap(), target.join("plugins")).unwrap();
    symlink(nbdbox(), target.join("release/nbdbox")).unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", script]);
    shell
        .current_dir(root.path())
        .env_remove("NBDBOX_LOG")
        .output()
        .unwrap()
        .into()
}

/// Drops what may differ: blanks, and the length of the data in a file with one written block, which is the block size
/// of the file system.
fn normalised(text: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines()
        .map(words)
        .map(|line| line.trim().to_owned())
        .collect()
}

#[test]
fn every_readmes_command_prints_what_it_says() {
    let plugins = plugins();
    assert!(plugins.len() >= 4);
    for folder in plugins {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let text = readme(&folder);
        let commands = blocks(&text, "sh");
        let [build, serve] = commands[..] else {
            panic!("{name}: two commands")
        };
        assert_eq!(build, "make plugins build\n", "{name}");
        assert!(
            serve.contains(&format!("target/plugins/{name}.wasm")),
            "{name}: {serve}"
        );
        let [expected] = blocks(&text, "text")[..] else {
            panic!("{name}: one output")
        };
        let ran = run_as_documented(serve);
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        assert_eq!(ran.stderr, "", "{name}");
        let (expected, printed) = (normalised(expected), normalised(&ran.stdout));
        if name == "file" && !has_small_blocks() {
            assert_eq!(expected[3..], printed[printed.len() - 2..], "{name}");
        } else {
            assert_eq!(expected, printed, "{name}");
        }
    }
}

/// Whether the file system of temporary files can end a hole after 4 KiB of data.
fn has_small_blocks() -> bool {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 20).unwrap();
    file.write_all_at(b"x", 1 << 19).unwrap();
    file.sync_all().unwrap();
    file.metadata().unwrap().blocks() * 512 == 4096
}

#[test]
fn the_index_names_every_example() {
    let index = readme(&examples());
    for folder in plugins() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(index.contains(&format!("[{name}]({name}/)")), "{name}");
    }
}

#[test]
fn settings_in_readmes_are_those_of_the_plugin() {
    for folder in plugins() {
        let text = readme(&folder);
        let script = joined(blocks(&text, "sh")[1]);
        let mut words = script.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let Some((file, given)) = word.split_once(".wasm") else {
                continue;
            };
            let known = keys(file.rsplit('/').next().unwrap());
            let given = given.split(',').skip(1);
            let mut given: Vec<&str> = given.filter(|word| !word.starts_with("blob.")).collect();
            let is_setting = |word: &&str| !word.starts_with('-') && *word != "\\";
            while !word.contains('=')
                && let Some(setting) = words.next_if(is_setting)
            {
                given.push(setting);
            }
            for setting in given {
                let key = setting.split('=').next().unwrap();
                assert!(known(key), "{}: {word} {setting}", folder.display());
            }
        }
    }
}

/// A script whose quoted words have no blanks, so that each is one word.
fn joined(script: &str) -> String {
    let mut quoted = false;
    let join = |c: char| {
        quoted ^= c == '\'';
        if quoted && c.is_whitespace() { '_' } else { c }
    };
    script.chars().map(join).collect()
}

/// Returns whether the plugin `name` knows a key.
fn keys(name: &str) -> impl Fn(&str) -> bool {
    let inspected = nbdbox_tests::run(nbdbox(), ["inspect".as_ref(), plugin(name).as_os_str()]);
    let inspected = inspected.ok();
    move |key| inspected.contains(&format!("{key}=")) || inspected.contains("*=")
}
