//! `nbdbox new`: in every language it makes a folder that builds, passes its own test, and is served to real clients,
//! with only the kit in the folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use nbdbox_tests::{Run, Server, nbdbox, run};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn new(lang: &str, folder: &Path) -> Run {
    let words = ["new", "--lang", lang].map(Into::into);
    run(
        nbdbox(),
        words.iter().chain([&folder.as_os_str().to_owned()]),
    )
}

/// A new folder, with the compilers of `make setup` in place of those that it would fetch.
struct Made {
    parent: TempDir,
    name: &'static str,
}

impl Made {
    fn new(lang: &str, name: &'static str) -> Self {
        let parent = TempDir::with_prefix("nbdbox-new-").unwrap();
        let made = Self { parent, name };
        let said = new(lang, &made.folder()).ok();
        assert!(said.contains(&format!("builds {name}.wasm")), "{said}");
        made
    }

    fn folder(&self) -> PathBuf {
        self.parent.path().join(self.name)
    }

    /// Runs a script in the folder, as its author would.
    fn shell(&self, script: &str) -> Run {
        shell(&self.folder(), script)
    }

    /// Uses the packages of `make setup` in place of `npm install`.
    fn with_node_modules(self) -> Self {
        let modules = root()
            .canonicalize()
            .unwrap()
            .join("target/guest-kits/node/node_modules");
        std::os::unix::fs::symlink(modules, self.folder().join("node_modules")).unwrap();
        self
    }

    /// Checks that test.sh passed in `make test`, and that it fails for another disk.
    fn its_own_test_can_fail(&self, tested: &Run) {
        let right = "test.sh: a byte in its middle is right";
        assert!(tested.stdout.contains(right), "{}", tested.stdout);
        let name = self.name;
        let other = format!("nbdbox serve {name}.wasm size=999 --run 'sh test.sh \"$uri\"'");
        let failed = self.shell(&other);
        assert_eq!(failed.code, 1);
        let words = "test.sh: its size is '999', not '1000'";
        assert!(failed.stderr.contains(words), "{}", failed.stderr);
    }

    /// Follows the folder's README, and then copies the whole of a larger disk.
    fn check(&self) {
        let readme = fs::read_to_string(self.folder().join("README.md")).unwrap();
        let blocks: Vec<&str> = readme.split("```").skip(1).step_by(2).collect();
        let [build, serve, printed] = blocks[..] else {
            panic!("{readme}")
        };
        assert!(
            build.contains("\nmake ") && build.contains("\nmake test "),
            "{build}"
        );
        let built = self.shell("make");
        assert_eq!(built.code, 0, "{}{}", built.stdout, built.stderr);
        let tested = self.shell("make test");
        assert_eq!(tested.code, 0, "{}{}", tested.stdout, tested.stderr);
        assert!(tested.stdout.contains(", 0 broken, "), "{}", tested.stdout);
        self.its_own_test_can_fail(&tested);
        let served = self.shell(serve.strip_prefix("sh\n").unwrap());
        assert_eq!(served.code, 0, "{}", served.stderr);
        assert_eq!(served.stdout, printed.strip_prefix("text\n").unwrap());
        assert!(
            self.shell("make serve")
                .ok()
                .contains("export-size: 1048576")
        );

        let plugin = self.folder().join(format!("{}.wasm", self.name));
        let server = Server::start([plugin.as_os_str(), "size=1000003".as_ref()]);
        let copy = server.folder().join("copy");
        let _ = run("nbdcopy", [&server.uri(), copy.to_str().unwrap()]).ok();
        let expected: Vec<u8> = (0..1_000_003_u32)
            .map(|at| (at % 251).to_le_bytes()[0])
            .collect();
        assert!(fs::read(copy).unwrap() == expected);
    }
}

/// Held by tests that build in Rust, because they share a target folder and the file in it.
pub(crate) static RUST: Mutex<()> = Mutex::new(());

