//! The mistakes that an operator can make. Each gets one clear line that names the cause, and status 1 (2 for wrong
//! usage). Nothing is half started, and nothing is left behind.

use std::fs;
use std::io::{self, Read as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use nbd_proto::{Errno, Framing};
use nbdbox_tests::{Client, Run, guest, plugin, run};

use super::scene::Scene;

fn wasm(name: &str) -> String {
    plugin(name).display().to_string()
}

/// The server refuses to start with these arguments, in one line with these words.
#[track_caller]
fn refused(scene: &Scene, arguments: &[&str], words: &[&str]) {
    let ran = scene.run(
        ["serve", "-U", "socket", "-P", "pid"]
            .iter()
            .chain(arguments),
    );
    assert_refusal(&ran, words);
    scene.assert_clean();
}

#[track_caller]
fn assert_refusal(ran: &Run, words: &[&str]) {
    let stderr = &ran.stderr;
    assert_eq!((ran.code, &ran.stdout[..]), (1, ""), "{stderr}");
    // The log may have the details in front of it.
    let said: Vec<&str> = stderr
        .lines()
        .filter(|line| !line.contains(" WARN "))
        .collect();
    let [line] = said[..] else {
        panic!("not one line:\n{stderr}")
    };
    assert!(line.starts_with("nbdbox: "), "{line}");
    for word in words {
        assert!(line.contains(word), "`{word}` isn't in: {line}");
    }
}

/// `serve` and `inspect` refuse a file that is no plugin, with the same words.
#[track_caller]
fn no_plugin(scene: &Scene, file: &str, words: &[&str]) {
    let words: Vec<&str> = words.iter().chain(&[file]).copied().collect();
    let path = match file.contains('/') {
        true => file.to_owned(),
        false => format!("./{file}"),
    };
    refused(scene, &[&path], &words);
    assert_refusal(&scene.run(["inspect", &path]), &words);
    scene.assert_clean();
}

/// Wrong usage: the line names the mistake and where help is, and the status is 2.
#[track_caller]
fn misused(arguments: &[&str], words: &[&str]) {
    let scene = Scene::new();
    let ran = scene.run(["serve", "-P", "pid"].iter().chain(arguments));
    let stderr = &ran.stderr;
    assert_eq!((ran.code, &ran.stdout[..]), (2, ""), "{stderr}");
    assert!(
        stderr.starts_with("error: ") && stderr.contains("--help"),
        "{stderr}"
    );
    let first = stderr.lines().next().unwrap();
    for word in words {
        assert!(stderr.contains(word), "`{word}` isn't in: {first}");
    }
    scene.assert_clean();
}

// Files that are no plugins

#[test]
fn a_plugin_that_isnt_there() {
    no_plugin(&Scene::new(), "nowhere.wasm", &["No such file"]);
}

#[test]
fn a_plugin_that_may_not_be_read() {
    let scene = Scene::new();
    let file = scene.write("secret.wasm", []);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(file).is_ok() {
        eprintln!("SKIPPED: root may read everything");
        return;
    }
    no_plugin(&scene, "secret.wasm", &["Permission denied"]);
}

#[test]
fn a_plugin_that_is_a_folder_a_pipe_or_a_device() {
    let scene = Scene::new();
    let _ = run("mkfifo", [scene.path("pipe")]).ok();
    for file in ["tmp", "pipe", "/dev/zero"] {
        no_plugin(&scene, file, &["not a regular file"]);
    }
}

#[test]
fn a_plugin_that_isnt_webassembly() {
    let scene = Scene::new();
    scene.write("empty", []);
    scene.write("text", "hello, plugin\n");
    let mut state = 1_u64;
    let noise = (0..10_000).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    });
    scene.write("noise", noise.collect::<Vec<u8>>());
    scene.write("header", b"\0asm\x01\0");
    for file in ["empty", "text", "noise", "header"] {
        no_plugin(&scene, file, &["it isn't WebAssembly"]);
    }
}

#[test]
fn a_plugin_that_was_cut_off() {
    let scene = Scene::new();
    let whole = fs::read(plugin("pattern")).unwrap();
    for length in [1000, whole.len() / 2, whole.len() - 1] {
        scene.write("cut.wasm", &whole[..length]);
        no_plugin(&scene, "cut.wasm", &["damaged or cut off"]);
    }
    let component = wat::parse_str("(component (core module (func)))").unwrap();
    scene.write("component.wasm", &component[..component.len() - 1]);
    no_plugin(&scene, "component.wasm", &["isn't a valid component"]);
}

