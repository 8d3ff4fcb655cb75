use super::*;

fn of(text: &str) -> Footprint {
    Footprint::of(&wat::parse_str(text).unwrap()).unwrap()
}

/// The bytes that `text` takes in addition to an empty component.
fn beyond(text: &str) -> u64 {
    of(text).bytes - of("(component)").bytes
}

/// A core module with `items`, in a component that instantiates it `times` times.
fn instances(items: &str, times: usize) -> String {
    let instances = "(core instance (instantiate $m))".repeat(times);
    format!("(component (core module $m {items}) {instances})")
}

#[test]
fn each_instance_of_a_module_is_counted_and_one_that_is_never_made_is_not() {
    let one = beyond(&instances("(global i32 (i32.const 0))", 1));
    assert!(one > 0);
    assert_eq!(beyond(&instances("(global i32 (i32.const 0))", 0)), 0);
    assert_eq!(
        beyond(&instances("(global i32 (i32.const 0))", 60)),
        60 * one
    );
}

/// The bytes of each item in wasmtime's `VMContext` and next to it (vmoffsets.rs), as a lower bound.
#[test]
fn every_kind_of_item_in_a_context_is_counted() {
    const MANY: u16 = 1000;
    let many = |item: &str| item.repeat(MANY.into());
    let types = "(type $t (func)) (func $f)";
    for (what, items, least) in [
        ("globals", many("(global i32 (i32.const 0))"), 16),
        (
            "references in globals",
            format!("{types}{}", many("(global funcref (ref.func $f))")),
            16,
        ),
        (
            "functions that are exported",
            (0..MANY)
                .map(|n| format!("(func (export \"{n}\"))"))
                .collect(),
            32,
        ),
        (
            "functions in a table",
            format!(
                "(table 1000 funcref) {} (elem (i32.const 0) func {})",
                many("(func)"),
                (0..MANY).map(|n| format!(" {n}")).collect::<String>()
            ),
            32,
        ),
        (
            "passive elements",
            format!("{types} (elem func {})", many(" $f")),
            16,
        ),
        (
            "passive segments of elements",
            format!("{types} {}", many("(elem func $f)")),
            40,
        ),
        (
            "passive segments of data",
            format!("(memory 1) {}", many("(data \"\")")),
            12,
        ),
        ("tags", many("(tag)"), 16),
        ("tables", many("(table 0 funcref)"), 16 + 64),
        ("memories", many("(memory 0)"), 16 + 200),
    ] {
        let took = beyond(&instances(&items, 1));
        assert!(took >= u64::from(MANY) * least, "{what}: {took}");
    }
}

#[test]
fn imports_are_counted_in_each_instance_that_has_them() {
    let imports = "(import \"m\" \"f\" (func))".repeat(1000);
    let text = format!(
        r#"(component
            (core module $with {imports})
            (core module $m (func (export "f")))
            (core instance $m (instantiate $m))
            (core instance (instantiate $with (with "m" (instance $m)))))"#
    );
    assert!(beyond(&text) >= 1000 * 32);
}

#[test]
fn components_multiply_and_sums_saturate() {
    // Each component instantiates the one before it ten times: 10^40 instances in a few KiB.
    let mut text =
        "(component $c0 (core module $m (memory 0)) (core instance (instantiate $m)))".to_owned();
    for level in 1..=40 {
        let below = level - 1;
        let ten = "(instance (instantiate $below))".repeat(10);
        let alias = format!("(alias outer 1 $c{below} (component $below))");
        text.push_str(&format!("(component $c{level} {alias} {ten})"));
    }
    let footprint = of(&format!("(component {text} (instance (instantiate $c40)))"));
    assert_eq!(
        footprint,
        Footprint {
            bytes: u64::MAX,
            mappings: u64::MAX
        }
    );
    let two = of(&format!("(component {text} (instance (instantiate $c1)))"));
    assert_eq!(two.mappings, of("(component)").mappings + 10 * 4);
}

#[test]
fn an_exported_or_aliased_item_is_found_by_its_new_index() {
    let text = r#"(component
        (core module $small)
        (core module $large (memory 0) (memory 0))
        (component $inner
            (alias outer 1 $large (core module $m))
            (core instance (instantiate $m)))
        (export $again "c" (component $inner))
        (instance (instantiate $again)))"#;
    assert_eq!(of(text).mappings, of("(component)").mappings + 2 * 4);
}

#[test]
fn a_module_that_another_component_passes_in_is_refused() {
    let module = r#"(component (import "m" (core module $m)) (core instance (instantiate $m)))"#;
    let component = r#"(component (import "c" (component $c)) (instance (instantiate $c)))"#;
    let exported = r#"(component
        (component $a (core module $m) (export "m" (core module $m)))
        (instance $i (instantiate $a))
        (alias export $i "m" (core module $m))
        (core instance (instantiate $m)))"#;
    for text in [module, component, exported] {
        let error = Footprint::of(&wat::parse_str(text).unwrap()).unwrap_err();
        assert!(error.to_string().contains("another component"), "{error}");
    }
}

#[test]
fn bytes_that_make_no_sense_are_errors() {
    let good = wat::parse_str(instances("(global i32 (i32.const 0))", 2)).unwrap();
    // Cut off between two sections, a component may still be complete.
    let refused = (0..good.len()).filter(|end| Footprint::of(&good[..*end]).is_err());
    assert!(refused.count() > good.len() / 2);
    assert!(Footprint::of(&good[..good.len() - 1]).is_err());
    // An instance of a module that doesn't exist: section 2, one instance, module 7, no arguments.
    let bytes = b"\0asm\x0d\0\x01\0\x02\x04\x01\x00\x07\x00";
    assert!(Footprint::of(bytes).is_err());
}
