//! Several exports of one command line.

use std::fs;
use std::os::unix::fs::symlink;

use nbdbox_tests::{nbdsh, plugin, run};

use super::scene::Scene;

fn wasm(name: &str) -> String {
    plugin(name).display().to_string()
}

fn size(scene: &Scene, export: &str) -> String {
    let uri = scene.uri().replace("///?", &format!("///{export}?"));
    run("nbdinfo", ["--size", &uri]).ok().trim().to_owned()
}

fn listed(scene: &Scene) -> Vec<String> {
    names(&run("nbdinfo", ["--list", "--json", &scene.uri()]).ok())
}

/// The names in a list.
fn names(json: &str) -> Vec<String> {
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let exports = json["exports"].as_array().unwrap().iter();
    let mut names: Vec<String> = exports
        .map(|export| export["export-name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn each_has_its_own_settings_grants_and_limits() {
    let scene = Scene::new();
    scene.write("d,1", [7; 4096]);
    let server = scene.serve([
        "-U",
        "socket",
        "--add-export",
        "two=memory,size=2M",
        "--add-export",
        "three=file,blob.disk=d,,1:rw,limit.memory=8M",
        &wasm("pattern"),
        "size=1M",
    ]);
    assert_eq!(listed(&scene), ["", "three", "two"].map(str::to_owned));
    assert_eq!(size(&scene, ""), "1048576");
    assert_eq!(size(&scene, "two"), "2097152");
    assert_eq!(size(&scene, "three"), "4096");
    let uri = scene.uri().replace("///?", "///three?");
    let _ = nbdsh(&uri, "h.pwrite(b'x' * 512, 512)\nh.flush()").ok();
    assert_eq!(fs::read(scene.path("d,1")).unwrap()[512..1024], [b'x'; 512]);
    assert_eq!(server.stop().status.code(), Some(0));
    scene.assert_clean();
}

#[test]
fn filters_and_read_only_are_for_all_of_them() {
    let scene = Scene::new();
    let server = scene.serve([
        "-U",
        "socket",
        "-r",
        "--filter",
        "offset,offset=512K",
        "--add-export",
        "a=memory,size=1M",
        "--add-export",
        "b=pattern,size=2M",
    ]);
    assert_eq!(
        (size(&scene, "a"), size(&scene, "b")),
        ("524288".to_owned(), "1572864".to_owned())
    );
    let uri = scene.uri().replace("///?", "///a?");
    assert_eq!(run("nbdinfo", ["--is", "readonly", &uri]).code, 0);
    assert_ne!(
        run("nbdinfo", ["--size", &scene.uri()]).code,
        0,
        "no option says which export the empty name is"
    );
    assert_eq!(server.stop().status.code(), Some(0));
}

#[test]
fn the_uri_names_the_first_export_by_default() {
    let scene = Scene::new();
    let words = |more: &[&str]| {
        let words = [
            "serve",
            "--add-export",
            "b=pattern,size=2M",
            "--add-export",
            "a=pattern,size=1M",
        ];
        let run = ["--run", "echo $exportname; nbdinfo --size \"$uri\""];
        scene.run(words.iter().chain(more).chain(&run)).ok()
    };
    assert_eq!(words(&[]), "a\n1048576\n");
    assert_eq!(words(&["-e", "b"]), "b\n2097152\n");
    assert_eq!(words(&["memory", "size=3M"]), "\n3145728\n");
}

#[test]
fn each_regular_file_of_a_folder_is_an_export() {
    let scene = Scene::new();
    let path = |name: &str| scene.path("images").join(name);
    fs::create_dir_all(path("folder")).unwrap();
    for (name, size) in [("one", 1 << 20), ("two words", 2 << 20), (".hidden", 512)] {
        fs::File::create(path(name)).unwrap().set_len(size).unwrap();
    }
    scene.write("outside", "secret");
    symlink("../outside", path("link")).unwrap();
    let mut server = scene.serve(["-U", "socket", "--export-folder", "images"]);
    assert_eq!(
        listed(&scene),
        [".hidden", "one", "two words"].map(str::to_owned)
    );
    assert_eq!(size(&scene, "two%20words"), "2097152");
    let uri = scene.uri().replace("///?", "///one?");
    assert_eq!(run("nbdinfo", ["--is", "readonly", &uri]).code, 0);
    // The server notices files that come and go.
    fs::File::create(path("three"))
        .unwrap()
        .set_len(3 << 20)
        .unwrap();
    fs::remove_file(path("one")).unwrap();
    server.wait_for(|| {
        let list = run("nbdinfo", ["--list", "--json", &scene.uri()]);
        // nbdinfo opens each export of the list, and one may have gone since.
        list.code == 0 && names(&list.stdout) == [".hidden", "three", "two words"]
    });
    assert_eq!(size(&scene, "three"), "3145728");
    assert_eq!(server.stop().status.code(), Some(0));
    scene.assert_clean();
}

#[test]
fn a_folder_may_be_written_to() {
    let scene = Scene::new();
    fs::create_dir(scene.path("images:ro")).unwrap();
    fs::write(scene.path("images:ro/disk"), [0; 4096]).unwrap();
    let server = scene.serve(["-U", "socket", "--export-folder", "images:ro:rw"]);
    let uri = scene.uri().replace("///?", "///disk?");
    let _ = nbdsh(&uri, "h.pwrite(b'y' * 4096, 0)\nh.flush()").ok();
    assert_eq!(
        fs::read(scene.path("images:ro/disk")).unwrap(),
        [b'y'; 4096]
    );
    assert_eq!(server.stop().status.code(), Some(0));
}

#[test]
fn errors_are_reported_before_it_listens() {
    let scene = Scene::new();
    scene.write("disk", [0; 512]);
    fs::create_dir(scene.path("images")).unwrap();
    fs::hard_link(scene.path("disk"), scene.path("images/disk")).unwrap();
    for (words, status, expected) in [
        (&["--add-export", "pattern"][..], 2, "NAME=PLUGIN"),
        (&["--add-export", "a="], 2, "is missing"),
        (&["--add-export", "a=Pattern"], 2, "./Pattern"),
        (&["--add-export", "a=patern"], 1, "did you mean `pattern`?"),
        (&["--add-export", "a=pattern,sise=1"], 1, "sise"),
        (
            &["--add-export", "a=pattern", "--add-export", "a=memory"],
            1,
            "two exports have the name `a`",
        ),
        (&["--add-export", "a=file"], 1, "export `a`"),
        (
            &["--add-export", "a=pattern", "--blob", "disk=disk"],
            1,
            "blob.NAME=PATH",
        ),
        (
            &[
                "--add-export",
                "a=file,blob.disk=disk:rw",
                "--export-folder",
                "images:rw",
            ],
            1,
            "same file",
        ),
        (&["--export-folder", "nowhere"], 1, "nowhere"),
        (&["--export-folder", ":rw"], 2, "the folder is missing"),
        (
            &["--config", "x", "--export-folder", "images"],
            2,
            "cannot be used with",
        ),
    ] {
        let ran = scene.run(["serve", "-P", "pid", "-U", "socket"].iter().chain(words));
        assert_eq!(ran.code, status, "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{words:?}: {}", ran.stderr);
        scene.assert_clean();
    }
}
