//! Each bulk instruction does the same in pieces, including its traps.

use wasmtime::component::Component;
use wasmtime::{Config, Engine, Instance, Module, Store, Val};

use super::{cut, module};

/// A module with each bulk instruction. With `long`, its addresses have 64 bits.
fn bulk(long: bool) -> Vec<u8> {
    let (kind, address) = if long { ("i64", "i64") } else { ("", "i32") };
    let text = format!(
        r#"(module
            (memory $m (export "m") {kind} 8) (memory $other (export "other") 8)
            (table $t (export "t") {kind} 20000 funcref)
            (func $f) (elem $e func $f $f $f)
            (data $d "0123456789")
            (func (export "fill") (param {address} i32 {address})
                (memory.fill $m (local.get 0) (local.get 1) (local.get 2)))
            (func (export "copy") (param {address} {address} {address})
                (memory.copy $m $m (local.get 0) (local.get 1) (local.get 2)))
            (func (export "across") (param i32 {address} i32)
                (memory.copy $other $m (local.get 0) (local.get 1) (local.get 2)))
            (func (export "init") (param {address} i32 i32)
                (memory.init $m $d (local.get 0) (local.get 1) (local.get 2)))
            (func (export "table-fill") (param {address} {address})
                (table.fill $t (local.get 0) (ref.func $f) (local.get 1)))
            (func (export "table-copy") (param {address} {address} {address})
                (table.copy $t $t (local.get 0) (local.get 1) (local.get 2)))
            (func (export "table-init") (param {address} i32 i32)
                (table.init $t $e (local.get 0) (local.get 1) (local.get 2)))
        )"#
    );
    wat::parse_str(text).unwrap()
}

/// The module as it is, and in pieces.
struct Twins {
    stores: [Store<()>; 2],
    instances: [Instance; 2],
    long: bool,
}

impl Twins {
    fn new(long: bool) -> Self {
        let engine = Engine::new(&Config::new()).unwrap();
        let plain = bulk(long);
        let pieces = module::cut(&plain).unwrap().unwrap();
        assert!(
            module::cut(&pieces).unwrap().is_some(),
            "the added functions have bulk instructions"
        );
        let mut stores = [Store::new(&engine, ()), Store::new(&engine, ())];
        let make = |store: &mut Store<()>, bytes: &[u8]| {
            Instance::new(store, &Module::new(&engine, bytes).unwrap(), &[]).unwrap()
        };
        let instances = [make(&mut stores[0], &plain), make(&mut stores[1], &pieces)];
        Self {
            stores,
            instances,
            long,
        }
    }

    /// Calls the function in both, and compares how they end and what they have in memory.
    fn call(&mut self, name: &str, operands: &[u64]) {
        let mut ended = [true; 2];
        let mut seen = [Vec::new(), Vec::new()];
        for (twin, (store, instance)) in self.stores.iter_mut().zip(self.instances).enumerate() {
            let function = instance.get_func(&mut *store, name).unwrap();
            let types: Vec<_> = function.ty(&*store).params().collect();
            let params: Vec<Val> = types
                .iter()
                .zip(operands)
                .map(|(ty, value)| match ty {
                    wasmtime::ValType::I64 => Val::I64(value.cast_signed()),
                    _ => Val::I32(u32::try_from(*value).unwrap().cast_signed()),
                })
                .collect();
            ended[twin] = function.call(&mut *store, &params, &mut []).is_ok();
            for memory in ["m", "other"] {
                let memory = instance.get_memory(&mut *store, memory).unwrap();
                seen[twin].extend_from_slice(memory.data(&*store));
            }
            let table = instance.get_table(&mut *store, "t").unwrap();
            for index in 0..table.size(&*store) {
                let element = table.get(&mut *store, index).unwrap();
                seen[twin].push(u8::from(element.as_func().unwrap().is_some()));
            }
        }
        assert_eq!(
            ended[0], ended[1],
            "{name} {operands:?}, long {}",
            self.long
        );
        assert!(
            seen[0] == seen[1],
            "{name} {operands:?}, long {}",
            self.long
        );
    }
}

