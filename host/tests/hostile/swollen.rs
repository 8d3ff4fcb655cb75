//! Good plugins that also instantiate core modules which they don't need. The host charges what it keeps for those like
//! memory, before it allocates.

use std::path::Path;
use std::sync::Arc;

use blob::Access;
use device::{ProcessQuota, TenantQuota};
use nbdbox_config::limits::{Limits, TenantLimits};
use runtime::{Plugin, PluginCatalog};
use wasmparser::{Parser, Payload};

use crate::bytes::leb128;
use crate::scene::{AMPLE, Neighbour, World, resident};

/// The instances of the additional module: with the plugin's own, fewer than a store takes.
const COPIES: usize = 40;

/// The memory that the host itself needs for that many stores.
const SLACK: u64 = 64 << 20;

/// A good plugin with `COPIES` instances of a core module of these items.
fn swollen(good: &[u8], items: &str) -> Vec<u8> {
    let module = wat::parse_str(format!("(module {items})")).unwrap();
    let mut bytes = good.to_vec();
    section(1, &module, &mut bytes);
    let mut instances = Vec::new();
    leb128(COPIES, &mut instances);
    for _ in 0..COPIES {
        // An instance of a module, given by its index, without arguments.
        instances.push(0);
        leb128(core_modules(good), &mut instances);
        instances.push(0);
    }
    section(2, &instances, &mut bytes);
    bytes
}

fn section(id: u8, content: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(id);
    leb128(content.len(), bytes);
    bytes.extend(content);
}

/// The number of core modules that a component has itself.
fn core_modules(component: &[u8]) -> usize {
    let (mut depth, mut modules) = (0, 0);
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ModuleSection { .. } if depth == 1 => modules += 1,
            _ => {}
        }
    }
    modules
}

async fn load(
    world: &World,
    bytes: &[u8],
    limits: &Limits,
    tenant: &Arc<TenantQuota>,
) -> anyhow::Result<Arc<Plugin>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Plugin::load(&world.engine, file.path(), limits, tenant).await
}

/// Loads the bytes for a tenant with only the default limits.
async fn load_freely(world: &World, bytes: &[u8]) -> Arc<Plugin> {
    let quota = world.quota();
    let loaded = load(world, bytes, &Limits::default(), &quota).await;
    loaded.unwrap()
}

fn good() -> Vec<u8> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins");
    let module = std::fs::read(plugins.join("pattern.wasm")).unwrap();
    runtime::compile::encode(module).unwrap()
}

fn tenant(memory: u64, mappings: u64, process: &Arc<ProcessQuota>) -> Arc<TenantQuota> {
    let limits = TenantLimits {
        memory,
        mappings,
        instances: usize::MAX,
        ..TenantLimits::default()
    };
    TenantQuota::new(&limits, process)
}

/// Opens exports of a swollen plugin until the tenant has no room left, and closes them. Returns the number of exports
/// that were open, the last refusal, and the bytes and mappings that the tenant used.
async fn open_all(
    world: &World,
    plugin: &Arc<Plugin>,
    quota: &Arc<TenantQuota>,
    most: usize,
) -> (usize, String, u64, u64) {
    let mut open = Vec::new();
    let mut refusal = String::new();
    while open.len() < most {
        let name = format!("swollen-{}", open.len());
        let spec = world.spec(&name, &["size=1M"], Access::ReadOnly, AMPLE);
        let mut spec = spec.unwrap();
        spec.blobs.clear();
        spec.quota = Arc::clone(quota);
        match PluginCatalog::new(Arc::clone(plugin), spec).await {
            Ok(catalog) => open.push(catalog),
            Err(error) => {
                refusal = format!("{error:#}");
                break;
            }
        }
    }
    (
        open.len(),
        refusal,
        quota.memory.used(),
        quota.mappings.used(),
    )
}

