//! Parses any text as a configuration, alone and together with another file. The parser returns a configuration, or
//! errors with their places, and never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nbdbox_config::config::{Source, parse};

/// Another file of the folder. The parser must find duplicates across files.
const OTHER: &str =
    "[tenant.a]\nclients = [{ uid = 1 }]\n[[tenant.a.export]]\nname = \"x\"\nplugin = \"p\"\n";

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let source = |path, text| Source {
        path: std::path::Path::new(path),
        text,
    };
    let lines = text.matches('\n').count() + 1;
    let files = [source("a/1.toml", text), source("a/2.toml", OTHER)];
    for files in [&files[..1], &files[..]] {
        match parse(files) {
            Ok(config) => {
                assert!(!config.listeners.is_empty());
                for tenant in &config.tenants {
                    assert!(!tenant.clients.is_empty());
                    let mut names: Vec<&str> = tenant
                        .exports
                        .iter()
                        .map(|export| &export.name[..])
                        .collect();
                    names.sort_unstable();
                    names.dedup();
                    assert_eq!(names.len(), tenant.exports.len());
                }
                // Parsing the same text again gives the same configuration.
                assert_eq!(parse(files).as_ref(), Ok(&config));
            }
            Err(problems) => {
                assert!(!problems.is_empty());
                for problem in problems.iter() {
                    assert!(
                        !problem.text.is_empty() && !problem.to_string().contains(char::is_control)
                    );
                    let place = &problem.place;
                    assert!(place.file != "a/1.toml" || (1..=lines).contains(&place.line));
                }
            }
        }
    }
});
