//! Any bytes as a plugin: made a component, compiled, looked at and linked, with no more than words
//! for what is wrong with them. Nothing of them runs.
//!
//! The server does this in a child process with limits; here it's done in one that the engine can see
//! into. A refusal must be one line of bounded length, whatever the bytes say.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use nbdbox::plugin::{Engine, Plugin, cache::Cache};

/// Longer refusals would fill an operator's screen with what a stranger wrote.
const WORDS: usize = 8192;

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let cache = Cache::temporary().expect("there is a place for temporary files");
        Engine::new(cache).expect("this machine runs WebAssembly")
    })
}

fuzz_target!(|bytes: &[u8]| {
    match Plugin::examine(engine(), bytes.to_vec()) {
        Ok(world) => assert!(world.exports.iter().any(|name| name.contains("/device@"))),
        Err(error) => {
            let words = format!("{error:#}").replace('\n', " ");
            assert!(words.len() <= WORDS, "{} bytes of words", words.len());
        }
    }
});