/// Runs a script in a folder, as an author would who has nbdbox installed.
pub(crate) fn shell(folder: &Path, script: &str) -> Run {
    let root = root().canonicalize().unwrap();
    let target = root.join("target");
    let kits = target.join("guest-kits");
    let toolchain = target.join("guest-toolchain/env");
    let program = nbdbox();
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c"]);
    shell.arg(format!("source {}; {script}", toolchain.display()));
    shell
        .current_dir(folder)
        .env("NBDBOX", &program)
        .env(
            "PATH",
            format!("{}:{path}", program.parent().unwrap().display()),
        )
        .env(
            "ZIG",
            format!("{}/python/bin/python -m ziglang", kits.display()),
        )
        .env("COMPONENTIZE_PY", kits.join("python/bin/componentize-py"))
        // The packages of the example plugins are there, so cargo has nothing to fetch and little to compile.
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", target.join("guests"))
        .env_remove("NBDBOX_LOG")
        .env_remove("MAKEFLAGS");
    shell.output().unwrap().into()
}

#[test]
fn a_plugin_in_rust() {
    let _turn = RUST.lock();
    Made::new("rust", "my-disk").check();
}

#[test]
fn a_plugin_in_c() {
    Made::new("c", "my_disk2").check();
}

#[test]
fn a_plugin_in_cpp() {
    Made::new("cpp", "MyDisk").check();
}

#[test]
fn a_plugin_in_zig() {
    Made::new("zig", "mydisk").check();
}

#[test]
fn a_plugin_in_python() {
    Made::new("python", "my-disk").check();
}

#[test]
fn a_plugin_in_javascript() {
    Made::new("js", "my-disk").with_node_modules().check();
}

#[test]
fn a_plugin_in_typescript() {
    Made::new("ts", "my-disk").with_node_modules().check();
}

#[test]
fn a_folder_that_is_there_stays_as_it_is() {
    let made = Made::new("c", "disk");
    fs::write(made.folder().join("disk.c"), "work").unwrap();
    let refused = new("rust", &made.folder());
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("it exists already"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        fs::read_to_string(made.folder().join("disk.c")).unwrap(),
        "work"
    );
    assert_eq!(fs::read_dir(made.parent.path()).unwrap().count(), 1);
}

#[test]
fn a_name_that_a_plugin_cannot_have_is_refused() {
    let parent = TempDir::new().unwrap();
    for name in ["1st", "a b", "größe", "-x", &"x".repeat(65)] {
        let refused = new("c", &parent.path().join(name));
        assert_eq!(refused.code, 1, "{name}");
        assert!(
            refused.stderr.contains("can't be a plugin's name"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

/// The versions that `make setup` installs are those that a new folder would fetch.
#[test]
fn templates_name_the_versions_that_are_tested() {
    let setup = fs::read_to_string(root().join("tests/setup/guest-kits.sh")).unwrap();
    let template = |path: &str| {
        let path = root().join("guest-sdk/templates").join(path);
        fs::read_to_string(path).unwrap()
    };
    let version = |text: &str, package: &str| {
        let rest = text
            .split(package)
            .nth(1)
            .unwrap_or_else(|| panic!("no {package}"));
        let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()
            .unwrap()
            .to_owned()
    };
    for (file, package) in [
        ("c/Makefile", "ziglang=="),
        ("cpp/Makefile", "ziglang=="),
        ("zig/Makefile", "ziglang=="),
        ("python/Makefile", "componentize-py=="),
        ("js/package.json", "/componentize-js"),
        ("ts/package.json", "/componentize-js"),
    ] {
        assert_eq!(
            version(&template(file), package),
            version(&setup, package),
            "{file}"
        );
    }
    assert_eq!(
        version(&template("ts/package.json"), "typescript\":"),
        version(&setup, "typescript@")
    );
    let dependencies = |text: &str| {
        text.split("[dependencies]\n")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    let kit = fs::read_to_string(root().join("guest-sdk/Cargo.toml")).unwrap();
    assert_eq!(
        dependencies(&template("rust/kit/nbdbox-plugin/Cargo.toml")),
        dependencies(&kit)
    );
}
