//! The JSON schema, made from the types in `raw`.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw::File;

/// The schema of a configuration file (JSON Schema 2020-12), for editors and for the parser itself.
#[must_use]
pub fn schema() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<File>();
    let mut value = std::mem::take(schema.ensure_object()).into();
    simplify(&mut value);
    value
}

/// TOML has no null, so "or null" is noise; without it, `anyOf` has one member, which can stand for itself. The
/// defaults are in the descriptions, in the form in which an operator would write them.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.remove("default");
            object.remove("format");
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(mut any)) = object.remove("anyOf") {
                any.retain(|one| one.get("type").is_none_or(|kind| kind != "null"));
                for one in any {
                    if let Value::Object(one) = one {
                        for (key, value) in one {
                            // A field's own description wins over that of its type.
                            object.entry(key).or_insert(value);
                        }
                    }
                }
            }
            object.values_mut().for_each(simplify);
        }
        Value::Array(items) => items.iter_mut().for_each(simplify),
        _ => {}
    }
}
