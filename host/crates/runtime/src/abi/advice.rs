//! What an author can do about a file that is no plugin, in the words of the language that it was
//! written in: which tool brings what is too much, and what is missing.

/// What to do about bytes that aren't WebAssembly.
pub(crate) fn not_wasm(bytes: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(bytes.get(..4096).unwrap_or(bytes));
    let has = |word: &str| text.contains(word);
    let start = text.trim_start();
    if start.starts_with("(module") || start.starts_with("(component") || start.starts_with("(;") {
        "; it's WebAssembly's text form: `wasm-tools parse` makes the binary of it"
    } else if has("nbdbox_plugin::") {
        "; it's a source in Rust: `cargo build --release --target wasm32-unknown-unknown` makes the plugin \
         of it"
    } else if has("import nbdbox") {
        "; it's a source in Python: `componentize-py … componentize --stub-wasi` makes the plugin of it"
    } else if has("@import(\"nbdbox\")") {
        "; it's a source in Zig: `zig build-exe -target wasm32-wasi -mexec-model=reactor` makes the plugin of it"
    } else if has("nbdbox.h") {
        "; it's a source in C or C++: `zig cc -target wasm32-wasi -mexec-model=reactor` (or `zig c++`) makes the \
         plugin of it"
    } else if has("import type ") && has("nbdbox:plugin/") {
        "; it's a source in TypeScript: `tsc`, and then `componentize-js`, make the plugin of it"
    } else if has("from \"nbdbox:plugin/") || has("kit/nbdbox.js") {
        "; it's a source in JavaScript: `componentize-js` makes the plugin of it"
    } else {
        ""
    }
}

/// What to do about machine code.
pub(crate) fn machine_code(bytes: &[u8]) -> &'static str {
    if bytes.starts_with(b"\x7fELF") {
        "give the component that it was made from, or build for wasm: in Rust with `--target \
         wasm32-unknown-unknown`, in C with `zig cc -target wasm32-wasi`"
    } else {
        "give the component that it was made from"
    }
}

/// What to do about a core module that doesn't say which component it is. Its imports (module and
/// name) show who made it.
pub(crate) fn untyped_module<'a>(imports: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let found = imports
        .into_iter()
        .find_map(|(module, name)| maker(module, name));
    found.unwrap_or_else(|| {
        "in Rust, depend on `nbdbox-plugin` and name the plugin in `nbdbox_plugin::export!`; in C and Zig, \
         link the kit's plugin_component_type.o; else `wasm-tools component embed` and `component new` wrap \
         it"
            .to_owned()
    })
}

/// What to do about imports of a core module that no interface answers; empty if they're all known.
pub(crate) fn unanswered<'a>(imports: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let found = imports
        .into_iter()
        .find_map(|(module, name)| maker(module, name));
    found.map(|words| format!("; {words}")).unwrap_or_default()
}

/// What brings an import into a core module, if nbdbox gives it to nobody.
fn maker(module: &str, name: &str) -> Option<String> {
    let import = format!("{module}.{name}");
    if module == "wbg" || module.contains("wbindgen") || name.starts_with("__wbindgen") {
        return Some(format!(
            "it imports {import}, which wasm-bindgen brings, for browsers: leave wasm-bindgen, \
             js-sys and web-sys out (`cargo tree -i wasm-bindgen` shows who wants them)"
        ));
    }
    match module {
        "env" | "a" => Some(format!(
            "it imports {import}: a function that is declared and linked by nobody, or what Emscripten \
             brings. In C, build with `zig cc -target wasm32-wasi -mexec-model=reactor` and give all sources; \
             in Rust, an `extern` block names it"
        )),
        "gojs" | "go" => Some(format!(
            "it imports {import}, which Go brings for browsers (GOOS=js); there is no kit for Go yet"
        )),
        "wasi_unstable" => Some(format!(
            "it imports {import}, from before WASI 0.1: a compiler of today makes \
             wasi_snapshot_preview1 or a component"
        )),
        "wasi_snapshot_preview1" => Some(
            "it was built for WASI without a kit: a plugin in Rust calls `nbdbox_plugin::export!`, one in C \
             or Zig links the kit's plugin_component_type.o"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Which tool brings a component's import that no plugin gets, and how to leave it out.
pub(crate) fn component_import(import: &str) -> &'static str {
    let is = |prefix: &str| import.starts_with(prefix);
    if is("wasi:http/") {
        ": JavaScript brings it for `fetch`; build with `componentize-js … -d stdio random clocks http \
         fetch-event`. A plugin has no network"
    } else if is("wasi:") && import.contains("@0.3") {
        ": WASI 0.3 isn't given to plugins yet; build for 0.2 or without WASI (in Rust, \
         wasm32-unknown-unknown)"
    } else if is("wasi:") {
        ": a plugin gets of WASI only clocks, random numbers and a log; files are blobs that the operator \
         grants"
    } else if is("nbdbox:") {
        ""
    } else {
        ": a plugin imports the interfaces of nbdbox:plugin, and nobody else's; compose a component \
         that has them with the one that needs them (`wac plug`)"
    }
}

/// What to do about a component that has no `device`.
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
        "; choose a world of nbdbox:plugin when you build, as `read-only`"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_made_a_module_shows_in_its_imports() {
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
