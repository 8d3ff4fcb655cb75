//! Values that have more than one form.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};

/// A word or number, in the form in which it's written.
#[derive(Clone, Debug)]
pub(in super::super) struct Scalar(pub(in super::super) String);

/// A setting's value, or its source.
#[derive(Clone, Debug)]
pub(in super::super) enum Setting {
    Plain(String),
    Kept {
        file: Option<String>,
        env: Option<String>,
    },
}

/// A granted file: `PATH[:ro|:rw|:map-only]`, or a table.
#[derive(Clone, Debug)]
pub(in super::super) enum Blob {
    Word(String),
    Table {
        path: Option<String>,
        access: Option<String>,
        lock: Option<String>,
    },
}

/// A visitor of words, and of tables if `T` has a form for those.
struct Words<T>(fn(String) -> T, Option<fn(TableOf) -> Option<T>>);

/// All keys of such tables; the shape has been checked.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TableOf {
    file: Option<String>,
    env: Option<String>,
    path: Option<String>,
    access: Option<String>,
    lock: Option<String>,
}

impl<'de, T> Visitor<'de> for Words<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or a table")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Ok((self.0)(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Ok((self.0)(number.to_string()))
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<T, E> {
        Ok((self.0)(yes.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let table = TableOf::deserialize(MapAccessDeserializer::new(map))?;
        let made = self.1.and_then(|make| make(table));
        made.ok_or_else(|| A::Error::custom("a table isn't expected here"))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Words(Self, None))
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }
}

/// A path, or several paths.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(in super::super) enum Paths {
    One(String),
    Several(Vec<String>),
}

impl JsonSchema for Paths {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Paths".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kept = |table: TableOf| {
            Some(Self::Kept {
                file: table.file,
                env: table.env,
            })
        };
        deserializer.deserialize_any(Words(Self::Plain, Some(kept)))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = |table: TableOf| {
            Some(Self::Table {
                path: table.path,
                access: table.access,
                lock: table.lock,
            })
        };
        deserializer.deserialize_any(Words(Self::Word, Some(table)))
    }
}

impl JsonSchema for Setting {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Setting".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer", "number", "boolean", "object"],
            "description": "The value; or a table that names where a secret is kept.",
            "properties": {
                "file": { "type": "string", "description": "A file with the value; nbdbox drops a line break at its end." },
                "env": { "type": "string", "description": "An environment variable of nbdbox with the value." },
            },
            "additionalProperties": false,
        })
    }
}

impl JsonSchema for Blob {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Blob".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "description": "A file or block device, as `PATH`, `PATH:ro`, `PATH:rw` or `PATH:map-only`; or a table.",
            "properties": {
                "path": { "type": "string", "description": "The file or block device." },
                "access": {
                    "type": "string",
                    "description": "What the plugin may do with it.",
                    "enum": ["ro", "rw", "map-only"],
                },
                "lock": {
                    "type": "string",
                    "description": "Who else may use it: `exclusive` (the default for `rw`) keeps others from writing it, `shared` lets them, `none` takes no lock.",
                    "enum": ["exclusive", "shared", "none"],
                },
            },
            "additionalProperties": false,
        })
    }
}
