//! Compiles, examines and links any bytes as a plugin. Bad bytes give an error with a bounded text. No code of the
//! plugin runs.
//!
//! The server does this in a child process with limits. Here the fuzzer's own process does it, so that the fuzzer sees
//! its coverage. Input that begins with the magic of a component is taken as it is. Any other input is a list of
//! changes to a good plugin, each a place and a byte. The target doesn't fuzz the encoding of modules as components,
//! because wit-parser's recursion has no bound, and the first stack overflow would end the run
//! (`host/tests/hostile/bytes`).

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use runtime::{Engine, Examined, cache::Cache, compile};

/// The most bytes of an error's text. A longer one would fill an operator's screen with a stranger's text.
const WORDS: usize = 8192;

struct Scene {
    engine: Engine,
    good: Vec<u8>,
}

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        let cache = Cache::temporary();
        let module = std::fs::read("target/plugins/pattern.wasm").expect("`make plugins` was run");
        Scene {
            engine: Engine::new(cache).expect("this machine runs WebAssembly"),
            good: compile::encode(module).expect("it's a plugin"),
        }
    })
}

/// The component that the input describes; `None` if the input is a core module.
fn component(input: &[u8], good: &[u8]) -> Option<Vec<u8>> {
    if input.starts_with(b"\0asm") {
        return input.starts_with(b"\0asm\x0d").then(|| input.to_vec());
    }
    let mut bytes = good.to_vec();
    for change in input.chunks_exact(4) {
        let [high, middle, low, byte] = change.try_into().expect("there are four");
        let place = u32::from_be_bytes([0, high, middle, low]) as usize % bytes.len();
        bytes[place] = byte;
    }
    Some(bytes)
}

fuzz_target!(|input: &[u8]| -> Corpus {
    let Scene { engine, good } = scene();
    let Some(bytes) = component(input, good) else {
        return Corpus::Reject;
    };
    match Examined::from_bytes(engine, &bytes) {
        Ok(examined) => {
            let exports = &examined.world().exports;
            assert!(exports.iter().any(|name| name.contains("/device@")));
        }
        Err(error) => {
            let words = format!("{error:#}");
            assert!(words.len() <= WORDS, "{} bytes of words", words.len());
        }
    }
    Corpus::Keep
});