#[test]
fn a_core_module_without_types() {
    let scene = Scene::new();
    let module = "(module (memory (export \"memory\") 1) (func (export \"_start\")))";
    scene.write("core.wasm", wat::parse_str(module).unwrap());
    no_plugin(
        &scene,
        "core.wasm",
        &["a core module", "a plugin is a component"],
    );
}

/// The text for an author who has left out a step, for each language.
#[test]
fn a_file_that_lacks_a_build_step_names_the_step() {
    let scene = Scene::new();
    let module = |import: &str| {
        let text = format!("(module (import {import} (func)) (memory (export \"memory\") 1))");
        wat::parse_str(text).unwrap()
    };
    let typed = |import: &str| {
        let honest = fs::read(guest("counter")).unwrap();
        let at = honest
            .windows(14)
            .position(|at| at == b"component-type")
            .unwrap();
        // Section 0, its length in bytes, and the length of its name: the test keeps the whole section.
        let start = honest[..at].iter().rposition(|byte| *byte == 0).unwrap();
        [module(import), honest[start..].to_vec()].concat()
    };
    for (file, bytes, words) in [
        (
            "rust.rs",
            b"use nbdbox_plugin::{Plugin};".to_vec(),
            &["source code in Rust", "cargo build"][..],
        ),
        (
            "disk.py",
            b"import nbdbox\n".to_vec(),
            &["source code in Python", "componentize-py"],
        ),
        (
            "disk.c",
            b"#include \"nbdbox.h\"\n".to_vec(),
            &["source code in C", "zig cc"],
        ),
        (
            "disk.zig",
            b"const nbdbox = @import(\"nbdbox\");".to_vec(),
            &["source code in Zig", "zig build-exe"],
        ),
        (
            "disk.ts",
            b"import type { Extents } from \"nbdbox:plugin/requests@0.1.0\";".to_vec(),
            &["TypeScript", "tsc", "componentize-js"],
        ),
        (
            "disk.js",
            b"import { plugin } from \"./kit/nbdbox.js\"".to_vec(),
            &["JavaScript", "componentize-js"],
        ),
        (
            "text.wat",
            b"(component)".to_vec(),
            &["text form", "wasm-tools parse"],
        ),
        (
            "plain.wasm",
            wat::parse_str("(module)").unwrap(),
            &["export!", "plugin_component_type.o", "wasm-tools component"],
        ),
        (
            "web.wasm",
            module(r#""wbg" "__wbindgen_throw""#),
            &["wbg.__wbindgen_throw", "wasm-bindgen"],
        ),
        (
            "emscripten.wasm",
            module(r#""env" "abort""#),
            &["env.abort", "Emscripten", "zig cc"],
        ),
        ("go.wasm", module(r#""gojs" "runtime.wasmExit""#), &["Go"]),
        (
            "wasi.wasm",
            module(r#""wasi_snapshot_preview1" "fd_write""#),
            &["for WASI without a kit"],
        ),
        (
            "linked.wasm",
            typed(r#""env" "crc32""#),
            &["can't be made a component", "env.crc32", "nothing defines"],
        ),
        (
            "escape.wasm",
            module("\"env\" \"\\1b[31m\""),
            &["env. [31m"],
        ),
    ] {
        scene.write(file, bytes);
        no_plugin(&scene, file, words);
    }
}

#[test]
fn machine_code_of_any_origin_is_refused() {
    let scene = Scene::new();
    let mut command = scene.command(["inspect", &wasm("pattern")]);
    command.env("XDG_CACHE_HOME", scene.path("cache"));
    assert_eq!(scene.launch(command).end().status.code(), Some(0));
    let made = fs::read_dir(scene.path("cache/nbdbox"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    fs::copy(made.path(), scene.path("own.cwasm")).unwrap();
    // Only the beginning: a whole program may be larger than a plugin is allowed to be.
    let mut program = fs::File::open(nbdbox_tests::nbdbox())
        .unwrap()
        .take(1 << 20);
    io::copy(
        &mut program,
        &mut fs::File::create(scene.path("elf")).unwrap(),
    )
    .unwrap();
    for file in ["own.cwasm", "elf"] {
        no_plugin(
            &scene,
            file,
            &["machine code", "never run", "the component"],
        );
    }
}

#[test]
fn components_that_are_something_else() {
    let scene = Scene::new();
    for (name, text, words) in [
        (
            "empty",
            "(component)",
            &[
                "no plugin",
                "exports nothing",
                "nbdbox:plugin/device@",
                "nbdbox.export(",
            ][..],
        ),
        (
            "command",
            r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#,
            &[
                "another world",
                "wasi:cli/run@0.2.0",
                "nbdbox:plugin/device@",
                "cdylib",
            ],
        ),
        (
            "page",
            r#"(component (instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#,
            &["web server", "-d http fetch-event"],
        ),
        (
            "newer",
            r#"(component (instance $i) (export "nbdbox:plugin/device@9.0.0" (instance $i)))"#,
            &[
                "another version",
                "device@9.0.0",
                "device@0.1.0",
                "nbdbox new",
            ],
        ),
        (
            "hollow",
            r#"(component (instance $i) (export "nbdbox:plugin/device@0.1.0" (instance $i)))"#,
            &["nbdbox:plugin/device@0.1.0", "no function `open`"],
        ),
        (
            "greedy",
            r#"(component
                (import "wasi:http/outgoing-handler@0.2.0" (instance))
                (instance $i)
                (export "nbdbox:plugin/device@0.1.0" (instance $i)))"#,
            &[
                "needs wasi:http/outgoing-handler@0.2.0",
                "to no plugin",
                "JavaScript's `fetch` needs it",
                "-d stdio random clocks http fetch-event",
            ],
        ),
        (
            "async",
            r#"(component
                (import "wasi:clocks/monotonic-clock@0.3.0" (instance))
                (instance $i)
                (export "nbdbox:plugin/device@0.1.0" (instance $i)))"#,
            &["WASI 0.3", "wasm32-unknown-unknown"],
        ),
        (
            "foreign",
            r#"(component
                (import "acme:codec/inflate" (instance))
                (instance $i)
                (export "nbdbox:plugin/device@0.1.0" (instance $i)))"#,
            &["needs acme:codec/inflate", "wac plug"],
        ),
        (
            "ahead",
            r#"(component
                (import "nbdbox:plugin/clouds@0.1.0" (instance))
                (instance $i)
                (export "nbdbox:plugin/device@0.1.0" (instance $i)))"#,
            &["needs nbdbox:plugin/clouds@0.1.0", "doesn't have"],
        ),
        (
            "mistaken",
            r#"(component
                (import "nbdbox:plugin/host@0.1.0" (instance (export "fly" (func))))
                (core module $m (func (export "f")))
                (core instance $c (instantiate $m))
                (func $f (canon lift (core func $c "f")))
                (instance $i (export "open" (func $f)) (export "read" (func $f)))
                (export "nbdbox:plugin/device@0.1.0" (instance $i)))"#,
            &["match the interfaces", "nbdbox:plugin/host@0.1.0", "fly"],
        ),
        (
            "mistyped",
            r#"(component
                (core module $m (func (export "f")))
                (core instance $c (instantiate $m))
                (func $f (canon lift (core func $c "f")))
                (instance $i (export "open" (func $f)) (export "read" (func $f)))
                (export "nbdbox:plugin/device@0.1.0" (instance $i)))"#,
            &["component model's rules"],
        ),
    ] {
        let file = format!("{name}.wasm");
        scene.write(&file, wat::parse_str(text).unwrap());
        no_plugin(&scene, &file, words);
    }
}

#[test]
fn a_component_that_traps_as_it_starts() {
    let scene = Scene::new();
    let text = r#"(component
        (core module $m (func $start unreachable) (start $start))
        (core instance (instantiate $m))
        (core module $n (func (export "f")))
        (core instance $c (instantiate $n))
        (func $f (canon lift (core func $c "f")))
        (instance $i (export "open" (func $f)) (export "read" (func $f)))
        (export "nbdbox:plugin/device@0.1.0" (instance $i)))"#;
    scene.write("trap.wasm", wat::parse_str(text).unwrap());
    no_plugin(&scene, "trap.wasm", &["the plugin trapped"]);
}

#[test]
fn a_component_that_is_too_large() {
    let scene = Scene::new();
    let file = fs::File::create(scene.path("large.wasm")).unwrap();
    file.set_len((64 << 20) + 1).unwrap();
    no_plugin(&scene, "large.wasm", &["larger than 64 MiB"]);
}

// Grants

#[test]
fn a_grant_that_is_missing() {
    let scene = Scene::new();
    let file = wasm("file");
    let advice = "--blob disk=PATH:map-only";
    refused(&scene, &[&file], &["missing grant", "`disk`", advice]);
    scene.write("image", [0; 512]);
    refused(
        &scene,
        &["--blob", "disc=image", &file],
        &["missing grant", "`disk`", advice],
    );
}

#[test]
fn a_grant_of_a_missing_file_or_no_disk() {
    let scene = Scene::new();
    scene.write("image", [0; 512]);
    for (path, words) in [
        ("nowhere", &["nowhere", "No such file"][..]),
        ("image/x", &["image/x", "Not a directory"]),
        ("tmp", &["tmp", "neither a file nor a block device"]),
        (
            "/dev/null",
            &["/dev/null", "neither a file nor a block device"],
        ),
        // Two accesses: nbdbox takes the first for a part of the path.
        ("image:ro:rw", &["image:ro", "No such file"]),
    ] {
        let grant = format!("disk={path}");
        let words: Vec<&str> = words.iter().chain(&["`disk`"]).copied().collect();
        refused(&scene, &["--blob", &grant, &wasm("file")], &words);
    }
}

#[test]
fn the_same_blob_twice() {
    let scene = Scene::new();
    scene.write("a", [0; 512]);
    scene.write("b", [0; 512]);
    let file = wasm("file");
    let twice = ["--blob", "disk=a", "--blob", "disk=b:rw", &file];
    refused(&scene, &twice, &["`disk`", "twice"]);
}

// Settings

#[test]
fn settings_that_the_plugin_doesnt_know_or_understand() {
    let scene = Scene::new();
    scene.write("image", [0; 512]);
    let (pattern, sparse, file) = (wasm("pattern"), wasm("sparse"), wasm("file"));
    for (arguments, words) in [
        (
            &[&pattern[..], "sise=1G"][..],
            &["`sise`", "pattern knows size"][..],
        ),
        (&[&sparse, "SIZE=1G"], &["`SIZE`", "size, seed, runlength"]),
        (
            &["--blob=disk=image", &file, "size=1G"],
            &["`size`", "file takes none"],
        ),
        (&[&pattern, "size=1Q"], &["size", "`1Q`", "as in 64M"]),
        (&[&pattern, "size=-1"], &["size", "`-1`"]),
        (&[&pattern, "size="], &["size", "``"]),
        (
            &[&pattern, "size=0.3"],
            &["size", "`0.3`", "whole number of bytes"],
        ),
        (&[&pattern, "size=16E"], &["size", "`16E`", "too large"]),
        (&[&sparse, "seed=x"], &["seed", "`x`", "whole number"]),
        (&[&pattern, "size"], &["`size`", "KEY=VALUE"]),
        (&[&pattern, "=1"], &["`=1`", "KEY=VALUE"]),
        (&[&pattern, "size=1M", "size=2M"], &["size=", "twice"]),
    ] {
        refused(&scene, arguments, words);
    }
}

#[test]
fn all_errors_of_settings_and_grants_are_reported_at_once() {
    let scene = Scene::new();
    let sparse = wasm("sparse");
    let ran = scene.run([
        "serve",
        "-U",
        "socket",
        &sparse,
        "sise=1",
        "seed=x",
        "runlength=1Q",
    ]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stderr.lines().count(), 3, "{}", ran.stderr);
    for word in ["sise", "seed", "runlength"] {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
}

#[test]
fn a_plugins_own_refusal_is_shown() {
    let words = ["sparse refused to open", "runlength=0", "at least 1 byte"];
    refused(&Scene::new(), &[&wasm("sparse"), "runlength=0"], &words);
}

#[test]
fn an_empty_disk_is_a_disk() {
    let scene = Scene::new();
    scene.write("image", []);
    for name in ["pattern", "sparse", "memory", "file"] {
        let plugin = wasm(name);
        let given = match name {
            "file" => &["--blob=disk=image:rw", &plugin][..],
            _ => &[&plugin, "size=0"],
        };
        let script = "nbdinfo --size \"$uri\" && nbdcopy \"$uri\" null:";
        let ran = scene.run(["serve"].iter().chain(given).chain(&["--run", script]));
        assert_eq!(ran.ok(), "0\n", "{name}");
        scene.assert_clean();
    }
}

#[test]
fn a_size_past_what_clients_can_address() {
    let scene = Scene::new();
    for size in ["size=8E", "size=9223372036854775808", "size=15.5E"] {
        let words = ["pattern", "size is too large", "bytes"];
        refused(&scene, &[&wasm("pattern"), size], &words);
    }
    let script = "nbdinfo --size \"$uri\"";
    let largest = "size=9223372036854775807";
    let ran = scene.run(["serve", &wasm("pattern"), largest, "--run", script]);
    assert_eq!(ran.ok().trim(), "9223372036854775807");
}

#[test]
fn a_memory_limit_that_is_too_small_for_the_plugin() {
    let scene = Scene::new();
    for limit in ["memory=64KiB", "memory=1M"] {
        let words = ["pattern.wasm", "more memory than its limit"];
        refused(&scene, &["--limit", limit, &wasm("pattern")], &words);
    }
}

// Usage

#[test]
fn options_that_are_wrong() {
    let pattern = wasm("pattern");
    for (arguments, words) in [
        (
            &["--limit", "speed=1", &pattern[..]][..],
            &["`speed`", "memory", "handshake"][..],
        ),
        (
            &["--limit", "memory", &pattern],
            &["`memory`", "memory=64MiB"],
        ),
        (&["--limit", "memory=lots", &pattern], &["`lots`", "64M"]),
        (&["--limit", "memory=1", &pattern], &["memory=1", "64 KiB"]),
        (&["--limit", "cpu=0ms", &pattern], &["cpu=0ms", "100ms"]),
        (&["--limit", "cpu=5", &pattern], &["cpu=5", "100ms"]),
        (
            &["--limit", "instances=0", &pattern],
            &["instances=0", "1 to 1024"],
        ),
        (&["--limit", "cpu=1s,speed=1", &pattern], &["`speed`"]),
        (
            &["--blob", "disk", &pattern],
            &["`disk`", "NAME=PATH", ":map-only"],
        ),
        (&["--blob", "=x", &pattern], &["`=x`", "NAME=PATH"]),
        (&["--blob", "disk=", &pattern], &["`disk=`", "NAME=PATH"]),
        (
            &["--blob", "disk=:rw", &pattern],
            &["`disk=:rw`", "NAME=PATH"],
        ),
        (&["--frobnicate", &pattern], &["--frobnicate"]),
        (&["--port", "65536", &pattern], &["65536", "65535"]),
        (&["--port", "http", &pattern], &["http", "--port"]),
        (&["-t", "0", &pattern], &["--threads", "1"]),
        (
            &["-U", "socket", "-p", "0", &pattern],
            &["--unix", "--port"],
        ),
        (
            &["-U", "socket", "-i", "::1", &pattern],
            &["--unix", "--ipaddr"],
        ),
        (&["-U", "", &pattern], &["--unix"]),
        (
            &["--extents-on-error", "panic", &pattern],
            &["panic", "data", "error"],
        ),
        (&[], &["PLUGIN"]),
    ] {
        misused(arguments, words);
    }
}

#[test]
fn a_subcommand_that_isnt_one() {
    let ran = run(nbdbox_tests::nbdbox(), ["serv", "x.wasm"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("serv") && ran.stderr.contains("'serve'"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_log_filter_that_isnt_one() {
    let scene = Scene::new();
    let mut command = scene.command(["serve", "-U", "socket", &wasm("pattern")]);
    command.env("NBDBOX_LOG", "plugin=loud");
    assert_refusal(
        &scene.launch(command).end().into(),
        &["NBDBOX_LOG", "plugin=loud"],
    );
}

#[test]
fn an_export_name_that_no_client_can_ask_for() {
    let name = "x".repeat(4097);
    refused(
        &Scene::new(),
        &["-e", &name, &wasm("pattern")],
        &["name", "4096 bytes"],
    );
}

// Where the server listens

#[test]
fn a_socket_in_use_by_a_live_server() {
    let scene = Scene::new();
    let server = scene.serve(["-U", "socket", &wasm("pattern")]);
    let ran = scene.run(["serve", "-U", "socket", "-P", "pid2", &wasm("memory")]);
    assert_refusal(&ran, &["socket", "in use by another server"]);
    assert!(!scene.path("pid2").exists());
    // The other server doesn't notice.
    assert_eq!(
        run("nbdinfo", ["--size", &scene.uri()]).ok().trim(),
        "1048576"
    );
    assert_eq!(server.stop().status.code(), Some(0));
    scene.assert_clean();
}

#[test]
fn something_else_in_the_sockets_place() {
    let scene = Scene::new();
    drop(UnixListener::bind(scene.path("stale")).unwrap());
    scene.write("file", "precious");
    std::os::unix::fs::symlink("nowhere", scene.path("dangling")).unwrap();
    std::os::unix::fs::symlink("stale", scene.path("link")).unwrap();
    for (name, what) in [
        ("file", "a file is there"),
        ("dangling", "a symlink is there"),
        ("link", "a symlink is there"),
        ("tmp", "a folder is there"),
    ] {
        let ran = scene.run(["serve", "-U", name, "-P", "pid", &wasm("pattern")]);
        assert_refusal(&ran, &[name, what, "remove it"]);
        assert!(
            scene.path(name).symlink_metadata().is_ok(),
            "{name} isn't the server's to remove"
        );
    }
    assert_eq!(fs::read_to_string(scene.path("file")).unwrap(), "precious");
    scene.assert_clean();
}

#[test]
fn a_socket_path_that_is_too_long_or_has_no_folder() {
    let scene = Scene::new();
    let long = "x".repeat(120);
    for (path, words) in [
        (&long[..], &["107 bytes at most", &long[..]][..]),
        ("nowhere/socket", &["nowhere/socket", "No such file"]),
    ] {
        let ran = scene.run(["serve", "-U", path, "-P", "pid", &wasm("pattern")]);
        assert_refusal(&ran, words);
        scene.assert_clean();
    }
    // A private socket's folder can also be too deep.
    let deep = scene.temporary().join("y".repeat(120));
    fs::create_dir(&deep).unwrap();
    let mut command = scene.command(["serve", "-U", "-", &wasm("pattern")]);
    command.env("TMPDIR", &deep);
    assert_refusal(&scene.launch(command).end().into(), &["107 bytes at most"]);
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
}

#[test]
fn a_port_that_is_taken() {
    let scene = Scene::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let ran = scene.run(["serve", "-p", &port, "-P", "pid", &wasm("pattern")]);
    assert_refusal(&ran, &[&port, "--port 0", "in use"]);
    scene.assert_clean();
}

#[test]
fn an_address_that_isnt_ours() {
    let scene = Scene::new();
    for address in ["192.0.2.1", "no-such-host.invalid"] {
        let ran = scene.run([
            "serve",
            "-i",
            address,
            "-p",
            "0",
            "-P",
            "pid",
            &wasm("pattern"),
        ]);
        assert_refusal(&ran, &[address]);
        scene.assert_clean();
    }
}

#[test]
fn a_pidfile_that_cant_be_written() {
    let scene = Scene::new();
    scene.write("file", "");
    for path in ["nowhere/pid", "file/pid", "tmp"] {
        let ran = scene.run(["serve", "-U", "socket", "-P", path, &wasm("pattern")]);
        assert_refusal(&ran, &["pidfile", path]);
        scene.assert_clean();
    }
}

// The compile cache

/// The server runs with a cache that can't be used: it only logs a warning.
#[track_caller]
fn assert_served_without(scene: &Scene, cache: &str, words: &[&str]) {
    let script = "nbdinfo --size \"$uri\"";
    let mut command = scene.command(["serve", &wasm("pattern"), "--run", script]);
    command.env("XDG_CACHE_HOME", cache);
    let ended = scene.launch(command).end();
    assert_eq!(ended.stdout.trim(), "1048576", "{cache}: {}", ended.log);
    assert_eq!(ended.log.lines().count(), 1, "{cache}: {}", ended.log);
    for word in words.iter().chain(&["WARN", "compile cache"]) {
        assert!(ended.log.contains(word), "{cache}: {word}: {}", ended.log);
    }
    scene.assert_clean();
}

#[test]
fn a_cache_that_others_can_write_to() {
    let scene = Scene::new();
    let cache = scene.path("cache/nbdbox");
    fs::create_dir_all(&cache).unwrap();
    for mode in [0o777, 0o770, 0o702] {
        fs::set_permissions(&cache, fs::Permissions::from_mode(mode)).unwrap();
        let folder = scene.path("cache").display().to_string();
        assert_served_without(&scene, &folder, &["others can write", "700"]);
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
    }
}

#[test]
fn a_cache_that_cant_be_made() {
    let scene = Scene::new();
    scene.write("file", "");
    let file = scene.path("file").display().to_string();
    assert_served_without(&scene, &file, &["file/nbdbox"]);
    assert_served_without(&scene, "/proc/nowhere", &["/proc/nowhere/nbdbox"]);
}

#[test]
fn a_cache_without_room() {
    let scene = Scene::new();
    let cache = scene.path("cache/nbdbox");
    fs::create_dir_all(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
    // A disk of 64 KiB, in a namespace of its own.
    let script = "mount -t tmpfs -o size=64k,mode=700 tmpfs \"$XDG_CACHE_HOME/nbdbox\" || exit 77\n\
                  \"$0\" serve \"$1\" --run 'nbdinfo --size \"$uri\"'";
    let mut command = scene.command([""; 0]);
    let program = command.get_program().to_owned();
    let environment: Vec<_> = command
        .get_envs()
        .map(|(k, v)| (k.to_owned(), v.map(Into::into)))
        .collect();
    command = std::process::Command::new("unshare");
    command
        .args(["-rm", "sh", "-c", script])
        .arg(program)
        .arg(wasm("pattern"));
    for (name, value) in environment {
        let value: Option<std::ffi::OsString> = value;
        command.env(name, value.unwrap_or_default());
    }
    command.env("XDG_CACHE_HOME", scene.path("cache"));
    let ended = scene.launch(command).end();
    assert_ne!(
        ended.status.code(),
        Some(77),
        "no namespaces: {}",
        ended.log
    );
    assert_eq!(ended.stdout.trim(), "1048576", "{}", ended.log);
    assert!(ended.log.contains("compile cache"), "{}", ended.log);
    assert_eq!(ended.log.lines().count(), 1, "{}", ended.log);
}

#[test]
fn no_place_for_any_file() {
    let scene = Scene::new();
    let mut command = scene.command(["inspect", &wasm("pattern")]);
    command
        .env("TMPDIR", "/proc/nowhere")
        .env("XDG_CACHE_HOME", "/proc/nowhere");
    let ended = scene.launch(command).end();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(ended.stdout.contains("pattern"), "{}", ended.stdout);
}

#[test]
fn a_damaged_cache_is_made_again() {
    let scene = Scene::new();
    let pattern = wasm("pattern");
    let serve = || {
        let script = "nbdinfo --size \"$uri\"";
        let mut command = scene.command(["serve", &pattern, "--run", script]);
        command.env("XDG_CACHE_HOME", scene.path("cache"));
        scene.launch(command).end()
    };
    assert_eq!(serve().stdout.trim(), "1048576");
    let made = fs::read_dir(scene.path("cache/nbdbox"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::write(&made, "not machine code").unwrap();
    let ended = serve();
    assert_eq!(ended.stdout.trim(), "1048576");
    assert_eq!(ended.log.lines().count(), 1, "{}", ended.log);
    assert!(
        ended.log.contains("compiles the plugin again"),
        "{}",
        ended.log
    );
    // Four bytes of its machine code are damaged.
    let mut bytes = fs::read(&made).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4]
        .iter_mut()
        .for_each(|byte| *byte ^= 0xff);
    fs::write(&made, &bytes).unwrap();
    let ended = serve();
    assert_eq!(ended.stdout.trim(), "1048576");
    assert!(
        ended.log.contains("compiles the plugin again"),
        "{}",
        ended.log
    );
    let ended = serve();
    assert_eq!((ended.stdout.trim(), &ended.log[..]), ("1048576", ""));
}

#[test]
fn without_a_home_the_cache_is_private_and_goes_at_the_end() {
    let scene = Scene::new();
    let mut command = scene.command(["serve", "-U", "socket", "-P", "pid", &wasm("pattern")]);
    for name in ["XDG_CACHE_HOME", "CACHE_DIRECTORY", "HOME"] {
        command.env_remove(name);
    }
    let mut server = scene.launch(command);
    // The cache exists while the plugin compiles.
    let mut found = None;
    server.wait_for(|| {
        let mut folders = fs::read_dir(scene.temporary()).unwrap().flatten();
        found = folders.next().and_then(|folder| folder.metadata().ok());
        found.is_some()
    });
    assert_eq!(found.unwrap().permissions().mode() & 0o777, 0o700);
    server.wait_for(|| scene.path("pid").exists());
    assert_eq!(server.stop().status.code(), Some(0));
    scene.assert_clean();
}

// Files that change under the server

#[test]
fn a_file_that_shrank_fails_where_bytes_are_missing_and_serves_the_rest() {
    let scene = Scene::new();
    let disk = scene.write("disk.img", vec![0xa5; 1 << 20]);
    for access in ["map-only", "ro", "rw"] {
        fs::write(&disk, vec![0xa5; 1 << 20]).unwrap();
        let grant = format!("--blob=disk=disk.img:{access}");
        let server = scene.serve(["-U", "socket", &grant, &wasm("file")]);
        fs::File::options()
            .write(true)
            .open(&disk)
            .unwrap()
            .set_len(1 << 19)
            .unwrap();
        for framing in [Framing::Simple, Framing::Structured, Framing::Extended] {
            let mut client = Client::connect(&scene.path("socket"), framing);
            assert_eq!(client.read(0, 4096), Ok(vec![0xa5; 4096]));
            for (offset, length) in [(1 << 19, 512), ((1 << 19) - 512, 1024), ((1 << 20) - 1, 1)] {
                let refused = client.read(offset, length).unwrap_err();
                assert_eq!(refused.errno, Errno::Eio, "{access} {offset}: {refused}");
                let path = disk.display().to_string();
                assert!(
                    !refused.text.contains(&path),
                    "clients don't see the operator's paths"
                );
            }
            let end = (1 << 19) - 4096;
            assert_eq!(
                client.read(end, 4096),
                Ok(vec![0xa5; 4096]),
                "the server goes on"
            );
        }
        let ended = server.stop();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
        assert!(
            ended.log.contains("disk.img") && ended.log.contains("shrunk"),
            "{}",
            ended.log
        );
        assert!(!ended.log.contains("panicked"), "{}", ended.log);
    }
    scene.assert_clean();
}

#[test]
fn a_file_that_shrank_has_no_zeroes_where_bytes_are_missing() {
    let scene = Scene::new();
    let disk = scene.write("disk.img", vec![0xa5; 1 << 20]);
    let _server = scene.serve(["-U", "socket", "--blob=disk=disk.img", &wasm("file")]);
    let file = fs::File::options().write(true).open(&disk).unwrap();
    file.set_len(1 << 19).unwrap();
    let mut client = Client::connect(&scene.path("socket"), Framing::Extended);
    // A client that copies would skip zeroes, and never see the EIO that their reads return.
    let map = client.map(0, 1 << 20, 1 << 20);
    assert!(map.iter().all(|extent| !extent.is_zero()), "{map:?}");
}

#[test]
fn a_file_that_was_removed_is_served_on() {
    let scene = Scene::new();
    let disk = scene.write("disk.img", [0xa5; 65536]);
    let server = scene.serve(["-U", "socket", "--blob=disk=disk.img:rw", &wasm("file")]);
    fs::remove_file(&disk).unwrap();
    let mut client = Client::connect(&scene.path("socket"), Framing::Structured);
    assert_eq!(client.read(0, 65536), Ok(vec![0xa5; 65536]));
    client
        .write(512, &[1; 512], nbd_proto::CommandFlags::FUA)
        .unwrap();
    assert_eq!(client.read(512, 512), Ok(vec![1; 512]));
    drop(client);
    let ended = server.stop();
    assert_eq!((ended.status.code(), &ended.log[..]), (Some(0), ""));
    assert!(!disk.exists(), "the file stays removed");
    scene.assert_clean();
}
