//! Quotes of the specification in the sources: `//= proto.md#section`, then the words in lines that begin with `//#`.

/// Words of the specification, right before the code that keeps to them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Quote {
    /// The file, below `host/crates`.
    pub(super) file: String,
    /// The number of the line with `//=`.
    pub(super) line: usize,
    /// The section, as links name it.
    pub(super) anchor: String,
    /// The words, with one blank for each line break.
    pub(super) words: String,
}

/// The quotes in a source. Panics if one has no section or no words.
pub(super) fn read(file: &str, source: &str) -> Vec<Quote> {
    let mut quotes: Vec<Quote> = Vec::new();
    let mut is_open = false;
    for (index, line) in source.lines().map(str::trim).enumerate() {
        let line_number = index + 1;
        if let Some(target) = line.strip_prefix("//=") {
            let anchor = target.trim().strip_prefix("proto.md#");
            let anchor = anchor.unwrap_or_else(|| panic!("{file}:{line_number}: no section"));
            quotes.push(Quote {
                file: file.to_owned(),
                line: line_number,
                anchor: anchor.to_owned(),
                words: String::new(),
            });
            is_open = true;
        } else if let Some(words) = line.strip_prefix("//#") {
            assert!(is_open, "{file}:{line_number}: `//=` is missing");
            let quote = quotes.last_mut().unwrap();
            if !quote.words.is_empty() {
                quote.words.push(' ');
            }
            quote.words.push_str(words.trim());
        } else {
            is_open = false;
        }
    }
    for Quote {
        file, line, words, ..
    } in &quotes
    {
        assert!(!words.is_empty(), "{file}:{line}: nothing is quoted");
    }
    quotes
}

#[test]
fn a_quote_may_have_several_lines() {
    let source =
        "    //= proto.md#client-flags\n    //# The server MUST\n    //# close.\n    close();\n";
    let quote = Quote {
        file: "a.rs".to_owned(),
        line: 1,
        anchor: "client-flags".to_owned(),
        words: "The server MUST close.".to_owned(),
    };
    assert_eq!(read("a.rs", source), [quote]);
}
