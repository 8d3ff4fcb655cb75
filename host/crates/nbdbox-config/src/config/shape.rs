//! The shape of a file: known keys, each with a value of the right type.
//!
//! serde would stop at the first mistake. So this module first compares the document with the schema, reports what
//! doesn't fit and removes it. serde gets the rest.

use std::ops::Range;

use serde::Deserialize as _;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::Source;
use super::problem::{Position, Problems};
use super::raw::File;
use super::schema::schema;

/// The most bytes of one file. Restrains only mistakes, such as a disk image in place of a configuration.
const LARGEST: usize = 16 << 20;

/// Reads the well-formed parts of a file.
pub(super) fn read(source: Source<'_>, problems: &mut Problems) -> File {
    let mut wrong = |span: Range<usize>, key: &str, text: String| {
        problems.add(Position::of(source, &span), key, text);
    };
    if source.text.len() > LARGEST {
        wrong(0..0, "", "it is larger than 16 MiB".to_owned());
        return File::default();
    }
    let (mut document, errors) = DeTable::parse_recoverable(source.text);
    for error in errors {
        let text = error.message().replace('\n', ", ");
        wrong(error.span().unwrap_or(0..0), "", text);
    }
    Shape {
        wrong: &mut wrong,
        path: Vec::new(),
    }
    .table(document.get_mut(), &schema());
    let file = File::deserialize(toml::Deserializer::from(document));
    file.unwrap_or_else(|error| {
        wrong(error.span().unwrap_or(0..0), "", error.message().to_owned());
        File::default()
    })
}

struct Shape<'a, W> {
    wrong: &'a mut W,
    /// The names of the tables around.
    path: Vec<String>,
}

impl<W: FnMut(Range<usize>, &str, String)> Shape<'_, W> {
    /// Removes what doesn't fit `schema`.
    fn table(&mut self, table: &mut DeTable<'_>, schema: &Value) {
        let Some(known) = schema.get("properties").and_then(Value::as_object) else {
            return self.map(table, &schema["additionalProperties"]);
        };
        for (key, mut value) in std::mem::take(table) {
            let name = key.get_ref().to_string();
            let Some(schema) = known.get(&name) else {
                let known: Vec<&str> = known.keys().map(String::as_str).collect();
                let text = format!("unknown key; the keys here are {}", known.join(", "));
                self.report(key.span(), &name, text);
                continue;
            };
            if self.within(name, |shape| shape.value(&mut value, schema)) {
                table.insert(key, value);
            }
        }
    }

    /// A table whose keys are the operator's own.
    fn map(&mut self, table: &mut DeTable<'_>, schema: &Value) {
        for (key, mut value) in std::mem::take(table) {
            let name = key.get_ref().to_string();
            if self.within(name, |shape| shape.value(&mut value, schema)) {
                table.insert(key, value);
            }
        }
    }

    /// Whether a value fits. If not, reports it.
    fn value<'i>(&mut self, value: &mut Spanned<DeValue<'i>>, schema: &Value) -> bool {
        let span = value.span();
        if !is_of_type(value.get_ref(), &schema["type"]) {
            let found = value.get_ref().type_str();
            let text = format!(
                "expected {}, found {}",
                kinds(&schema["type"]),
                with_article(found)
            );
            self.report(span, "", text);
            return false;
        }
        match value.get_mut() {
            DeValue::Table(table) => self.table(table, schema),
            DeValue::Array(array) => {
                let items = std::mem::replace(array, DeArray::new()).into_iter();
                let kept = items
                    .filter_map(|mut item| self.value(&mut item, &schema["items"]).then_some(item));
                *array = kept.collect();
            }
            DeValue::String(word) => {
                let words = words(schema);
                if !words.is_empty() && !words.contains(&word.as_ref()) {
                    let text = format!("`{word}`: it must be one of {}", words.join(", "));
                    self.report(span, "", text);
                    return false;
                }
            }
            DeValue::Integer(number) if number.as_str().len() > 20 => {
                self.report(span, "", "the number is too large".to_owned());
                return false;
            }
            DeValue::Integer(number)
                if i64::from_str_radix(number.as_str(), number.radix()).is_err() =>
            {
                self.report(span, "", "the number is too large".to_owned());
                return false;
            }
            _ => {}
        }
        true
    }

    fn within<T>(&mut self, name: String, work: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(name);
        let done = work(self);
        self.path.pop();
        done
    }

    fn report(&mut self, span: Range<usize>, name: &str, text: String) {
        let mut path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        path.extend((!name.is_empty()).then_some(name));
        (self.wrong)(span, &path.join("."), text);
    }
}

fn is_of_type(value: &DeValue<'_>, types: &Value) -> bool {
    let own: &[&str] = match value {
        DeValue::String(_) => &["string"],
        DeValue::Integer(_) => &["integer", "number"],
        DeValue::Float(_) => &["number"],
        DeValue::Boolean(_) => &["boolean"],
        DeValue::Datetime(_) => &[],
        DeValue::Array(_) => &["array"],
        DeValue::Table(_) => &["object"],
    };
    match types {
        Value::String(one) => own.contains(&one.as_str()),
        Value::Array(some) => some
            .iter()
            .filter_map(Value::as_str)
            .any(|one| own.contains(&one)),
        // A list of words.
        _ => own.contains(&"string"),
    }
}

/// The words that a text may be; empty if it may be any.
fn words(schema: &Value) -> Vec<&str> {
    let list = |key: &str| schema.get(key).and_then(Value::as_array);
    let listed = list("enum").into_iter().flatten().filter_map(Value::as_str);
    let told = list("oneOf").into_iter().flatten();
    let told = told.filter_map(|one| one.get("const")?.as_str());
    listed.chain(told).collect()
}

fn kinds(types: &Value) -> String {
    let one = |kind: &Value| match kind.as_str() {
        Some("object") => "a table",
        Some("array") => "an array",
        Some("integer") => "a whole number",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        _ => "a text in quotes",
    };
    match types {
        Value::Array(types) => {
            let kinds: Vec<&str> = types.iter().map(one).collect();
            kinds.join(" or ")
        }
        kind => one(kind).to_owned(),
    }
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'i']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}
