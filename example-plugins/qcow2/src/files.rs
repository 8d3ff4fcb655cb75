//! The granted files: each layer's blob by the name that the operator gave it. Names inside images are
//! only looked at to see whether there should be a file.

use std::collections::VecDeque;
use std::rc::Rc;

use image_blob::{File, bad};
use nbdbox_plugin::{Access, Blob, Error, Level, Result, config, log};
use qcow2_format::{Chain, Header, Image, Layer, Source as _, pages};

/// The longest chain. Handles are counted, and each layer needs two at most.
const MAX_LAYERS: usize = 64;

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
    let (mut names, mut data) = (list("backing"), list("data"));
    check_names(names.make_contiguous())?;
    let memory = pages::LIMIT / (names.len() + 1);
    let (top, blob) = top(memory, &mut data)?;
    let mut files = Files(vec![blob]);
    let mut layers = Vec::new();
    let mut above = Some(top.header().clone());
    for name in &names {
        let (layer, blob) = below(above.take(), name, memory, &mut data)?;
        above = match &layer {
            Layer::Image(image) => Some(image.header().clone()),
            Layer::Raw(_) => None,
        };
        files.0.push(blob);
        layers.push(layer);
    }
    if let Some(name) = data.front() {
        return Err(Error::invalid(format!(
            "data=: no image has its data in {name:?}"
        )));
    }
    match above.and_then(|header| header.backing) {
        Some(name) => Err(Error::invalid(format!(
            "the image stands on {name:?}: grant that file and name its blob in backing="
        ))),
        None => Ok((Chain::new(top, layers), files)),
    }
}

/// A file that stands on itself would have to be named twice.
fn check_names(names: &[String]) -> Result<()> {
    if names.len() >= MAX_LAYERS {
        return Err(Error::invalid(format!(
            "backing=: {MAX_LAYERS} files or more"
        )));
    }
    for (index, name) in names.iter().enumerate() {
        if name == "image" || names[..index].contains(name) {
            return Err(Error::invalid(format!(
                "backing=: {name:?} stands on itself"
            )));
        }
    }
    Ok(())
}

/// The image itself, and the blob that holds its data.
fn top(memory: usize, data: &mut VecDeque<String>) -> Result<(Image<File>, Rc<Blob>)> {
    let image = File::open("image")?;
    let granted = Rc::clone(&image.blob);
    let tables = match config::text("metadata") {
        // Where things are is said of the image: it must be as long.
        Some(name) => File::open(&name)?.as_long_as(&image),
        None if granted.access() == Access::MapOnly => {
            return Err(Error::invalid(
                "image is map-only: name a readable copy of its tables in metadata=",
            ));
        }
        None => image,
    };
    let snapshot = config::text("snapshot");
    let image = Image::open(tables, snapshot.as_deref(), memory).map_err(bad)?;
    with_data(image, granted, data)
}

/// The image with the blob that holds its data: its own, or the next of those in `data=`.
fn with_data(
    image: Image<File>,
    own: Rc<Blob>,
    data: &mut VecDeque<String>,
) -> Result<(Image<File>, Rc<Blob>)> {
    if !image.header().external_data {
        return Ok((image, own));
    }
    let Some(name) = data.pop_front() else {
        return Err(Error::invalid(
            "its data is in another file: grant that, and name its blob in data=",
        ));
    };
    let file = File::open(&name)?;
    note("data", &name, image.header().data_name.as_deref());
    Ok((image.with_data_file(file.size()), file.blob))
}

/// The words of a list in the settings.
fn list(key: &str) -> VecDeque<String> {
    let words = config::text(key).unwrap_or_default();
    let words = words.split(',').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// A backing file, in the format that the image above says.
fn below(
    above: Option<Header>,
    name: &str,
    memory: usize,
    data: &mut VecDeque<String>,
) -> Result<(Layer<File>, Rc<Blob>)> {
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
        Some("raw") => Ok((Layer::Raw(file.size()), blob)),
        Some("qcow2") => {
            let image = Image::open(file, None, memory).map_err(bad)?;
            let (image, blob) = with_data(image, blob, data)?;
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
