//! The granted files: the blob of each layer, by the operator's name. A name inside an image only shows that the image
//! needs a file.

use std::collections::VecDeque;
use std::rc::Rc;

use image_blob::{File, bad};
use nbdbox_plugin::{Access, Blob, Error, Level, Result, config, log};
use qcow2_format::{Chain, Header, Image, Layer, Source as _, pages};

/// The longest chain. The host limits handles, and each layer needs at most two.
const MAX_LAYERS: usize = 64;

/// The blobs with the layers' data, the top image's first.
pub(crate) struct Files(Vec<Rc<Blob>>);

impl Files {
    /// The blob that holds a layer's data.
    pub(crate) fn data(&self, layer: usize) -> Result<&Blob> {
        let blob = self.0.get(layer).map(AsRef::as_ref);
        blob.ok_or_else(|| Error::io("the image has no layer of this number"))
    }

    /// Whether one of them is granted `rw`, so that its contents may change.
    pub(crate) fn may_change(&self) -> bool {
        self.0.iter().any(|blob| blob.access() == Access::ReadWrite)
    }
}

/// Opens the image and its backing files, according to the operator's settings.
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
            "data=: no image needs the data file {name:?}; remove it"
        )));
    }
    match above.and_then(|header| header.backing) {
        Some(name) => Err(Error::invalid(format!(
            "the image has the backing file {name:?}: grant that file, and list its blob in backing="
        ))),
        None => Ok((Chain::new(top, layers), files)),
    }
}

/// Checks the list. A file that backs itself would have to be named twice.
fn check_names(names: &[String]) -> Result<()> {
    if names.len() >= MAX_LAYERS {
        return Err(Error::invalid(format!(
            "backing=: too many files, {MAX_LAYERS} or more"
        )));
    }
    for (index, name) in names.iter().enumerate() {
        if name == "image" || names[..index].contains(name) {
            return Err(Error::invalid(format!(
                "backing=: {name:?} would back itself"
            )));
        }
    }
    Ok(())
}

/// Opens the image itself, and the blob that holds its data.
fn top(memory: usize, data: &mut VecDeque<String>) -> Result<(Image<File>, Rc<Blob>)> {
    let image = File::open("image")?;
    let granted = Rc::clone(&image.blob);
    let tables = match config::text("metadata") {
        // The offsets refer to the image, so the copy counts as equally long.
        Some(name) => File::open(&name)?.as_long_as(&image),
        None if granted.access() == Access::MapOnly => {
            return Err(Error::invalid(
                "the blob image is map-only: name a readable copy of its tables in metadata=",
            ));
        }
        None => image,
    };
    let snapshot = config::text("snapshot");
    let image = Image::open(tables, snapshot.as_deref(), memory).map_err(bad)?;
    with_data(image, granted, data)
}

/// Finds the blob that holds the data of an image: the image's own, or the next blob of `data=`.
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
            "its data is in another file: grant that file, and list its blob in data=",
        ));
    };
    let file = File::open(&name)?;
    note("data", &name, image.header().data_name.as_deref());
    Ok((image.with_data_file(file.size()), file.blob))
}

/// The words of a setting that is a list.
fn list(key: &str) -> VecDeque<String> {
    let words = config::text(key).unwrap_or_default();
    let words = words.split(',').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// Opens a backing file, in the format that the image above it names.
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
            "backing=: no image needs the backing file {name:?}; remove it"
        )));
    };
    note("backing", name, Some(&inside));
    let file = File::open(name)?;
    let blob = Rc::clone(&file.blob);
    // Never guess the format from the contents: the user of a raw disk controls them.
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
            "a backing file has the format {other:?}; only raw and qcow2 are supported"
        ))),
        None => Err(Error::invalid(
            "the image doesn't name the format of its backing file: set backing-format=",
        )),
    }
}

/// Logs the names, for the operator to compare.
fn note(what: &str, blob: &str, inside: Option<&str>) {
    let inside = inside.unwrap_or_default();
    log(
        Level::Info,
        &format!("{what} file {inside:?} of the image: serving the blob {blob:?}"),
    );
}
