//! The granted files: each layer's blob by the name that the operator gave it. Names inside images are
//! only looked at to see whether there should be a file.

use std::rc::Rc;

use nbdbox_plugin::{Access, Blob, Error, Level, Result, config, log};
use qcow2_format::{Chain, Header, Image, Layer, Source, pages};

use crate::bad;

/// The longest chain. Handles are counted, and each layer needs two at most.
const MAX_LAYERS: usize = 64;

/// The most that a blob gives at once, in bytes.
const PIECE: usize = 1 << 20;

/// A blob, with its size when it was opened.
pub(crate) struct File {
    blob: Rc<Blob>,
    size: u64,
}

impl Source for File {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> qcow2_format::Result<Vec<u8>> {
        let piece = |at: usize| {
            let count = PIECE.min(length - at) as u32;
            let unreadable = |errno| qcow2_format::Error::Unreadable(format!("{errno:?}"));
            self.blob
                .read(offset + at as u64, count)
                .map_err(unreadable)
        };
        let mut bytes = piece(0)?;
        while bytes.len() < length {
            bytes.extend(piece(bytes.len())?);
        }
        Ok(bytes)
    }
}

impl File {
    fn open(name: &str) -> Result<Self> {
        let missing = |errno| Error::new(errno, format!("no blob {name:?} was granted"));
        let blob = Blob::open(name).map_err(missing)?;
        let size = blob.size()?;
        Ok(Self {
            blob: Rc::new(blob),
            size,
        })
    }
}

/// Where the layers' data is, the top image's first.
pub(crate) struct Files(Vec<Rc<Blob>>);

impl Files {
    /// The blob that holds a layer's data.
    pub(crate) fn data(&self, layer: usize) -> Result<&Blob> {
        let blob = self.0.get(layer).map(AsRef::as_ref);
        blob.ok_or_else(|| Error::io("no such layer"))
    }

    /// Whether one of them was granted for writing, so that somebody may.
    pub(crate) fn may_change(&self) -> bool {
        self.0.iter().any(|blob| blob.access() == Access::ReadWrite)
    }
}

/// Opens the image and what it stands on, by the operator's settings.
pub(crate) fn open() -> Result<(Chain<File>, Files)> {
    let backing = config::text("backing").unwrap_or_default();
    let names: Vec<&str> = backing.split(',').filter(|name| !name.is_empty()).collect();
    check_names(&names)?;
    let memory = pages::LIMIT / (names.len() + 1);
    let (top, data) = top(memory)?;
    let mut files = Files(vec![data]);
    let mut layers = Vec::new();
    let mut above = Some(top.header().clone());
    for name in names {
        let (layer, blob) = below(above.take(), name, memory)?;
        above = match &layer {
            Layer::Image(image) => Some(image.header().clone()),
            Layer::Raw(_) => None,
        };
        files.0.push(blob);
        layers.push(layer);
    }
    match above.and_then(|header| header.backing) {
        Some(name) => Err(Error::invalid(format!(
            "the image stands on {name:?}: grant that file and name its blob in backing="
        ))),
        None => Ok((Chain::new(top, layers), files)),
    }
}

/// A file that stands on itself would have to be named twice.
fn check_names(names: &[&str]) -> Result<()> {
    if names.len() >= MAX_LAYERS {
        return Err(Error::invalid(format!(
            "backing=: {MAX_LAYERS} files or more"
        )));
    }
    for (index, name) in names.iter().enumerate() {
        if *name == "image" || names[..index].contains(name) {
            return Err(Error::invalid(format!(
                "backing=: {name:?} stands on itself"
            )));
        }
    }
    Ok(())
}

/// The image itself, and the blob that holds its data.
fn top(memory: usize) -> Result<(Image<File>, Rc<Blob>)> {
    let image = File::open("image")?;
    let granted = Rc::clone(&image.blob);
    let tables = match config::text("metadata") {
        // Where things are is said of the image: it must be as long.
        Some(name) => File {
            size: image.size,
            ..File::open(&name)?
        },
        None if granted.access() == Access::MapOnly => {
            return Err(Error::invalid(
                "image is map-only: name a readable copy of its tables in metadata=",
            ));
        }
        None => image,
    };
    let snapshot = config::text("snapshot");
    let image = Image::open(tables, snapshot.as_deref(), memory).map_err(bad)?;
    match (image.header().external_data, config::text("data")) {
        (false, None) => Ok((image, granted)),
        (true, Some(name)) => {
            let data = File::open(&name)?;
            note("data", &name, image.header().data_name.as_deref());
            Ok((image.with_data_file(data.size), data.blob))
        }
        (true, None) => Err(Error::invalid(
            "its data is in another file: grant that, and name its blob in data=",
        )),
        (false, Some(_)) => Err(Error::invalid("data=: the image has no external data file")),
    }
}

/// A backing file, in the format that the image above says.
fn below(above: Option<Header>, name: &str, memory: usize) -> Result<(Layer<File>, Rc<Blob>)> {
    let Some(Header {
        backing: Some(inside),
        backing_format,
        ..
    }) = above
    else {
        return Err(Error::invalid(format!(
            "backing=: nothing stands on {name:?}"
        )));
    };
    note("backing", name, Some(&inside));
    let file = File::open(name)?;
    let blob = Rc::clone(&file.blob);
    // Never guessed from the contents: a raw disk's are its user's.
    match backing_format
        .or_else(|| config::text("backing-format"))
        .as_deref()
    {
        Some("raw") => Ok((Layer::Raw(file.size), blob)),
        Some("qcow2") => {
            let image = Image::open(file, None, memory).map_err(bad)?;
            if image.header().external_data {
                return Err(Error::invalid(format!(
                    "{name:?}: a backing file with an external data file"
                )));
            }
            Ok((Layer::Image(Box::new(image)), blob))
        }
        Some(other) => Err(Error::invalid(format!(
            "a backing file of format {other:?}: only raw and qcow2"
        ))),
        None => Err(Error::invalid(
            "the image doesn't say the format of its backing file: backing-format=",
        )),
    }
}

/// For the operator to compare.
fn note(what: &str, blob: &str, inside: Option<&str>) {
    let inside = inside.unwrap_or_default();
    log(
        Level::Info,
        &format!("{what} file: the image says {inside:?}, served is the blob {blob:?}"),
    );
}
