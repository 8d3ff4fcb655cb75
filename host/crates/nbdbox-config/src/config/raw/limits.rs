//! A table of limits, whose keys come from the definitions of the limits.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::at::At;
use super::value::Scalar;
use crate::limits::{self, Key, TenantLimits};

/// Limits by name, not parsed yet.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
#[serde(bound = "")]
pub(in super::super) struct Limits<T>(
    pub(in super::super) BTreeMap<String, At<Scalar>>,
    #[serde(skip)] PhantomData<T>,
);

/// A type of limits with definitions.
pub(in super::super) trait Defined: Default + 'static {
    const KEYS: &'static [Key<Self>];
    const NAME: &'static str;
}

impl Defined for limits::Limits {
    const KEYS: &'static [Key<Self>] = limits::KEYS;
    const NAME: &'static str = "Limits";
}

impl Defined for TenantLimits {
    const KEYS: &'static [Key<Self>] = Self::KEYS;
    const NAME: &'static str = "TenantLimits";
}

impl<T: Defined> JsonSchema for Limits<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let properties: Map<String, Value> = T::KEYS
            .iter()
            .map(|key| (key.name.to_owned(), property(key)))
            .collect();
        json_schema!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

fn property<T: Default>(key: &Key<T>) -> Value {
    let types = match key.kind() {
        "time" => json!("string"),
        _ => json!(["string", "integer"]),
    };
    let about = format!("{}{}", key.about[..1].to_uppercase(), &key.about[1..]);
    json!({
        "type": types,
        "description": format!("{about}. Default: {}.", key.default_value()),
    })
}
