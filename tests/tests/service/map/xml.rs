//! Just enough XML to check that a document is well-formed: elements, attributes, texts, entities.

/// An element of a document; the parser returns them in the order in which they begin.
#[derive(Debug)]
pub(crate) struct Element {
    /// The name and the attributes, as they are written.
    pub(crate) tag: String,
    /// The text in it, up to its first child, with entities decoded.
    pub(crate) text: String,
}

/// Reads a document. The test fails if it isn't well-formed.
pub(crate) fn parse(document: &str) -> Vec<Element> {
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let (before, mut rest) = document.split_once('<').expect("an element");
    assert_eq!(before, "");
    loop {
        let (tag, after) = rest.split_once('>').expect("a tag ends");
        let (text, next) = after.split_once('<').unwrap_or((after, ""));
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "the innermost ends");
        } else {
            check_tag(tag.strip_suffix('/').unwrap_or(tag));
            let (tag, text) = (tag.to_owned(), decoded(text));
            if !tag.ends_with('/') {
                open.push(name_of(&tag).to_owned());
            }
            elements.push(Element { tag, text });
        }
        if open.is_empty() {
            assert_eq!((text.trim(), next), ("", ""), "one root");
            return elements;
        }
        rest = next;
    }
}

impl Element {
    /// An attribute's value.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let (_, value) = self.tag.split_once(&format!(" {name}=\""))?;
        value.split('"').next()
    }
}

fn name_of(tag: &str) -> &str {
    tag.split(' ').next().unwrap_or_default()
}

/// A name, and attributes with a value in quotes, each once.
fn check_tag(tag: &str) {
    let name = name_of(tag);
    assert!(
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{tag}"
    );
    let mut rest = tag[name.len()..].trim_start();
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let (attribute, quoted) = rest.split_once("=\"").expect(tag);
        assert!(
            !attribute.contains(' ') && !seen.contains(&attribute),
            "{tag}"
        );
        seen.push(attribute);
        let (value, after) = quoted.split_once('"').expect(tag);
        decoded(value);
        assert!(after.is_empty() || after.starts_with(' '), "{tag}");
        rest = after.trim_start();
    }
}

/// Replaces the entities. There may be no other `&`, and no control characters.
fn decoded(text: &str) -> String {
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(control), "{text:?}");
    let mut pieces = text.split('&');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (entity, rest) = piece.split_once(';').expect("an entity ends");
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            _ => panic!("&{entity};"),
        });
        plain.push_str(rest);
    }
    plain
}
