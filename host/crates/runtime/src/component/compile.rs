//! From a plugin's bytes to machine code, in a child process. This file has both sides.
//!
//! The bytes are untrusted, and a compiler has a large attack surface. So `nbdbox` starts itself as
//! `nbdbox compile-plugin`. Before that process reads the first byte, it limits its own memory, CPU time and files, and
//! gives up all paths and nearly all system calls (crate `sandbox`). It writes the code to the one file that it got,
//! and exits.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nbdbox_config::limits::{COMPILED, COMPILER_MEMORY, COMPILER_TIME, COMPONENT, INSTANCE};
use nbdbox_config::size::Bytes;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;
use wasmparser::{Encoding, Parser, Payload};

use crate::abi::advice;
use crate::component::artifact;
use crate::component::footprint::Footprint;
use crate::component::pieces;
use crate::component::tunables::new_engine;

/// The hidden subcommand of `nbdbox` that compiles.
pub const SUBCOMMAND: &str = "compile-plugin";

/// The most bytes of the compiler's error text that the server keeps.
const WORDS: u64 = 4096;

/// The compiler's side. Reads a component or core module from standard input, and writes its code to standard output,
/// which has to be a file. The process must have one thread.
///
/// # Errors
/// The bytes aren't a component, with the reason; or a limit or a wall can't be set.
pub fn worker() -> anyhow::Result<()> {
    let mut output = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    restrict()?;
    // The server has already logged which walls this kernel lacks.
    sandbox::enter(sandbox::Role::Compiler).context("can't put the compiler behind its wall")?;
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(COMPONENT + 1)
        .read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() as u64 <= COMPONENT,
        "it is larger than {COMPONENT} bytes"
    );
    let component = encode(bytes)?;
    let pieces = pieces::cut(&component).context("it isn't a valid component")?;
    let footprint = Footprint::of(&pieces)?;
    ensure!(
        footprint.bytes <= INSTANCE,
        "an instance of it takes {} for its globals, functions, imports and instances before it runs, which is more \
         than any server gives: {}",
        Bytes(footprint.bytes),
        Bytes(INSTANCE)
    );
    let code = new_engine()?
        .precompile_component(&pieces)
        .map_err(|error| anyhow::anyhow!("it isn't a valid component: {error:#}"))?;
    artifact::write(&mut output, &code, footprint)?;
    Ok(())
}

/// Limits the memory, CPU time and files of this process, and so the cost of anything that the bytes make it do.
fn restrict() -> anyhow::Result<()> {
    let set = |resource, most: u64| {
        setrlimit(
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        )
    };
    set(Resource::Core, 0)?;
    set(Resource::Cpu, 2 * COMPILER_TIME.as_secs())?;
    set(Resource::As, COMPILER_MEMORY)?;
    set(Resource::Fsize, COMPILED)?;
    Ok(())
}

/// Returns a component as it is, and turns a core module with component type information into a component. The bytes
/// decide how deep it recurses, so it's only for a process that may die of that, or for known bytes.
///
/// # Errors
/// The bytes are neither, with the reason.
pub fn encode(bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    match kind(&bytes)? {
        Encoding::Component => Ok(bytes),
        Encoding::Module => encode_module(&bytes),
    }
}

fn kind(bytes: &[u8]) -> anyhow::Result<Encoding> {
    if wasmtime::Engine::detect_precompiled(bytes).is_some() || bytes.starts_with(b"\x7fELF") {
        let advice = advice::machine_code(bytes);
        bail!("it is machine code, which nbdbox never runs: {advice}");
    }
    ensure!(
        bytes.starts_with(b"\0asm"),
        "it isn't WebAssembly: it doesn't begin with the bytes 00 61 73 6d{}",
        advice::not_wasm(bytes)
    );
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding),
        Some(Err(error)) => bail!("it isn't WebAssembly: {error}"),
        _ => bail!("it isn't WebAssembly: its header is cut off"),
    }
}

fn encode_module(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (mut typed, mut imports) = (false, Vec::new());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::CustomSection(section)) => {
                typed |= section.name().starts_with("component-type");
            }
            Ok(Payload::ImportSection(section)) => {
                let known = section.into_imports().map_while(Result::ok);
                imports.extend(known.map(|import| (import.module, import.name)));
            }
            Ok(_) => {}
            Err(error) => bail!("it is damaged or cut off: {error}"),
        }
    }
    ensure!(
        typed,
        "it is a core module without component type information, and a plugin is a component, or a module built with \
         one of the nbdbox kits: {}",
        advice::untyped_module(imports.into_iter())
    );
    let adapter = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    let name = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
    let adapted = imports.into_iter().filter(|(module, _)| *module != name);
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(bytes)
        .and_then(|encoder| encoder.adapter(name, adapter))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| {
            let advice = advice::unanswered(adapted);
            anyhow::anyhow!("it can't be made a component: {error:#}{advice}")
        })
}

/// The server's side. Compiles `bytes` in a child process, which writes the code to `output`. Dropping the future kills
/// the child.
pub(crate) async fn in_a_child(
    program: &Path,
    time: Duration,
    bytes: &[u8],
    output: File,
) -> anyhow::Result<()> {
    let mut child = Command::new(program)
        .arg(SUBCOMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("can't start the compiler's process")?;
    let mut input = child.stdin.take().context("the compiler has no stdin")?;
    let mut errors = child.stderr.take().context("the compiler has no stderr")?;
    let work = async {
        let mut words = Vec::new();
        let send = async {
            // The child may have given up before it read everything. Then its error text has the reason.
            let _ = input.write_all(bytes).await;
            drop(input);
        };
        let mut errors = (&mut errors).take(WORDS);
        let ((), read) = tokio::join!(send, errors.read_to_end(&mut words));
        read?;
        anyhow::Ok((child.wait().await?, words))
    };
    let Ok(done) = timeout(time, work).await else {
        bail!("compiling it took longer than {time:?}");
    };
    let (status, words) = done?;
    if status.success() {
        return Ok(());
    }
    // The text quotes names that the plugin's supplier chose, and none of them may control a terminal.
    let words = String::from_utf8_lossy(&words).replace(char::is_control, " ");
    match (status.code(), words.trim()) {
        (Some(1), words) if !words.is_empty() => bail!("{words}"),
        (_, words) => bail!("compiling it broke the compiler's limits ({status}) {words}"),
    }
}
