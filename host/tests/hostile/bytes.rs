//! Bytes that aren't a plugin: the host refuses them at the load, with a text, within the limits.

use std::time::Duration;

use device::TenantQuota;
use fastrand::Rng;
use nbdbox_config::limits::Limits;
use runtime::{Engine, Plugin, cache::Cache};

use crate::scene::World;

/// A file that the host must refuse.
pub(crate) struct Bytes {
    pub(crate) words: &'static str,
    source: Source,
    /// A part of the refusal's text.
    says: &'static str,
}

enum Source {
    /// The bytes of the file.
    Raw(&'static [u8]),
    /// WebAssembly's text format.
    Text(&'static str),
    /// A core module, given by the text inside it, in a component that exports what a plugin does.
    Module(&'static str),
    /// The same item of a core module, this many times.
    Repeated(&'static str, usize),
    /// The header of a component, and random bytes.
    Noise,
    /// A list of lists of lists, to this depth.
    DeepTypes(usize),
    /// This many functions.
    Functions(usize),
    /// Components in components, to this depth.
    Nested(usize),
    /// 60 instances of a core module that has the same item this many times.
    Instances(&'static str, usize),
    /// Components, each of which instantiates the one before ten times.
    Multiplied(usize),
}

pub(crate) const BYTES: &[Bytes] = &[
    Bytes {
        words: "an empty file",
        source: Source::Raw(b""),
        says: "WebAssembly",
    },
    Bytes {
        words: "text",
        source: Source::Raw(b"#!/bin/sh\n"),
        says: "WebAssembly",
    },
    Bytes {
        words: "a header and nothing else",
        source: Source::Raw(b"\0asm"),
        says: "WebAssembly",
    },
    Bytes {
        words: "machine code",
        source: Source::Raw(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"),
        says: "machine code",
    },
    Bytes {
        words: "a core module without types",
        source: Source::Text("(module)"),
        says: "component type information",
    },
    Bytes {
        words: "a component that exports nothing",
        source: Source::Text("(component)"),
        says: "no plugin",
    },
    Bytes {
        words: "a start function that loops",
        source: Source::Module("(func $start (loop (br 0))) (start $start)"),
        says: "CPU time",
    },
    Bytes {
        words: "a start function that traps",
        source: Source::Module("(func $start unreachable) (start $start)"),
        says: "trapped",
    },
    Bytes {
        words: "a start function that recurses",
        source: Source::Module("(func $start (call $start)) (start $start)"),
        says: "trapped",
    },
    Bytes {
        words: "4 GiB of initial memory",
        source: Source::Module("(memory 65536)"),
        says: "memory",
    },
    Bytes {
        words: "a hundred memories",
        source: Source::Repeated("(memory 2)", 100),
        says: "too many memories",
    },
    Bytes {
        words: "a table of 10^9 elements",
        source: Source::Module("(table 1000000000 funcref)"),
        says: "memory",
    },
    Bytes {
        words: "a hundred tables",
        source: Source::Repeated("(table 1 funcref)", 100),
        says: "too many",
    },
    Bytes {
        words: "functions of the wrong type",
        source: Source::Module(""),
        says: "plugin",
    },
    Bytes {
        words: "an import that the host doesn't have",
        source: Source::Text(
            "(component (import \"evil:exec/run@1.0.0\" (instance (export \"now\" (func)))))",
        ),
        says: "plugin",
    },
    Bytes {
        words: "50,000 functions",
        source: Source::Functions(50_000),
        says: "plugin",
    },
    Bytes {
        words: "4 KiB of random bytes after a header",
        source: Source::Noise,
        says: "isn't a valid component",
    },
    // Found by fuzzing: wit-parser follows it until the stack of the compiler's process ends, which ends that process.
    Bytes {
        words: "a WIT package that depends on itself",
        source: Source::Raw(include_bytes!("bytes/package-that-needs-itself.wasm")),
        says: "broke the compiler's limits",
    },
    Bytes {
        words: "types 2,000 deep",
        source: Source::DeepTypes(2_000),
        says: "",
    },
    Bytes {
        words: "60 instances of 100,000 globals each",
        source: Source::Instances("(global i32 (i32.const 0))", 100_000),
        says: "raise the limit `memory`",
    },
    Bytes {
        words: "10^40 components, each made of ten others",
        source: Source::Multiplied(40),
        says: "more than any server gives",
    },
    Bytes {
        words: "components 5,000 deep",
        source: Source::Nested(5_000),
        says: "",
    },
];

/// Loads the bytes, and expects a refusal with its text.
pub(crate) async fn refuse(world: &World, bytes: &Bytes) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes.source.make()).unwrap();
    let loaded = world.load_file(file.path()).await;
    let error = match loaded {
        Ok(_) => panic!("{} was loaded", bytes.words),
        Err(error) => format!("{error:#}"),
    };
    assert!(error.contains(bytes.says), "{}: {error}", bytes.words);
    assert!(
        !error.contains('\n') && error.len() < 4096,
        "{}: {error}",
        bytes.words
    );
}

/// Cuts a good plugin off at many places, and flips bits at others. The host refuses the result in one line, or loads
/// it as a plugin like any other.
pub(crate) async fn mutations(world: &World, good: &[u8]) {
    let mut random = Rng::with_seed(SEED);
    let mut refused = 0;
    for round in 0..MUTATIONS {
        let mut bytes = good.to_vec();
        if round % 2 == 0 {
            bytes.truncate(random.usize(..good.len()));
        } else {
            for _ in 0..=round / 8 {
                let at = random.usize(..bytes.len());
                bytes[at] ^= 1 << random.usize(..8);
            }
        }
        refused += usize::from(is_refused(world, &bytes).await);
    }
    assert!(
        refused > MUTATIONS / 2,
        "{refused} of {MUTATIONS} were refused"
    );
}

const MUTATIONS: usize = 60;

/// Every run makes the same bytes.
const SEED: u64 = 0x5eed;

/// Cuts a good plugin off in each of its sections, and between them.
pub(crate) async fn cut_at_sections(world: &World, good: &[u8]) {
    let mut sections = 0;
    for payload in wasmparser::Parser::new(0).parse_all(good) {
        let Some((_, range)) = payload.unwrap().as_section() else {
            continue;
        };
        sections += 1;
        for cut in [range.start, range.start.midpoint(range.end)] {
            let cut_off = &good[..cut.min(range.end - 1)];
            assert!(
                is_refused(world, cut_off).await,
                "cut at {cut} of {range:?}"
            );
        }
        // Whole sections may be a plugin by themselves: nothing that a plugin needs comes after the types.
        is_refused(world, &good[..range.end]).await;
    }
    assert!(sections > 10, "{sections} sections");
}

/// Whether the host refuses the bytes, in one line. If it doesn't, they are a plugin like any other.
async fn is_refused(world: &World, bytes: &[u8]) -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let loaded = world.load_file(file.path()).await;
    if let Err(error) = &loaded {
        let error = format!("{error:#}");
        assert!(!error.contains('\n') && error.len() < 8192, "{error}");
    }
    loaded.is_err()
}

/// The host gives up a component that takes too long to compile, and ends the compiler's process.
pub(crate) async fn slow_to_compile(program: &std::path::Path) {
    let cache = Cache::temporary();
    let cache = cache
        .compiling_with(program)
        .compiling_within(Duration::from_millis(300));
    let engine = Engine::new(cache).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), Source::Functions(50_000).make()).unwrap();
    let error = Plugin::load(
        &engine,
        file.path(),
        &Limits::default(),
        &TenantQuota::unlimited(),
    )
    .await
    .unwrap_err();
    assert!(
        format!("{error:#}").contains("took longer than 300ms"),
        "{error:#}"
    );
}

impl Source {
    fn make(&self) -> Vec<u8> {
        match self {
            Self::Raw(bytes) => bytes.to_vec(),
            Self::Text(text) => wat::parse_str(text).unwrap(),
            Self::Module(inside) => wat::parse_str(plugin_around(inside)).unwrap(),
            Self::Repeated(item, count) => {
                wat::parse_str(plugin_around(&item.repeat(*count))).unwrap()
            }
            Self::Functions(count) => {
                let body = "(func (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))";
                Self::Repeated(body, *count).make()
            }
            Self::Noise => {
                let mut noise = [0; 4096];
                Rng::with_seed(SEED).fill(&mut noise);
                [&b"\0asm\x0d\0\x01\0"[..], &noise].concat()
            }
            Self::DeepTypes(depth) => {
                let types: String = (1..*depth)
                    .map(|at| format!("(type $t{at} (list $t{}))", at - 1))
                    .collect();
                wat::parse_str(format!("(component (type $t0 (list u8)) {types})")).unwrap()
            }
            Self::Instances(item, count) => {
                let instance = "(core instance (instantiate $many))";
                let many = format!(
                    "(core module $many {}) {})",
                    item.repeat(*count),
                    instance.repeat(60)
                );
                let plugin = plugin_around("");
                let plugin = plugin.trim_end().strip_suffix(')').unwrap();
                wat::parse_str(format!("{plugin} {many}")).unwrap()
            }
            Self::Multiplied(levels) => {
                let mut text = "(component (component $c0)".to_owned();
                for level in 1..=*levels {
                    let below = level - 1;
                    let ten = "(instance (instantiate $below))".repeat(10);
                    text += &format!(
                        "(component $c{level} (alias outer 1 $c{below} (component $below)) {ten})"
                    );
                }
                wat::parse_str(text + &format!("(instance (instantiate $c{levels})))")).unwrap()
            }
            Self::Nested(depth) => {
                // Encoded by hand, because a text parser would recurse too. Section 4 holds a component.
                let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
                for _ in 0..*depth {
                    let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
                    leb128(bytes.len(), &mut outer);
                    outer.extend(bytes);
                    bytes = outer;
                }
                bytes
            }
        }
    }
}

pub(crate) fn leb128(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value % 0x80).unwrap() | 0x80);
        value /= 0x80;
    }
    out.push(u8::try_from(value).unwrap());
}

/// A component that looks like a plugin, with this core module inside.
fn plugin_around(inside: &str) -> String {
    format!(
        r#"(component
            (core module $m {inside} (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $device (export "open" (func $f)) (export "read" (func $f)))
            (export "nbdbox:plugin/device@0.1.0" (instance $device)))"#
    )
}
