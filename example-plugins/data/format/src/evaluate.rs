//! Evaluates items to a picture.

use std::rc::Rc;

use crate::Error;
use crate::canvas::Canvas;
use crate::files::Files;
use crate::item::Item;
use crate::limits::{DEPTH, FLAT, FLAT_TOTAL, PERIOD, SIZE, STEPS};
use crate::picture::{Content, Leaf, Picture};

/// Evaluates a text.
pub(crate) fn evaluate(items: &[Item], files: &mut dyn Files) -> Result<Rc<Picture>, Error> {
    let mut work = Work {
        files,
        names: Vec::new(),
        steps: STEPS,
        flat: FLAT_TOTAL,
        depth: 0,
    };
    work.group(items, None)
}

/// The names in an expression's scope: an index of the last one in [`Work::names`].
type Scope = Option<usize>;

/// A name and its value.
struct Name {
    name: String,
    item: Rc<Item>,
    /// The scope of the expression where it was named.
    outer: Scope,
    /// The value, evaluated at its first use.
    picture: Option<Rc<Picture>>,
}

struct Work<'a> {
    files: &'a mut dyn Files,
    names: Vec<Name>,
    steps: u32,
    flat: u64,
    depth: usize,
}

impl Work<'_> {
    /// Evaluates several items, one after the other, in a new scope.
    fn group(&mut self, items: &[Item], mut scope: Scope) -> Result<Rc<Picture>, Error> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Error::new(format!(
                "names are nested more than {DEPTH} deep"
            )));
        }
        let mut canvas = Canvas::default();
        let (mut at, mut size) = (0_u64, 0_u64);
        for item in items {
            self.step()?;
            match item {
                Item::Seek(offset) => at = *offset,
                Item::Forward(count) => at = within(at.checked_add(*count))?,
                Item::Back(count) => {
                    at = at.checked_sub(*count).ok_or_else(|| {
                        Error::new(format!("@-{count} from offset {at} leads before the start"))
                    })?;
                }
                Item::Align(to) => at = within(at.checked_next_multiple_of(*to))?,
                Item::Assign(item, name) => {
                    self.names.push(Name {
                        name: name.clone(),
                        item: Rc::clone(item),
                        outer: scope,
                        picture: None,
                    });
                    scope = Some(self.names.len() - 1);
                }
                Item::Bytes(bytes) => {
                    let end = within(at.checked_add(bytes.len() as u64))?;
                    canvas.put_bytes(at, bytes);
                    at = end;
                }
                data => at = self.data(data, scope, &mut canvas, at)?,
            }
            size = size.max(at);
        }
        self.depth -= 1;
        self.finish(canvas, size)
    }

    /// Puts an item that is a run of bytes. Returns its end.
    fn data(
        &mut self,
        item: &Item,
        scope: Scope,
        canvas: &mut Canvas,
        at: u64,
    ) -> Result<u64, Error> {
        match item {
            Item::File(name) => self.file(name, 0, None, canvas, at),
            Item::Slice(of, from, to) => match &**of {
                Item::File(name) => self.file(name, *from, *to, canvas, at),
                of => {
                    let picture = self.alone(of, scope)?;
                    let to = to.unwrap_or(picture.size);
                    if *from > to || to > picture.size {
                        return Err(Error::new(format!(
                            "[{from}:{to}] isn't inside the expression, which has {} bytes",
                            picture.size
                        )));
                    }
                    put(canvas, at, to - from, &picture, *from)
                }
            },
            Item::Repeat(of, count) => self.repeat(of, *count, scope, canvas, at),
            Item::Name(name) => {
                let picture = self.named(name, scope)?;
                put(canvas, at, picture.size, &picture, 0)
            }
            item => {
                let picture = self.alone(item, scope)?;
                put(canvas, at, picture.size, &picture, 0)
            }
        }
    }

    fn repeat(
        &mut self,
        of: &Item,
        count: u64,
        scope: Scope,
        canvas: &mut Canvas,
        at: u64,
    ) -> Result<u64, Error> {
        if let Item::Bytes(bytes) = of
            && let [byte] = bytes[..]
            && byte != 0
        {
            let end = within(at.checked_add(count))?;
            canvas.put(at, count, Content::Fill(byte));
            return Ok(end);
        }
        let picture = self.alone(of, scope)?;
        let length = within(picture.size.checked_mul(count))?;
        let picture = self.unrolled(picture, length);
        put(canvas, at, length, &picture, 0)
    }

    /// Stores a small pattern several times, so that reads take fewer steps.
    fn unrolled(&mut self, picture: Rc<Picture>, length: u64) -> Rc<Picture> {
        let size = picture.size;
        if size == 0 || size >= PERIOD || length <= size {
            return picture;
        }
        let Some(bytes) = flat_bytes(&picture) else {
            return picture;
        };
        // Rounded down to whole patterns, and to the required length.
        let times = PERIOD.div_ceil(size).min(length / size);
        if !self.may_keep(times * size) {
            return picture;
        }
        Rc::new(Picture::of_bytes(&bytes.repeat(times as usize)))
    }

    /// Evaluates one item as a group.
    fn alone(&mut self, item: &Item, scope: Scope) -> Result<Rc<Picture>, Error> {
        match item {
            Item::Group(items) => self.group(items, scope),
            item => self.group(std::slice::from_ref(item), scope),
        }
    }

    fn named(&mut self, name: &str, scope: Scope) -> Result<Rc<Picture>, Error> {
        let mut here = scope;
        while let Some(index) = here {
            self.step()?;
            let found = &self.names[index];
            if found.name == name {
                if let Some(picture) = &found.picture {
                    return Ok(Rc::clone(picture));
                }
                let (item, outer) = (Rc::clone(&found.item), found.outer);
                let picture = self.alone(&item, outer)?;
                self.names[index].picture = Some(Rc::clone(&picture));
                return Ok(picture);
            }
            here = found.outer;
        }
        Err(Error::new(format!("\\{name} isn't defined here")))
    }

    /// Puts a file, or the part of it that exists.
    fn file(
        &mut self,
        name: &str,
        from: u64,
        to: Option<u64>,
        canvas: &mut Canvas,
        at: u64,
    ) -> Result<u64, Error> {
        let file = self
            .files
            .open(name)
            .map_err(|why| Error::new(format!("<{name}: {why}")))?;
        let to = to.unwrap_or(file.size).min(file.size);
        let length = to.saturating_sub(from);
        let end = within(at.checked_add(length))?;
        let content = Content::File {
            index: file.index,
            offset: from,
            readable: file.readable,
        };
        canvas.put(at, length, content);
        Ok(end)
    }

    /// Evaluates a group to a picture. A small one is stored as bytes.
    fn finish(&mut self, canvas: Canvas, size: u64) -> Result<Rc<Picture>, Error> {
        let picture = canvas.into_picture(size);
        if picture.depth > DEPTH {
            return Err(Error::new(format!(
                "expressions are nested more than {DEPTH} deep"
            )));
        }
        let simple = match &picture.runs[..] {
            [] => true,
            [run] => matches!(run.content, Content::Bytes { .. } | Content::Fill(_)),
            _ => false,
        };
        if simple || size > FLAT || !self.may_keep(size) {
            return Ok(Rc::new(picture));
        }
        match self.flattened(&picture)? {
            Some(bytes) => Ok(Rc::new(Picture::of_bytes(&bytes))),
            None => Ok(Rc::new(picture)),
        }
    }

    /// All bytes of a small picture; `None` if the plugin may not read some of them.
    fn flattened(&mut self, picture: &Picture) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = vec![0; picture.size as usize];
        let mut at = 0;
        while at < bytes.len() {
            self.step()?;
            let (leaf, length) = picture.leaf(at as u64);
            // Not larger than `bytes`, so it fits.
            let end = (at as u64).saturating_add(length).min(bytes.len() as u64) as usize;
            let part = &mut bytes[at..end];
            match leaf {
                Leaf::Zero => {}
                Leaf::Bytes(from) => part.copy_from_slice(&from[..part.len()]),
                Leaf::Fill(byte) => part.fill(byte),
                Leaf::File {
                    readable: false, ..
                } => return Ok(None),
                Leaf::File { index, offset, .. } => {
                    self.files.read(index, offset, part).map_err(Error::new)?;
                }
            }
            at = end;
        }
        Ok(Some(bytes))
    }

    fn may_keep(&mut self, bytes: u64) -> bool {
        let left = self.flat.checked_sub(bytes);
        self.flat = left.unwrap_or(self.flat);
        left.is_some()
    }

    fn step(&mut self) -> Result<(), Error> {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| {
            Error::new(format!(
                "the text takes more than {STEPS} steps to evaluate"
            ))
        })?;
        Ok(())
    }
}

