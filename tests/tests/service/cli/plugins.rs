//! Plugins that are found by name.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use nbdbox_tests::{nbdbox, plugin};
use serde_json::Value;

use super::scene::{Ended, Scene};

/// Runs the program with only these folders of plugins, and those of the system.
fn run(scene: &Scene, environment: &[(&str, &str)], words: &[&str]) -> Ended {
    let mut command = scene.command(words);
    command
        .env("HOME", scene.path("home"))
        .env_remove("XDG_DATA_HOME")
        .env_remove("NBDBOX_PLUGIN_PATH");
    command.envs(environment.iter().copied());
    scene.launch(command).end()
}

/// A folder of the scene that has these plugins under other names.
fn folder(scene: &Scene, path: &str, plugins: &[(&str, &str)]) -> String {
    let folder = scene.path(path);
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    for (name, original) in plugins {
        fs::copy(plugin(original), folder.join(format!("{name}.wasm"))).unwrap();
    }
    folder.display().to_string()
}

const SIZE: [&str; 2] = ["--run", "nbdinfo --size \"$uri\""];

#[test]
fn a_name_is_found_beside_the_program() {
    let scene = Scene::new();
    let ended = run(
        &scene,
        &[],
        &["serve", "pattern", "size=3M", SIZE[0], SIZE[1]],
    );
    assert_eq!(ended.stdout.trim(), "3145728", "{}", ended.log);
    scene.write("below", [0; 4096]);
    let words = [
        "serve",
        "--filter",
        "offset,offset=512",
        "--blob=disk=below",
        "file",
        SIZE[0],
        SIZE[1],
    ];
    assert_eq!(run(&scene, &[], &words).stdout.trim(), "3584");
    for words in [
        &["inspect", "pattern"][..],
        &["map", "--totals", "sparse", "size=1M"],
        &["test", "--only", "size", "pattern"],
    ] {
        let ended = run(&scene, &[], words);
        assert!(
            !ended.log.contains("there is no plugin"),
            "{words:?}: {}",
            ended.log
        );
        assert!(
            !ended.stdout.is_empty() || words[0] == "test",
            "{words:?}: {}",
            ended.log
        );
    }
}

#[test]
fn the_first_folder_counts() {
    let scene = Scene::new();
    // Each folder has another plugin under the same name; the sizes tell them apart.
    let said = folder(&scene, "said", &[("pattern", "memory")]);
    let path = folder(&scene, "path", &[("pattern", "sparse")]);
    folder(
        &scene,
        "home/.local/share/nbdbox/plugins",
        &[("pattern", "memory"), ("mine", "pattern")],
    );
    let name = |environment: &[(&str, &str)], words: &[&str]| {
        let words = [&["plugins", "--json"], words].concat();
        let printed = run(&scene, environment, &words).stdout;
        let all: Vec<Value> = serde_json::from_str(&printed).unwrap();
        let file = |name: &str| {
            let found = all.iter().find(|plugin| plugin["name"] == name);
            found.map(|plugin| plugin["file"].as_str().unwrap().to_owned())
        };
        (file("pattern").unwrap(), file("mine").is_some())
    };
    let none = folder(&scene, "none", &[]);
    let with_path = format!("{none}::{path}");
    assert!(
        name(
            &[("NBDBOX_PLUGIN_PATH", &with_path)],
            &["--plugin-path", &said]
        )
        .0
        .starts_with(&said)
    );
    assert!(
        name(&[("NBDBOX_PLUGIN_PATH", &with_path)], &[])
            .0
            .starts_with(&path)
    );
    let (file, mine) = name(&[], &[]);
    assert!(file.contains("home/.local") && mine, "{file}");
    let (file, mine) = name(&[("XDG_DATA_HOME", &none)], &[]);
    assert!(!file.contains("home/.local") && !mine, "{file}");
}

#[test]
fn a_folder_that_others_can_write_to_is_left_out() {
    let scene = Scene::new();
    let open = folder(&scene, "open", &[("mine", "pattern")]);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o775)).unwrap();
    let words = ["serve", "--plugin-path", &open, "mine", SIZE[0], SIZE[1]];
    let ended = run(&scene, &[], &words);
    assert_eq!(ended.status.code(), Some(1));
    for word in ["WARN", &open, "775", "there is no plugin `mine`"] {
        assert!(ended.log.contains(word), "{word}: {}", ended.log);
    }
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(run(&scene, &[], &words).stdout.trim(), "1048576");
}

