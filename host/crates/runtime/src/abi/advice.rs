//! Hints for an author whose file isn't a plugin: which tool added an import that nbdbox doesn't have, or what the file
//! lacks, in the terms of the author's language.

/// Returns a hint about bytes that aren't WebAssembly; empty if there is none.
pub(crate) fn not_wasm(bytes: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(bytes.get(..4096).unwrap_or(bytes));
    let has = |word: &str| text.contains(word);
    let start = text.trim_start();
    if start.starts_with("(module") || start.starts_with("(component") || start.starts_with("(;") {
        "; it's WebAssembly in text form: run `wasm-tools parse` to make the binary"
    } else if has("nbdbox_plugin::") {
        "; it's source code in Rust: build the plugin with `cargo build --release --target wasm32-unknown-unknown`"
    } else if has("import nbdbox") {
        "; it's source code in Python: build the plugin with `componentize-py … componentize --stub-wasi`"
    } else if has("@import(\"nbdbox\")") {
        "; it's source code in Zig: build the plugin with `zig build-exe -target wasm32-wasi -mexec-model=reactor`"
    } else if has("nbdbox.h") {
        "; it's source code in C or C++: build the plugin with `zig cc -target wasm32-wasi -mexec-model=reactor` (or \
         `zig c++`)"
    } else if has("import type ") && has("nbdbox:plugin/") {
        "; it's source code in TypeScript: build the plugin with `tsc` and then `componentize-js`"
    } else if has("from \"nbdbox:plugin/") || has("kit/nbdbox.js") {
        "; it's source code in JavaScript: build the plugin with `componentize-js`"
    } else {
        ""
    }
}

/// Returns a hint about machine code.
pub(crate) fn machine_code(bytes: &[u8]) -> &'static str {
    if bytes.starts_with(b"\x7fELF") {
        "pass the component that it was compiled from, or build for wasm: in Rust with `--target \
         wasm32-unknown-unknown`, in C with `zig cc -target wasm32-wasi`"
    } else {
        "pass the component that it was compiled from"
    }
}

/// Returns a hint about a core module without component type information. Its imports, pairs of module and name, tell
/// which toolchain built it.
pub(crate) fn untyped_module<'a>(imports: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let found = imports
        .into_iter()
        .find_map(|(module, name)| maker(module, name));
    found.unwrap_or_else(|| {
        "in Rust, depend on `nbdbox-plugin` and name the plugin in `nbdbox_plugin::export!`; in C and Zig, link the \
         kit's plugin_component_type.o; otherwise wrap it with `wasm-tools component embed` and `component new`"
            .to_owned()
    })
}

/// Returns a hint about imports of a core module that no interface satisfies; empty if there is none.
pub(crate) fn unanswered<'a>(imports: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let found = imports
        .into_iter()
        .find_map(|(module, name)| maker(module, name));
    found.map(|words| format!("; {words}")).unwrap_or_default()
}

/// Returns the hint for an import that nbdbox offers to no plugin: which tool added it, and how to get rid of it.
fn maker(module: &str, name: &str) -> Option<String> {
    let import = format!("{module}.{name}");
    if module == "wbg" || module.contains("wbindgen") || name.starts_with("__wbindgen") {
        return Some(format!(
            "it imports {import}, which wasm-bindgen adds for browsers: remove wasm-bindgen, js-sys and web-sys \
             (`cargo tree -i wasm-bindgen` shows which crates need them)"
        ));
    }
    match module {
        "env" | "a" => Some(format!(
            "it imports {import}: the code declares a function that nothing defines, or Emscripten built it. In C, \
             build with `zig cc -target wasm32-wasi -mexec-model=reactor` and pass all sources; in Rust, look for the \
             `extern` block that declares the function"
        )),
        "gojs" | "go" => Some(format!(
            "it imports {import}, which Go adds for browsers (GOOS=js); there is no kit for Go yet"
        )),
        "wasi_unstable" => Some(format!(
            "it imports {import}, which is older than WASI 0.1: use a newer compiler, which makes \
             wasi_snapshot_preview1 or a component"
        )),
        "wasi_snapshot_preview1" => Some(
            "it was built for WASI without a kit: in Rust, call `nbdbox_plugin::export!`; in C and Zig, link the kit's \
             plugin_component_type.o"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Returns the hint for a component's import that nbdbox offers to no plugin: which tool added it, and how to get rid
/// of it.
pub(crate) fn component_import(import: &str) -> &'static str {
    let is = |prefix: &str| import.starts_with(prefix);
    if is("wasi:http/") {
        ": JavaScript's `fetch` needs it, and a plugin has no network; build with `componentize-js … -d stdio random \
         clocks http fetch-event`"
    } else if is("wasi:") && import.contains("@0.3") {
        ": plugins can't use WASI 0.3 yet; build for 0.2 or without WASI (in Rust, wasm32-unknown-unknown)"
    } else if is("wasi:") {
        ": of WASI, a plugin gets only clocks, random numbers and a log; its files are blobs that the operator grants"
    } else if is("nbdbox:") {
        ""
    } else {
        ": a plugin may import only interfaces of nbdbox:plugin and WASI; compose it with a component that exports the \
         interface (`wac plug`)"
    }
}

/// Returns a hint about a component that doesn't export `device`. `exports` are the interfaces that it does export.
pub(crate) fn no_device(exports: &[String]) -> &'static str {
    let has = |prefix: &str| exports.iter().any(|name| name.starts_with(prefix));
    if has("wasi:cli/run") {
        "; it's a program: a plugin is a library (in Rust `crate-type = [\"cdylib\"]`, in C \
         `-mexec-model=reactor`)"
    } else if has("wasi:http/incoming-handler") {
        "; it's a web server: in JavaScript, export `device` and build with `-d http fetch-event`"
    } else if exports.is_empty() {
        "; name its interfaces: in Rust in `export!`, in Python by `Manifest, Device, Sparse = \
         nbdbox.export(…)`, in JavaScript by `export const { manifest, device, sparse } = plugin(…)`"
    } else {
        "; choose a world of nbdbox:plugin when you build, for example `read-only`"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_imports_of_a_module_tell_its_toolchain() {
        let advice =
            |imports: &[(&'static str, &'static str)]| untyped_module(imports.iter().copied());
        assert!(advice(&[("env", "abort")]).contains("env.abort"));
        assert!(advice(&[("nbdbox:plugin/host@0.1.0", "log"), ("gojs", "x")]).contains("Go"));
        assert!(advice(&[]).contains("export!"));
        assert_eq!(
            unanswered([("nbdbox:plugin/host@0.1.0", "log")].into_iter()),
            ""
        );
    }
}
