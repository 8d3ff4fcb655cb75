//! Python: a FAT volume of granted files, checked by fsck.vfat and read by mtools.

use std::fs::{self, File};
use std::path::Path;

use nbdbox_tests::{Random, Run, Server, nbdbox, plugin, run};
use tempfile::TempDir;

use super::{compile_once, keeps_the_contract};

/// A folder with granted files, and the arguments that grant them.
struct Scene {
    folder: TempDir,
    grants: Vec<String>,
}

impl Scene {
    fn new(files: &[(&str, &[u8])]) -> Self {
        compile_once(&plugin("fat"));
        let folder = TempDir::with_prefix("nbdbox-fat-").unwrap();
        let mut grants = Vec::new();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            grants.push("--blob".to_owned());
            grants.push(format!("{name}={}:map-only", path.display()));
        }
        Self { folder, grants }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self, files: &str) -> Vec<String> {
        let mut arguments = self.grants.clone();
        arguments.push(plugin("fat").display().to_string());
        arguments.push(format!("files={files}"));
        arguments
    }

    fn serve(&self, files: &str) -> Server {
        Server::start(self.arguments(files))
    }

    fn refused(&self, files: &str) -> String {
        let arguments = self.arguments(files);
        let serve = ["serve", "--run", "true"].map(str::to_owned);
        let refused: Run = run(nbdbox(), serve.iter().chain(&arguments));
        assert_eq!(refused.code, 1, "{refused:?}");
        refused.stderr
    }
}

fn fsck(volume: &Path) -> String {
    let program = ["/usr/sbin/fsck.vfat", "/sbin/fsck.vfat"];
    let program = program.into_iter().find(|path| Path::new(path).exists());
    run(program.unwrap(), ["-n".as_ref(), volume.as_os_str()]).ok()
}

fn file_in(volume: &Path, name: &str, to: &Path) -> Vec<u8> {
    let image = volume.as_os_str();
    let from = format!("::/{name}");
    let options = ["-n".as_ref(), "-i".as_ref(), image];
    let operands = [from.as_ref(), to.as_os_str()];
    let _ = run("mcopy", options.into_iter().chain(operands)).ok();
    fs::read(to).unwrap()
}

#[test]
fn files_are_in_the_volume_byte_for_byte() {
    let mut random = Random::seeded(32);
    let (large, exact) = (random.bytes(3_000_001), random.bytes(8192));
    let scene = Scene::new(&[
        ("a", b"hello"),
        ("large", &large),
        ("exact", &exact),
        ("none", b""),
    ]);
    let server =
        scene.serve("a:hello world.text,large,exact:a name of more than thirteen letters,none");
    let volume = scene.path("volume");
    let _ = run("nbdcopy", [&server.uri(), volume.to_str().unwrap()]).ok();
    assert!(fsck(&volume).contains("5 files, 737/65525 clusters"));
    let copy = scene.path("copy");
    assert_eq!(file_in(&volume, "hello world.text", &copy), b"hello");
    assert!(file_in(&volume, "large", &copy) == large);
    assert!(file_in(&volume, "a name of more than thirteen letters", &copy) == exact);
    assert!(file_in(&volume, "none", &copy).is_empty());
}

#[test]
fn holes_of_a_file_are_holes_of_the_volume() {
    let scene = Scene::new(&[("sparse", b"")]);
    File::options()
        .write(true)
        .open(scene.path("sparse"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let server = scene.serve("sparse");
    let totals = run("nbdinfo", ["--map", "--totals", &server.uri()]).ok();
    let data = totals.lines().find(|line| line.ends_with("data")).unwrap();
    let data: u64 = data.split_whitespace().next().unwrap().parse().unwrap();
    // The reserved sectors, two tables with 4 bytes for each of 2^18 clusters and 3 more, and the directory.
    assert_eq!(data, 4096 + 2 * 4 * ((1 << 18) + 3) + 3 * 32, "{totals}");
}

#[test]
fn what_cannot_be_a_volume_is_refused_in_words() {
    let scene = Scene::new(&[("a", b"1"), ("b", b"2")]);
    assert!(scene.refused("c").contains("c isn't granted"));
    assert!(
        scene
            .refused("a:x,b:X")
            .contains("two files have the same name")
    );
    assert!(scene.refused("a:x*y").contains("isn't a valid file name"));
    let huge = File::options().write(true).open(scene.path("a")).unwrap();
    huge.set_len(1 << 32).unwrap();
    assert!(scene.refused("a").contains("smaller than 4 GiB"));
}

#[test]
fn it_keeps_the_contract() {
    let bytes = Random::seeded(4).bytes(300_001);
    let scene = Scene::new(&[("a", &bytes), ("b", b"hello")]);
    keeps_the_contract(&scene.arguments("a,b:hello"));
}
