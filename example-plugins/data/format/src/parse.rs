//! Parses a text to items.

use std::rc::Rc;

use crate::Error;
use crate::item::Item;
use crate::limits::{BYTES_PER_ITEM, DEPTH, ITEMS, SIZE};
use crate::number::{is_blank, read};

/// Parses a whole text.
pub(crate) fn parse(
    text: &str,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Rc<[Item]>, Error> {
    let mut budget = ITEMS;
    let mut parser = Parser {
        text: text.as_bytes(),
        at: 0,
        variables,
        budget: &mut budget,
    };
    let (items, _) = parser.list(0, false)?;
    Ok(items)
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    variables: &'a dyn Fn(&str) -> Option<String>,
    /// The number of items that are left, for this text and its variables.
    budget: &'a mut u32,
}

/// Consecutive items, each with its nesting depth.
#[derive(Default)]
struct List(Vec<(Item, usize)>);

impl List {
    /// Adds an item. Joins bytes before the last item; the last one stays alone, because an operator may follow it.
    fn push(&mut self, item: Item, depth: usize) {
        if let [.., (Item::Bytes(_), _), (Item::Bytes(_), _)] = self.0[..]
            && let Some((Item::Bytes(last), _)) = self.0.pop()
            && let Some((Item::Bytes(before), _)) = self.0.last_mut()
        {
            before.extend(last);
        }
        self.0.push((item, depth));
    }

    fn depth(&self) -> usize {
        self.0.iter().map(|(_, depth)| *depth).max().unwrap_or(0)
    }
}

impl Parser<'_> {
    /// Parses items up to the end of the text, or to the `)` that ends a group. Returns them and their depth.
    fn list(&mut self, level: usize, in_group: bool) -> Result<(Rc<[Item]>, usize), Error> {
        if level > DEPTH {
            return Err(self.wrong(&format!("expressions are nested more than {DEPTH} deep")));
        }
        let mut list = List::default();
        loop {
            match self.peek() {
                None if in_group => return Err(self.wrong("a `(` has no `)`")),
                None => break,
                Some(b')') if in_group => {
                    self.at += 1;
                    break;
                }
                Some(b')') => return Err(self.wrong("a `)` has no `(`")),
                Some(byte) if is_blank(byte) => self.at += 1,
                Some(b'#') => self.comment(),
                Some(byte) => self.item(byte, level, &mut list)?,
            }
        }
        let depth = list.depth();
        let items: Vec<Item> = list.0.into_iter().map(|(item, _)| item).collect();
        Ok((items.into(), depth))
    }

    fn item(&mut self, byte: u8, level: usize, list: &mut List) -> Result<(), Error> {
        self.charge(1)?;
        let plain = |item: Item| (item, 0);
        let (item, depth) = match byte {
            b'0'..=b'9' => plain(self.byte()?),
            b'@' => plain(self.offset()?),
            b'"' => plain(self.string()?),
            b'l' | b'b' => plain(self.word()?),
            b'<' => plain(self.file()?),
            b'\\' => plain(Item::Name(self.name()?)),
            b'(' => {
                self.at += 1;
                let (items, depth) = self.list(level + 1, true)?;
                (Item::Group(items), depth + 1)
            }
            b'$' => self.variable(level)?,
            b'*' => self.repeat(list)?,
            b'[' => self.slice(list)?,
            b'-' => self.assign(list)?,
            _ => return Err(self.wrong("this isn't the start of an expression")),
        };
        if depth > DEPTH {
            return Err(self.wrong(&format!("expressions are nested more than {DEPTH} deep")));
        }
        list.push(item, depth);
        Ok(())
    }

    fn charge(&mut self, items: usize) -> Result<(), Error> {
        let left = u32::try_from(items)
            .ok()
            .and_then(|items| self.budget.checked_sub(items));
        *self.budget = left.ok_or_else(|| {
            self.wrong(&format!(
                "the text has more than {ITEMS} expressions, including those of its variables"
            ))
        })?;
        Ok(())
    }

    fn comment(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
    }

    fn byte(&mut self) -> Result<Item, Error> {
        let value = self.number("a byte")?;
        match u8::try_from(value) {
            Ok(byte) => Ok(Item::Bytes(vec![byte])),
            Err(_) => Err(self.wrong("a byte must be from 0 to 255")),
        }
    }

    fn offset(&mut self) -> Result<Item, Error> {
        self.at += 1;
        let kind = self.peek();
        if let Some(b'+' | b'-' | b'^') = kind {
            self.at += 1;
        } else if !kind.is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(
                self.wrong("`@` must be followed by an offset, or by `+`, `-` or `^` and a number")
            );
        }
        let count = self.count("`@` must be followed by a number")?;
        match kind {
            Some(b'+') => Ok(Item::Forward(count)),
            Some(b'-') => Ok(Item::Back(count)),
            Some(b'^') if count.is_power_of_two() => Ok(Item::Align(count)),
            Some(b'^') => Err(self.wrong("the number after `@^` must be a power of two")),
            _ => Ok(Item::Seek(count)),
        }
    }

    fn string(&mut self) -> Result<Item, Error> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.next() {
                Some(b'"') => return Ok(Item::Bytes(bytes)),
                Some(b'\\') => bytes.push(self.escaped()?),
                Some(byte) => bytes.push(byte),
                None => return Err(self.wrong("a string has no end: `\"` is missing")),
            }
        }
    }

    /// Parses the character after a backslash, as in C; numbers only as `\xNN`.
    fn escaped(&mut self) -> Result<u8, Error> {
        match self.next() {
            Some(b'a') => Ok(0x07),
            Some(b'b') => Ok(0x08),
            Some(b'f') => Ok(0x0c),
            Some(b'n') => Ok(b'\n'),
            Some(b'r') => Ok(b'\r'),
            Some(b't') => Ok(b'\t'),
            Some(b'v') => Ok(0x0b),
            Some(b'x') => match (self.hex_digit(), self.hex_digit()) {
                (Some(high), Some(low)) => Ok(high << 4 | low),
                _ => Err(self.wrong("`\\x` must be followed by two hexadecimal digits")),
            },
            Some(b'0'..=b'9' | b'u') => {
                Err(self
                    .wrong("octal and unicode escapes aren't supported in strings: write \\xNN"))
            }
            Some(byte) => Ok(byte),
            None => Err(self.wrong("a string has no end: `\"` is missing")),
        }
    }

    fn hex_digit(&mut self) -> Option<u8> {
        let digit = char::from(self.next()?).to_digit(16)?;
        u8::try_from(digit).ok()
    }

    /// Parses `le16:` and similar words.
    fn word(&mut self) -> Result<Item, Error> {
        let form = self.text[self.at..].get(..5);
        let (length, little) = match form {
            Some(b"le16:") => (2, true),
            Some(b"le32:") => (4, true),
            Some(b"le64:") => (8, true),
            Some(b"be16:") => (2, false),
            Some(b"be32:") => (4, false),
            Some(b"be64:") => (8, false),
            _ => {
                return Err(
                    self.wrong("this isn't one of le16:, le32:, le64:, be16:, be32:, be64:")
                );
            }
        };
        self.at += 5;
        let value = self.number("le or be, bits and `:` must be followed by a number")?;
        let value = u64::try_from(value)
            .ok()
            .filter(|value| length == 8 || *value >> (8 * length) == 0)
            .ok_or_else(|| self.wrong(&format!("the number doesn't fit in {} bits", 8 * length)))?;
        let bytes = if little {
            value.to_le_bytes()[..length].to_vec()
        } else {
            value.to_be_bytes()[8 - length..].to_vec()
        };
        Ok(Item::Bytes(bytes))
    }

    fn file(&mut self) -> Result<Item, Error> {
        self.at += 1;
        if self.peek() == Some(b'(') {
            return Err(self.wrong("`<(SCRIPT)` isn't supported: a sandbox has no shell"));
        }
        let name = self.take(|byte| !matches!(byte, b'*' | b'[' | b')' | b' ' | b'\t' | b'\n'));
        match std::str::from_utf8(name) {
            Ok("") | Err(_) => {
                Err(self.wrong("`<` must be followed by the name of a granted blob"))
            }
            Ok(name) => Ok(Item::File(name.to_owned())),
        }
    }

    /// Parses `\NAME`, after blanks.
    fn name(&mut self) -> Result<String, Error> {
        self.take(is_blank);
        let known = self.next() == Some(b'\\');
        let name = self.take(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if !known || name.is_empty() {
            return Err(self.wrong("a name consists of `\\` and letters, digits, `-` or `_`"));
        }
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    fn variable(&mut self, level: usize) -> Result<(Item, usize), Error> {
        self.at += 1;
        let starts = self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if !starts {
            return Err(
                self.wrong("a variable consists of `$`, a letter, and letters, digits or `_`")
            );
        }
        let name = self.take(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let name = String::from_utf8_lossy(name).into_owned();
        let text = (self.variables)(&name)
            .ok_or_else(|| self.wrong(&format!("${name} has no value: give {name}=…")))?;
        // Charge for its strings, which may be long and count as one expression each.
        self.charge(text.len() / BYTES_PER_ITEM)?;
        let mut inner = Parser {
            text: text.as_bytes(),
            at: 0,
            variables: self.variables,
            budget: self.budget,
        };
        let (items, depth) = inner
            .list(level + 1, false)
            .map_err(|error| error.at(&format!("${name}")))?;
        Ok((Item::Group(items), depth + 1))
    }

    fn repeat(&mut self, list: &mut List) -> Result<(Item, usize), Error> {
        self.at += 1;
        let (of, depth) = self.last(list, "`*`")?;
        let count = self.count("`*` must be followed by a number")?;
        // `(…)*2*3` is one repetition, so consecutive ones don't nest.
        if let Item::Repeat(of, before) = of {
            let count = before.checked_mul(count).filter(|count| *count <= SIZE);
            let count =
                count.ok_or_else(|| self.wrong("the product of repetitions is too large"))?;
            return Ok((Item::Repeat(of, count), depth));
        }
        Ok((Item::Repeat(Rc::new(of), count), depth + 1))
    }

    fn slice(&mut self, list: &mut List) -> Result<(Item, usize), Error> {
        self.at += 1;
        let (of, depth) = self.last(list, "`[`")?;
        let from = match self.peek() {
            Some(b':') => 0,
            _ => self.count("a slice must be [FROM:TO], [FROM:], [:TO] or [:]")?,
        };
        self.expect(b':')?;
        let to = match self.peek() {
            Some(b']') => None,
            _ => Some(self.count("a slice must be [FROM:TO], [FROM:], [:TO] or [:]")?),
        };
        self.expect(b']')?;
        if to.is_some_and(|to| to < from) {
            return Err(self.wrong("a slice ends before it begins"));
        }
        Ok((Item::Slice(Rc::new(of), from, to), depth + 1))
    }

    fn assign(&mut self, list: &mut List) -> Result<(Item, usize), Error> {
        self.at += 1;
        self.expect(b'>')?;
        let (of, depth) = self.last(list, "`->`")?;
        let name = self.name()?;
        Ok((Item::Assign(Rc::new(of), name), depth + 1))
    }

    /// Removes and returns the expression before an operator.
    fn last(&self, list: &mut List, operator: &str) -> Result<(Item, usize), Error> {
        match list.0.pop() {
            Some((item, depth)) if item.is_data() => Ok((item, depth)),
            Some(_) => Err(self.wrong(&format!("{operator} can't follow an offset"))),
            None => Err(self.wrong(&format!("{operator} must follow an expression"))),
        }
    }

    fn number(&mut self, what: &str) -> Result<i128, Error> {
        let (value, length) = read(&self.text[self.at..]).ok_or_else(|| self.wrong(what))?;
        self.at += length;
        Ok(value)
    }

    /// Parses a number from 0 to the size of the largest disk.
    fn count(&mut self, what: &str) -> Result<u64, Error> {
        let value = self.number(what)?;
        if value < 0 {
            return Err(self.wrong("the number is negative"));
        }
        u64::try_from(value)
            .ok()
            .filter(|value| *value <= SIZE)
            .ok_or_else(|| self.wrong("the number is larger than 2^63 - 1"))
    }

    fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(&format!("`{}` is missing here", char::from(byte))))
    }

    fn take(&mut self, belongs: impl Fn(u8) -> bool) -> &[u8] {
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|byte| belongs(**byte)).count();
        self.at += length;
        &rest[..length]
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.at += usize::from(byte.is_some());
        byte
    }

    fn wrong(&self, why: &str) -> Error {
        Error::new(format!("character {}: {why}", self.at + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Result<Vec<Item>, String> {
        let variables = |name: &str| (name == "v").then(|| "1 2".to_owned());
        let items = parse(text, &variables).map_err(|error| error.to_string())?;
        Ok(items.to_vec())
    }

    fn bytes(bytes: &[u8]) -> Item {
        Item::Bytes(bytes.to_vec())
    }

    #[test]
    fn bytes_in_a_row_are_one_item_but_the_last_may_be_repeated() {
        assert_eq!(
            items("1 2 3*4 5").unwrap(),
            [
                bytes(&[1, 2]),
                Item::Repeat(Rc::new(bytes(&[3])), 4),
                bytes(&[5])
            ]
        );
    }

    #[test]
    fn an_operator_binds_to_what_stands_before_it() {
        assert_eq!(
            items("<a[1:]*2 -> \\n").unwrap(),
            [Item::Assign(
                Rc::new(Item::Repeat(
                    Rc::new(Item::Slice(Rc::new(Item::File("a".into())), 1, None)),
                    2
                )),
                "n".into()
            )]
        );
    }

    #[test]
    fn a_variable_is_a_group() {
        assert_eq!(
            items("$v").unwrap(),
            [Item::Group(vec![bytes(&[1]), bytes(&[2])].into())]
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, place) in [
            ("256", "character 4"),
            ("0 x", "character 3"),
            ("(", "character 2"),
            (")", "character 1"),
            ("*2", "character 2"),
            ("@4*2", "character 4"),
            ("1[2:1]", "character 7"),
            ("$w", "character 3"),
            ("\"a", "character 3"),
            ("\"\\0\"", "character 4"),
            ("@^3", "character 4"),
            ("@-", "character 3"),
            ("le16:65536", "character 11"),
            ("<(ls)", "character 2"),
            ("1 - 2", "character 4"),
        ] {
            let error = items(text).unwrap_err();
            assert!(error.starts_with(&format!("{place}:")), "{text}: {error}");
        }
    }

    #[test]
    fn nothing_nests_without_end() {
        for text in [
            "(".repeat(100_000),
            format!("1{}", "[0:]".repeat(100_000)),
            format!("1{}", " -> \\a".repeat(100_000)),
        ] {
            assert!(items(&text).unwrap_err().contains("nested"));
        }
        let variables = |_: &str| Some("$a".to_owned());
        assert!(parse("$a", &variables).is_err());
        let doubles = |name: &str| {
            let level: usize = name[1..].parse().ok()?;
            Some(format!("$v{} $v{0}", level + 1))
        };
        assert!(parse("$v0", &doubles).is_err());
    }
}
