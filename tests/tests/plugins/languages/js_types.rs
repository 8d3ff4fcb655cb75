//! The JavaScript kit's types are generated from `wit/`. `NBDBOX_UPDATE_BINDINGS=1` writes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use wit_bindgen_core::wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, Resolve, Type, TypeDef, TypeDefKind, TypeOwner,
};

const HEAD: &str = "\
// Generated from wit/ (tests/tests/plugins/languages/js_types.rs): what plugins may import, and what they export,
// for TypeScript and for editors. Offsets and lengths are in bytes; u64 is bigint. What a call throws has an errno
// as its payload.
";

/// A name of the WIT in TypeScript: `addAll`, or `ExtentKind` for a type.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |name, word| {
        name + &word[..1].to_uppercase() + &word[1..]
    })
}

fn pascal(name: &str) -> String {
    let name = camel(name);
    name[..1].to_uppercase() + &name[1..]
}

/// All interfaces of the package, each as a module.
fn generated() -> String {
    let mut resolve = Resolve::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_path(folder).unwrap();
    let interfaces = resolve.packages[package].interfaces.values();
    let modules = interfaces.map(|id| {
        let name = resolve.id_of(*id).unwrap();
        Module(&resolve).text(&name, &resolve.interfaces[*id])
    });
    modules.fold(HEAD.to_owned(), |text, module| text + "\n" + &module)
}

struct Module<'a>(&'a Resolve);