/// Puts a part of a picture, or the picture repeatedly. Returns the end.
fn put(
    canvas: &mut Canvas,
    at: u64,
    length: u64,
    picture: &Rc<Picture>,
    skip: u64,
) -> Result<u64, Error> {
    let end = within(at.checked_add(length))?;
    canvas.clear(at, length);
    match &picture.runs[..] {
        [] => {}
        // A single run needs no picture around it.
        [run] if run.start == 0 && run.length == picture.size && length + skip <= picture.size => {
            canvas.put(at, length, run.content.after(skip));
        }
        _ => canvas.put(
            at,
            length,
            Content::Picture {
                picture: Rc::clone(picture),
                skip,
            },
        ),
    }
    Ok(end)
}

/// The bytes of a picture that consists of bytes only.
fn flat_bytes(picture: &Picture) -> Option<Vec<u8>> {
    if picture.size > FLAT {
        return None;
    }
    let mut bytes = vec![0; picture.size as usize];
    for run in &picture.runs {
        let Content::Bytes { bytes: from, skip } = &run.content else {
            return None;
        };
        let (start, length) = (run.start as usize, run.length as usize);
        bytes[start..start + length].copy_from_slice(&from[*skip..skip + length]);
    }
    Some(bytes)
}

fn within(offset: Option<u64>) -> Result<u64, Error> {
    offset
        .filter(|offset| *offset <= SIZE)
        .ok_or_else(|| Error::new("the disk would be larger than 2^63 - 1 bytes"))
}
