//! An oracle for the bytes of the export, when reads and writes overlap in time.
//!
//! The disk may apply each byte of a change at another moment. All these moments lie between the moment when the client
//! sends the change's first byte and the moment when it receives the reply. So a read may return, for each byte, the
//! value from before the read, or the value of any change that wasn't over when the read began.

use std::ops::Range;

/// Bytes in a run of the initial content. Every third run has zeroes.
const RUN: u64 = 768;

/// All changes that clients sent.
#[derive(Debug, Default)]
pub(crate) struct History(Vec<Change>);

/// The content that a change leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The content at the start.
    Initial,
    /// The payload of the write that has this number.
    Payload(u64),
    Zeroes,
    /// Zeroes, or the content from before.
    Trimmed,
}

#[derive(Debug)]
struct Change {
    range: Range<u64>,
    content: Content,
    /// The tick before its first byte.
    begun: u64,
    /// The tick of its reply, and whether it succeeded. A change that failed may have taken effect.
    answered: Option<(u64, bool)>,
}

impl Content {
    /// The byte at this offset of the export. A payload has no zeroes.
    pub(crate) fn byte(self, offset: u64) -> u8 {
        let number = match self {
            Self::Initial if (offset / RUN) % 3 == 1 => return 0,
            Self::Zeroes | Self::Trimmed => return 0,
            Self::Initial => 0,
            Self::Payload(number) => number,
        };
        let mixed = ((number << 32) | offset).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        u8::try_from(mixed % 255 + 1).unwrap()
    }

    pub(crate) fn bytes(self, range: Range<u64>) -> Vec<u8> {
        range.map(|offset| self.byte(offset)).collect()
    }
}

impl Change {
    /// The tick at which it began, if it had replaced all earlier content before `tick`.
    fn replaced(&self, tick: u64) -> Option<u64> {
        let over = self
            .answered
            .is_some_and(|(answered, done)| done && answered < tick);
        (over && self.content != Content::Trimmed).then_some(self.begun)
    }

    /// Whether it was answered before `tick`.
    fn was_over(&self, tick: u64) -> bool {
        self.answered.is_some_and(|(answered, _)| answered < tick)
    }
}

impl History {
    /// Adds a change before its first byte is sent. Returns its index.
    pub(crate) fn begin(&mut self, range: Range<u64>, content: Content, tick: u64) -> usize {
        self.0.push(Change {
            range,
            content,
            begun: tick,
            answered: None,
        });
        self.0.len() - 1
    }

    pub(crate) fn answer(&mut self, change: usize, tick: u64, done: bool) {
        self.0[change].answered = Some((tick, done));
    }

    /// The first offset at which a read that began at `begun` can't have found the byte that it returned. `None` if all
    /// bytes are possible.
    pub(crate) fn first_wrong(&self, offset: u64, bytes: &[u8], begun: u64) -> Option<u64> {
        let range = offset..offset + bytes.len() as u64;
        self.segments(range).find_map(|segment| {
            let allowed = self.allowed(&segment, begun);
            segment.into_iter().find(|at| {
                let found = bytes[usize::try_from(at - offset).unwrap()];
                !allowed.iter().any(|content| content.byte(*at) == found)
            })
        })
    }

    /// The first offset at which no zero can have been at any time since `begun`.
    pub(crate) fn first_data(&self, range: Range<u64>, begun: u64) -> Option<u64> {
        self.segments(range).find_map(|segment| {
            let allowed = self.allowed(&segment, begun);
            segment
                .into_iter()
                .find(|at| !allowed.iter().any(|content| content.byte(*at) == 0))
        })
    }

    /// The parts of a range that each change covers as a whole, or not at all.
    fn segments(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        let ends = self
            .0
            .iter()
            .flat_map(|change| [change.range.start, change.range.end]);
        let inside = ends.filter(|end| range.start < *end && *end < range.end);
        let mut ends: Vec<u64> = inside.chain([range.start, range.end]).collect();
        ends.sort_unstable();
        ends.dedup();
        let pairs: Vec<_> = ends.windows(2).map(|pair| pair[0]..pair[1]).collect();
        pairs.into_iter()
    }

    /// The contents that a read of a segment may find if it began at `begun`.
    fn allowed(&self, segment: &Range<u64>, begun: u64) -> Vec<Content> {
        let covers = |change: &&Change| {
            change.range.start <= segment.start && segment.end <= change.range.end
        };
        let covering: Vec<&Change> = self.0.iter().filter(covers).collect();
        let replaced = covering
            .iter()
            .filter_map(|change| change.replaced(begun))
            .max();
        let stays = |change: &&&Change| replaced.is_none_or(|tick| !change.was_over(tick));
        let mut allowed: Vec<_> = covering
            .iter()
            .filter(stays)
            .map(|change| change.content)
            .collect();
        if replaced.is_none() {
            allowed.push(Content::Initial);
        }
        allowed
    }
}

#[test]
fn a_read_finds_what_was_there_or_is_being_written() {
    let mut history = History::default();
    let [one, two] = [Content::Payload(1), Content::Payload(2)];
    let first = history.begin(0..100, one, 1);
    let at_50 = |content: Content| content.bytes(50..60);
    for content in [Content::Initial, one] {
        assert_eq!(history.first_wrong(50, &at_50(content), 2), None);
    }
    history.answer(first, 3, true);
    assert_eq!(history.first_wrong(50, &at_50(one), 4), None);
    assert_eq!(
        history.first_wrong(50, &at_50(Content::Initial), 4),
        Some(50)
    );
    let second = history.begin(55..200, two, 5);
    assert_eq!(history.first_wrong(50, &at_50(two), 6), Some(50));
    let torn = [&one.bytes(50..57)[..], &two.bytes(57..60)].concat();
    assert_eq!(history.first_wrong(50, &torn, 6), None);
    history.answer(second, 7, false);
    assert_eq!(history.first_wrong(50, &torn, 8), None, "it failed midway");
    assert_eq!(history.first_data(50..60, 8), Some(50));
    let trim = history.begin(0..1000, Content::Trimmed, 9);
    history.answer(trim, 10, true);
    assert_eq!(history.first_data(50..60, 11), None);
    assert_eq!(history.first_wrong(50, &torn, 11), None);
}