const KIB: u64 = 1024;

#[test]
fn pieces_move_the_same_bytes_and_elements() {
    for long in [false, true] {
        let mut twins = Twins::new(long);
        for (at, byte, length) in [
            (0, 1, 64),
            (3, 2, 64),
            (5, 3, 65),
            (70, 4, 200),
            (64, 5, 128),
        ] {
            twins.call("fill", &[at * KIB + 1, byte, length * KIB]);
        }
        for (at, length) in [(0, 3), (11, 511), (511, 1), (0, 512)] {
            twins.call("init", &[at * KIB, 2, 8]);
            twins.call("copy", &[7, 1, length * KIB - 7]);
            twins.call("copy", &[1, 7, length * KIB - 7]);
        }
        // By less and by more than a piece, upwards and downwards.
        for (to, from, length) in [
            (1, 0, 300),
            (0, 1, 300),
            (200, 0, 300),
            (0, 200, 300),
            (9, 9, 400),
        ] {
            twins.call("fill", &[from * KIB + 77, from + 7, 100]);
            twins.call("copy", &[to * KIB, from * KIB, length * KIB]);
            twins.call("across", &[to * KIB, from * KIB, length * KIB]);
        }
        twins.call("table-init", &[3, 0, 3]);
        twins.call("table-init", &[9000, 1, 2]);
        twins.call("table-copy", &[1, 0, 19_000]);
        twins.call("table-copy", &[0, 1, 19_000]);
        twins.call("table-fill", &[5000, 9000]);
    }
}

#[test]
fn a_range_outside_traps_and_changes_nothing() {
    const ALL: u64 = 512 * KIB;
    for long in [false, true] {
        let mut twins = Twins::new(long);
        let huge = if long { u64::MAX } else { u64::from(u32::MAX) };
        twins.call("fill", &[0, 9, 300 * KIB]);
        for (at, length) in [
            (1, ALL),
            (ALL, 1),
            (ALL + 1, 0),
            (0, huge),
            (huge, 100 * KIB),
            (ALL - 70 * KIB, 71 * KIB),
        ] {
            twins.call("fill", &[at, 1, length]);
            twins.call("copy", &[at, 0, length]);
            twins.call("copy", &[0, at, length]);
        }
        let long_init = u64::from(u32::MAX);
        twins.call("init", &[0, 0, 100 * KIB]);
        twins.call("init", &[0, long_init, 100 * KIB]);
        twins.call("across", &[ALL - 1, 0, 100 * KIB]);
        twins.call("table-fill", &[15_000, 6_000]);
        twins.call("table-copy", &[15_000, 0, 6_000]);
        twins.call("table-copy", &[0, 15_000, 6_000]);
        twins.call("table-init", &[0, 0, 9_000]);
    }
}

#[test]
fn modules_within_components_are_found() {
    let text = r#"(component (component (core module (memory 1)
        (func (param i32) (memory.fill (local.get 0) (i32.const 0) (i32.const 65536))))))"#;
    let component = wat::parse_str(text).unwrap();
    let pieces = cut(&component).unwrap();
    assert!(pieces.len() > component.len());
    let engine = Engine::new(Config::new().wasm_component_model(true)).unwrap();
    assert!(Component::new(&engine, &pieces).is_ok());
    let plain = wat::parse_str("(component (core module (memory 1)))").unwrap();
    assert_eq!(cut(&plain).unwrap(), plain);
}

#[test]
fn components_nested_without_end_are_refused() {
    let mut component = wat::parse_str("(component)").unwrap();
    for _ in 0..100 {
        let mut outer = super::Writer::default();
        outer.copy(&component[..8]);
        outer.section(super::COMPONENT, &component).unwrap();
        component = outer.into_bytes();
    }
    let error = cut(&component).unwrap_err().to_string();
    assert!(error.contains("nested"), "{error}");
}
