//! `tests/spec/requirements.toml`, and as much of TOML as it needs: tables of strings, of lists and of `true`.

/// The sentences of the specification that bind somebody.
pub(super) struct Spec {
    /// The commit that they were read at.
    pub(super) commit: String,
    /// The commit of the extension "extended headers".
    pub(super) extension: String,
    pub(super) sections: Vec<Section>,
}

/// A section, or one option, flag or message of it.
pub(super) struct Section {
    pub(super) heading: String,
    pub(super) item: Option<String>,
    pub(super) requirements: Vec<Requirement>,
}

/// One sentence.
#[derive(Default)]
pub(super) struct Requirement {
    pub(super) id: String,
    /// MUST, MUST NOT, SHOULD, SHOULD NOT or MAY.
    pub(super) level: String,
    /// "server", "client" or "both".
    pub(super) binds: String,
    /// Whether it's of the extension "extended headers".
    pub(super) extension: bool,
    /// The sentence, with one blank for each line break.
    pub(super) text: String,
    /// The points of the checklist whose tests test it.
    pub(super) points: Vec<u32>,
    /// Further tests, as `file::function` or as a file.
    pub(super) tests: Vec<String>,
    /// Files that keep to it without a quote.
    pub(super) kept_in: Vec<String>,
    pub(super) no_check: Option<String>,
    pub(super) no_test: Option<String>,
    pub(super) not_ours: Option<String>,
    pub(super) deviation: Option<String>,
}

impl Spec {
    /// All requirements, with their sections.
    pub(super) fn requirements(&self) -> impl Iterator<Item = (&Section, &Requirement)> {
        let sections = self.sections.iter();
        sections.flat_map(|section| section.requirements.iter().map(move |one| (section, one)))
    }
}

impl Section {
    /// The heading as links name it.
    pub(super) fn anchor(&self) -> String {
        let lower = self.heading.to_lowercase();
        let kept = lower.chars().filter_map(|sign| match sign {
            ' ' => Some('-'),
            '-' | '_' => Some(sign),
            _ => sign.is_alphanumeric().then_some(sign),
        });
        kept.collect()
    }
}

/// What follows a key.
enum Value {
    Text(String),
    List(Vec<String>),
    True,
}

impl Value {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            _ => panic!("a string is expected"),
        }
    }

    fn list(self) -> Vec<String> {
        match self {
            Self::List(list) => list,
            _ => panic!("a list is expected"),
        }
    }
}

/// Reads the file. Panics at what it doesn't know, and names the line.
pub(super) fn read(file: &str) -> Spec {
    let mut spec = Spec {
        commit: String::new(),
        extension: String::new(),
        sections: Vec::new(),
    };
    let mut table = "";
    let mut lines = file.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            table = line;
            spec.open(table);
            continue;
        }
        let pair = line.split_once(" = ");
        let (key, start) = pair.unwrap_or_else(|| panic!("line {}: no key", index + 1));
        let value = value(start, &mut lines.by_ref().map(|(_, line)| line));
        let is_known = spec.set(table, key, value);
        assert!(is_known, "line {}: {table} has no {key}", index + 1);
    }
    spec
}

/// A value that starts so and may go on in further lines.
fn value<'a>(start: &str, further: &mut impl Iterator<Item = &'a str>) -> Value {
    if start == "true" {
        return Value::True;
    }
    if start == r#"""""# {
        let lines: Vec<&str> = further.take_while(|line| *line != r#"""""#).collect();
        return Value::Text(lines.join(" "));
    }
    let Some(list) = start.strip_prefix('[') else {
        return Value::Text(start.trim_matches('"').to_owned());
    };
    let mut list = list.to_owned();
    while !list.ends_with(']') {
        list.push_str(further.next().expect("the list has an end").trim());
    }
    let entries = list.trim_end_matches(']').split(',').map(str::trim);
    let entries = entries.filter(|entry| !entry.is_empty());
    Value::List(
        entries
            .map(|entry| entry.trim_matches('"').to_owned())
            .collect(),
    )
}

impl Spec {
    /// A table begins.
    fn open(&mut self, table: &str) {
        match table {
            "[spec]" => {}
            "[[section]]" => self.sections.push(Section {
                heading: String::new(),
                item: None,
                requirements: Vec::new(),
            }),
            "[[section.requirement]]" => {
                let section = self.sections.last_mut().expect("a section comes first");
                section.requirements.push(Requirement::default());
            }
            _ => panic!("unknown table {table}"),
        }
    }

    /// Takes a key's value; false if the table has no such key.
    fn set(&mut self, table: &str, key: &str, value: Value) -> bool {
        let section = self.sections.last_mut();
        match (table, section) {
            ("[spec]", _) => match key {
                "commit" => self.commit = value.text(),
                "extension" => self.extension = value.text(),
                "repository" | "file" => {}
                _ => return false,
            },
            ("[[section]]", Some(section)) => match key {
                "heading" => section.heading = value.text(),
                "item" => section.item = Some(value.text()),
                _ => return false,
            },
            (_, Some(section)) => match section.requirements.last_mut() {
                Some(requirement) => return requirement.set(key, value),
                None => return false,
            },
            _ => return false,
        }
        true
    }
}

impl Requirement {
    fn set(&mut self, key: &str, value: Value) -> bool {
        match key {
            "id" => self.id = value.text(),
            "level" => self.level = value.text(),
            "binds" => self.binds = value.text(),
            "extension" => self.extension = matches!(value, Value::True),
            "text" => self.text = value.text(),
            "points" => {
                let points = value.list().into_iter();
                self.points = points.map(|point| point.parse().unwrap()).collect();
            }
            "tests" => self.tests = value.list(),
            "kept_in" => self.kept_in = value.list(),
            "no_check" => self.no_check = Some(value.text()),
            "no_test" => self.no_test = Some(value.text()),
            "not_ours" => self.not_ours = Some(value.text()),
            "deviation" => self.deviation = Some(value.text()),
            _ => return false,
        }
        true
    }
}
