//! The README's guide for hosts.

use std::fs;
use std::path::Path;

use nbdbox_tests::{nbdbox, plugin, shell};

#[test]
fn the_readmes_guide_leads_to_two_isolated_tenants() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let guide = readme.split("## Host many tenants\n").nth(1).unwrap();
    let guide = guide.split("\n## ").next().unwrap();
    let commands = guide.split("```sh\n").skip(1);
    let commands: Vec<&str> = commands
        .map(|block| block.split("```").next().unwrap())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("target/plugins")).unwrap();
    for name in ["file", "pattern"] {
        let copy = folder.path().join(format!("target/plugins/{name}.wasm"));
        fs::copy(plugin(name), copy).unwrap();
    }
    let path = nbdbox().parent().unwrap().display().to_string();
    let script = format!(
        "export PATH={path}:$PATH\ncd {}\ntrap 'kill %1 2>/dev/null || true' EXIT\n{}",
        folder.path().display(),
        commands.concat()
    );
    let output = shell(&script).ok();
    let (output, top) = output.split_once("TENANT  EXPORT  CONN").unwrap();
    assert!(output.contains("all fits"), "{output}");
    assert!(output.contains("export=\"disk\""), "{output}");
    assert!(!output.contains("export=\"test\""), "{output}");
    assert!(output.ends_with("\n2147483648\n"), "{output}");
    let read = "nbdbox_read_bytes_total{tenant=\"bob\",export=\"test\"";
    for row in ["\nalice   disk", "\nalice   more", "\nbob     test", read] {
        assert!(top.contains(row), "{row}: {top}");
    }
}