/// A tenant pays for the globals, imports and elements of many instances what they cost the host.
pub(crate) async fn contexts_are_charged(world: &World, neighbour: &Neighbour) {
    const MANY: usize = 30_000;
    let global = "(global i32 (i32.const 0))".repeat(MANY);
    let element = format!("(func $f) (elem func {})", "$f ".repeat(MANY));
    for items in [global, element] {
        let bytes = swollen(&good(), &items);
        // More than an instance may have, whatever its tenant has left.
        let small = Limits {
            memory: 1 << 20,
            ..Limits::default()
        };
        let refused = load(world, &bytes, &small, &world.quota()).await;
        let refused = format!("{:#}", refused.unwrap_err());
        assert!(refused.contains("raise the limit `memory`"), "{refused}");
        // The tenant pays for `describe`.
        let poor = tenant(4 << 20, 4096, &world.process);
        let refused = load(world, &bytes, &Limits::default(), &poor).await;
        let refused = format!("{:#}", refused.unwrap_err());
        assert!(refused.contains("needs more memory"), "{refused}");
        let quota = tenant(128 << 20, 4096, &world.process);
        let plugin = load(world, &bytes, &Limits::default(), &quota)
            .await
            .unwrap();
        assert_eq!(quota.memory.used(), 0);
        let before = resident();
        let (open, refusal, charged, _) = open_all(world, &plugin, &quota, 100).await;
        let grown = resident().saturating_sub(before);
        assert!(
            (2..12).contains(&open),
            "{open} are open, and then: {refusal}"
        );
        assert!(refusal.contains("needs more memory"), "{refusal}");
        let most = charged + charged / 10 + SLACK;
        assert!(grown <= most, "{charged} bytes were charged, {grown} taken");
        assert_eq!((quota.memory.used(), quota.mappings.used()), (0, 0));
        neighbour.goes_on().await;
    }
}

/// If the process has no memory or mappings left, the fault is the host's.
pub(crate) async fn the_host_is_to_blame_for_what_it_lacks(world: &World) {
    let plugin = load_freely(world, &swollen(&good(), "(memory 1)")).await;
    for (process, says) in [
        (
            ProcessQuota::new(16 << 20, u64::MAX),
            "the server has no memory left",
        ),
        (
            ProcessQuota::new(u64::MAX, 500),
            "the server has no mappings",
        ),
    ] {
        let quota = tenant(u64::MAX, u64::MAX, &process);
        world.log.clear();
        let (open, refusal, ..) = open_all(world, &plugin, &quota, 100).await;
        assert!(open > 0 && refusal.contains(says), "{open} open: {refusal}");
        let lines = world.log.lines_of(&format!("swollen-{open}"));
        assert!(lines.iter().any(|line| line.contains(says)), "{lines:?}");
        assert_eq!((process.memory.used(), process.mappings.used()), (0, 0));
        assert_eq!(process.memory.refusals() + process.mappings.refusals(), 1);
    }
    let quota = tenant(u64::MAX, 500, &world.process);
    let (open, refusal, ..) = open_all(world, &plugin, &quota, 100).await;
    assert!(
        open > 0 && refusal.contains("the tenant has no mappings"),
        "{open} open: {refusal}"
    );
}

/// The charge for an instance of many memories is at least the kernel's count.
pub(crate) async fn mappings_are_charged(world: &World) {
    let parts = "(memory 1) (table 20000 funcref) (data (i32.const 0) \"data\")";
    let plugin = load_freely(world, &swollen(&good(), parts)).await;
    let quota = tenant(u64::MAX, u64::MAX, &world.process);
    let mut open = Vec::new();
    let before = mappings();
    for number in 0..10 {
        let name = format!("mapped-{number}");
        let mut spec = world
            .spec(&name, &["size=1M"], Access::ReadOnly, AMPLE)
            .unwrap();
        spec.blobs.clear();
        spec.quota = Arc::clone(&quota);
        open.push(PluginCatalog::new(Arc::clone(&plugin), spec).await.unwrap());
    }
    let taken = mappings() - before;
    let charged = usize::try_from(quota.mappings.used()).unwrap();
    println!("ten instances: {charged} mappings charged, {taken} taken");
    // Other threads of the process make and remove mappings too.
    assert!(
        charged + 20 >= taken,
        "{charged} were charged, {taken} taken"
    );
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}
