//! `nbdbox dev`: clients get the latest build of the plugin.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nbdbox_tests::{guest, nbdbox, plugin, qemu_io, run};
use tempfile::TempDir;

/// Enough for the slowest machine: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `nbdbox dev`, whose plugin is `disk.wasm` in its folder.
struct Dev {
    child: Child,
    folder: TempDir,
}

impl Dev {
    fn start(built: &PathBuf, arguments: &[&str]) -> Self {
        let folder = TempDir::with_prefix("nbdbox-dev-").unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::copy(built, path("disk.wasm")).unwrap();
        let child = Command::new(nbdbox())
            .args(["dev", "-U", "socket", "disk.wasm"])
            .args(arguments)
            .current_dir(folder.path())
            .env_remove("NBDBOX_LOG")
            .stdin(Stdio::null())
            .stdout(File::create(path("stdout")).unwrap())
            .stderr(File::create(path("stderr")).unwrap())
            .spawn()
            .unwrap();
        let dev = Self { child, folder };
        dev.wait_for("stdout", ", on nbd+unix:///");
        dev
    }

    fn uri(&self, export: &str) -> String {
        let socket = self.folder.path().join("socket");
        format!("nbd+unix:///{export}?socket={}", socket.display())
    }

    /// Writes the file anew in place, as a compiler does.
    fn build(&self, bytes: &[u8]) {
        fs::write(self.folder.path().join("disk.wasm"), bytes).unwrap();
    }

    fn copy(&self) -> Vec<u8> {
        let copy = self.folder.path().join("copy");
        let _ = run("nbdcopy", [&self.uri(""), copy.to_str().unwrap()]).ok();
        fs::read(copy).unwrap()
    }

    fn said(&self, stream: &str) -> String {
        fs::read_to_string(self.folder.path().join(stream)).unwrap()
    }

    /// Waits until `dev` has printed `words`, and returns all that it has printed.
    #[track_caller]
    fn wait_for(&self, stream: &str, words: &str) -> String {
        let start = Instant::now();
        loop {
            let said = self.said(stream);
            if said.contains(words) {
                return said;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "no `{words}` in:\n{said}\n{}",
                self.said("stderr")
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        nbdbox_tests::kill(&mut self.child);
    }
}

#[test]
fn clients_meet_the_plugin_that_was_built_last() {
    let dev = Dev::start(&plugin("pattern"), &["size=100000"]);
    let first = dev.copy();
    let told = dev.wait_for("stdout", "budgets memory ");
    assert!(told.starts_with("pattern 0.1.0, "), "{told}");
    assert!(told.contains("read    "), "{told}");
    assert!(told.contains(" of 64 MiB, CPU of a call "), "{told}");

    dev.build(&fs::read(guest("counter")).unwrap());
    dev.wait_for("stdout", "loaded anew in ");
    let second = dev.copy();
    let expected: Vec<u8> = (0..100_000_u32)
        .map(|at| (at % 251).to_le_bytes()[0])
        .collect();
    assert!(first != second && second == expected);

    dev.build(b"int main() {}");
    let told = dev.wait_for("stdout", "not loaded, the old build stays: ");
    assert!(told.contains("it isn't WebAssembly"), "{told}");
    assert!(dev.copy() == expected);
}

#[test]
fn every_call_and_the_guests_log_can_be_seen() {
    let dev = Dev::start(&guest("frozen"), &["--calls"]);
    let commands = ["write -P 7 4096 512", "read -P 7 4096 512"];
    let _ = qemu_io("raw", &dev.uri("old"), &commands);
    let told = dev.wait_for("stdout", "512 B at 4096\nread ");
    assert!(told.contains("write "), "{told}");
    let log = dev.wait_for("stderr", "open old");
    assert!(log.contains("plugin"), "{log}");
}

#[test]
fn it_ends_by_a_signal_and_leaves_no_socket() {
    let mut dev = Dev::start(&plugin("pattern"), &[]);
    let _ = run("kill", [dev.child.id().to_string()]).ok();
    assert_eq!(dev.child.wait().unwrap().code(), Some(0));
    assert!(!dev.folder.path().join("socket").exists());
}

#[test]
fn a_plugin_that_cannot_be_loaded_at_first_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("disk.wasm");
    fs::write(&file, "(module)").unwrap();
    let ran = run(
        nbdbox(),
        [
            "dev".as_ref(),
            "-U".as_ref(),
            "-".as_ref(),
            file.as_os_str(),
        ],
    );
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("text form"), "{}", ran.stderr);
}