#[test]
fn an_unknown_name_gets_a_suggestion() {
    let scene = Scene::new();
    fs::copy(plugin("pattern"), scene.path("plugin")).unwrap();
    fs::copy(plugin("pattern"), scene.path("Plugin")).unwrap();
    for (words, status, expected) in [
        (&["serve", "plugin"][..], 1, "./plugin"),
        (&["serve", "Plugin"], 2, "./Plugin"),
        (&["serve", "patern"], 1, "did you mean `pattern`?"),
        (&["inspect", "qcow"], 1, "did you mean `qcow2`?"),
        (
            &["serve", "--filter", "cwo", "pattern"],
            1,
            "did you mean `cow`?",
        ),
        (
            &["serve", "--filter", "noextent", "pattern"],
            1,
            "did you mean `noextents`?",
        ),
        (&["inspect", "delay"], 1, "--filter delay"),
        (&["serve", "--filter", "Cow", "pattern"], 2, "./Cow"),
        (&["serve", "oci://ghcr.io/nbdbox/qcow2:1"], 1, "registry"),
        (&["serve", "oci://ghcr.io"], 2, "REPOSITORY"),
    ] {
        let ended = run(&scene, &[], words);
        assert_eq!(
            ended.status.code(),
            Some(status),
            "{words:?}: {}",
            ended.log
        );
        assert!(ended.log.contains(expected), "{words:?}: {}", ended.log);
    }
    let ended = run(&scene, &[], &["serve", "./plugin", SIZE[0], SIZE[1]]);
    assert_eq!(ended.stdout.trim(), "1048576", "{}", ended.log);
}

#[test]
fn a_configuration_uses_its_own_plugin_path_and_no_home_folder() {
    let scene = Scene::new();
    folder(&scene, "own", &[("mine", "pattern"), ("shift", "offset")]);
    let home = folder(
        &scene,
        "home/.local/share/nbdbox/plugins",
        &[("homes", "pattern")],
    );
    let serve = |plugins: &str, plugin: &str| {
        let text = format!(
            "{plugins}\n[[listener]]\nname = \"l\"\nunix = \"socket\"\n[tenant.a]\nclients = [{{ listener = \"l\" }}]\n\
             [[tenant.a.export]]\nname = \"\"\nplugin = \"{plugin}\"\nsettings = {{ size = \"2M\" }}\n\
             filters = [{{ plugin = \"shift\", settings = {{ offset = \"1M\" }} }}]\n"
        );
        scene.write("c.toml", text);
        run(
            &scene,
            &[("NBDBOX_PLUGIN_PATH", &home)],
            &["serve", "--config", "c.toml", SIZE[0], SIZE[1]],
        )
    };
    for plugins in [
        "[plugins]\npath = \"own\"",
        "[plugins]\npath = [\"nowhere\", \"own\"]",
    ] {
        for plugin in ["mine", "pattern", "own/mine.wasm"] {
            let ended = serve(plugins, plugin);
            assert_eq!(ended.stdout.trim(), "1048576", "{plugin}: {}", ended.log);
        }
    }
    let ended = serve("[plugins]\npath = \"own\"", "homes");
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.log.contains("there is no plugin `homes`"),
        "{}",
        ended.log
    );
    let ended = run(&scene, &[], &["check", "c.toml"]);
    assert!(
        ended.log.contains("there is no plugin `homes`"),
        "{}",
        ended.log
    );
    let ended = serve("", "My_plugin");
    assert!(ended.log.contains("./My_plugin"), "{}", ended.log);
}

#[test]
fn the_list_shows_what_each_plugin_is_and_needs() {
    let scene = Scene::new();
    let own = folder(&scene, "own", &[("image", "qcow2"), ("copy", "cow")]);
    fs::write(scene.path("own/broken.wasm"), "not wasm").unwrap();
    // A copy of the program, so that only this folder and the system's are searched.
    let program = scene.path("bin/nbdbox");
    fs::create_dir(scene.path("bin")).unwrap();
    fs::copy(nbdbox(), &program).unwrap();
    let list = |words: &[&str]| {
        let like = scene.command([""; 0]);
        let mut command = Command::new(&program);
        for (name, value) in like.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
            .env_remove("NBDBOX_LOG")
            .env("HOME", "/")
            .args(["plugins", "--plugin-path", &own])
            .args(words);
        scene.launch(command).end()
    };
    let ended = list(&[]);
    assert_eq!(
        ended.status.code(),
        Some(1),
        "one can't be used: {}",
        ended.log
    );
    for line in [
        "copy 0.1.0 (filter): ",
        "    needs   blob image:",
        "broken: can't be used: ",
        "    digest  sha256:",
        "delay 0.1.0 (native filter): delays calls\n    needs   nothing\nerror 0.1.0 (native filter): ",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {}", ended.stdout);
    }
    let all: Vec<Value> = serde_json::from_str(&list(&["--json"]).stdout).unwrap();
    let names: Vec<&str> = all
        .iter()
        .map(|plugin| plugin["name"].as_str().unwrap())
        .collect();
    assert_eq!(names[..3], ["broken", "copy", "image"]);
    let own =
        "blocksize-policy delay error exitlast exitwhen fua log nocache noextents notrim nozero";
    assert_eq!(names[3..].join(" "), own);
    for native in &all[3..] {
        assert_eq!(native["kind"], "native filter");
        assert!(
            native["file"].is_null() && native["digest"].is_null(),
            "{native}"
        );
        assert!(!native["summary"].as_str().unwrap().is_empty(), "{native}");
    }
    assert!(all[0]["error"].as_str().unwrap().contains("WebAssembly"));
    assert_eq!(all[2]["kind"], "plugin");
    assert!(
        all[2]["needs"]["blobs"][0]
            .as_str()
            .unwrap()
            .starts_with("image:")
    );
    assert_eq!(all[2]["digest"].as_str().unwrap().len(), 7 + 64);
}