impl Module<'_> {
    fn text(&self, id: &str, interface: &Interface) -> String {
        let mut text = docs(&interface.docs, "", None);
        writeln!(text, "declare module \"{id}\" {{").unwrap();
        text += &self.uses(interface);
        for id in interface.types.values() {
            text += &self.definition(&self.0.types[*id], interface);
        }
        for function in interface.functions.values() {
            if matches!(function.kind, FunctionKind::Freestanding) {
                text += &self.function(function, "  ", "export function ");
            }
        }
        text + "}\n"
    }

    /// The types that it uses of other interfaces.
    fn uses(&self, interface: &Interface) -> String {
        let mut used: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, id) in &interface.types {
            let TypeDefKind::Type(Type::Id(source)) = self.0.types[*id].kind else {
                continue;
            };
            let TypeOwner::Interface(owner) = self.0.types[source].owner else {
                continue;
            };
            let owner = self.0.id_of(owner).unwrap();
            used.entry(owner).or_default().push(pascal(name));
        }
        let lines = used.iter().map(|(owner, names)| {
            let names = names.join(", ");
            format!("  import type {{ {names} }} from \"{owner}\";\n")
        });
        lines.collect()
    }

    fn definition(&self, def: &TypeDef, interface: &Interface) -> String {
        let name = pascal(def.name.as_ref().unwrap());
        let head = docs(&def.docs, "  ", None);
        let body = match &def.kind {
            TypeDefKind::Type(_) => return String::new(),
            TypeDefKind::Enum(of) => {
                let cases = of.cases.iter().map(|case| {
                    let comment = docs(&case.docs, "    ", None);
                    format!("{comment}    | \"{}\"\n", case.name)
                });
                let cases: String = cases.collect();
                return format!("{head}  export type {name} =\n{};\n", cases.trim_end());
            }
            TypeDefKind::Flags(of) => {
                let flags = of.flags.iter().map(|flag| {
                    let comment = docs(&flag.docs, "    ", None);
                    format!("{comment}    {}?: boolean;\n", camel(&flag.name))
                });
                format!("interface {name} {{\n{}", flags.collect::<String>())
            }
            TypeDefKind::Record(of) => {
                let fields = of.fields.iter().map(|field| {
                    let comment = docs(&field.docs, "    ", None);
                    let (optional, ty) = self.optional(&field.ty);
                    let mark = if optional { "?" } else { "" };
                    format!("{comment}    {}{mark}: {ty};\n", camel(&field.name))
                });
                format!("interface {name} {{\n{}", fields.collect::<String>())
            }
            TypeDefKind::Resource => {
                let methods = interface.functions.values().filter(|function| {
                    let class = function.kind.resource();
                    class.is_some_and(|class| self.0.types[class].name == def.name)
                });
                let methods = methods.map(|method| {
                    let fixed = matches!(method.kind, FunctionKind::Static(_));
                    self.function(method, "    ", if fixed { "static " } else { "" })
                });
                let methods: String = methods.collect();
                format!("class {name} {{\n    private constructor();\n{methods}")
            }
            other => panic!("{name}: {other:?} isn't supported yet"),
        };
        format!("{head}  export {body}  }}\n")
    }

    fn function(&self, function: &Function, indent: &str, before: &str) -> String {
        let taken = usize::from(matches!(function.kind, FunctionKind::Method(_)));
        let parameters = function.params.iter().skip(taken).map(|parameter| {
            let ty = self.ty(&parameter.ty);
            format!("{}: {ty}", camel(&parameter.name))
        });
        let parameters = parameters.collect::<Vec<_>>().join(", ");
        let (result, throws) = match &function.result {
            None => ("void".to_owned(), None),
            Some(ty) => self.result(ty),
        };
        let comment = docs(&function.docs, indent, throws);
        let name = camel(function.item_name());
        format!("{comment}{indent}{before}{name}({parameters}): {result};\n")
    }

    /// The type that a function returns, and the type that it throws.
    fn result(&self, ty: &Type) -> (String, Option<String>) {
        if let Type::Id(id) = ty
            && let TypeDefKind::Result(result) = &self.0.types[*id].kind
        {
            let ok = result.ok.map_or("void".to_owned(), |ty| self.ty(&ty));
            return (ok, result.err.map(|ty| self.ty(&ty)));
        }
        (self.ty(ty), None)
    }

    fn optional(&self, ty: &Type) -> (bool, String) {
        if let Type::Id(id) = ty
            && let TypeDefKind::Option(inner) = &self.0.types[*id].kind
        {
            return (true, self.ty(inner));
        }
        (false, self.ty(ty))
    }

    fn ty(&self, ty: &Type) -> String {
        match ty {
            Type::Bool => "boolean".to_owned(),
            Type::U8 | Type::U32 => "number".to_owned(),
            Type::U64 => "bigint".to_owned(),
            Type::String => "string".to_owned(),
            Type::Id(id) => self.named(&self.0.types[*id]),
            other => panic!("{other:?} isn't supported yet"),
        }
    }

    fn named(&self, def: &TypeDef) -> String {
        match (&def.name, &def.kind) {
            (Some(name), _) => pascal(name),
            (_, TypeDefKind::List(Type::U8)) => "Uint8Array".to_owned(),
            (_, TypeDefKind::List(ty)) => format!("Array<{}>", self.ty(ty)),
            (_, TypeDefKind::Option(ty)) => format!("{} | undefined", self.ty(ty)),
            (_, TypeDefKind::Tuple(of)) => {
                let types = of.types.iter().map(|ty| self.ty(ty));
                format!("[{}]", types.collect::<Vec<_>>().join(", "))
            }
            (_, TypeDefKind::Handle(Handle::Borrow(id) | Handle::Own(id))) => {
                pascal(self.0.types[*id].name.as_ref().unwrap())
            }
            (_, other) => panic!("{other:?} isn't supported yet"),
        }
    }
}

/// The item's docs, as a comment that editors show.
fn docs(docs: &Docs, indent: &str, throws: Option<String>) -> String {
    let throws = throws.map(|what| format!("@throws {{{what}}} as the error's payload"));
    let lines = docs.contents.iter().flat_map(|text| text.lines());
    let lines: Vec<&str> = lines.chain(throws.as_deref()).collect();
    match &lines[..] {
        [] => String::new(),
        [one] => format!("{indent}/** {one} */\n"),
        many => {
            let body = many.iter().map(|line| format!("{indent} * {line}"));
            let body: Vec<String> = body.map(|line| line.trim_end().to_owned()).collect();
            format!("{indent}/**\n{}\n{indent} */\n", body.join("\n"))
        }
    }
}

#[test]
fn the_types_are_those_of_the_wit() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/js/wit.d.ts");
    let types = generated();
    if std::env::var_os("NBDBOX_UPDATE_BINDINGS").is_some() {
        fs::write(&path, &types).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == types,
        "wit.d.ts differs from the types of wit/: NBDBOX_UPDATE_BINDINGS=1 cargo test -p nbdbox-tests --test plugins \
         the_types"
    );
}
