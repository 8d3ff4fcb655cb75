//! An image and its backing files.

use crate::cluster::{Compressed, Place};
use crate::pages::Source;
use crate::{Image, Result};

/// One file of the chain.
#[derive(Debug)]
pub enum Layer<S> {
    /// A qcow2 image.
    Image(Box<Image<S>>),
    /// A plain disk of this many bytes.
    Raw(u64),
}

/// The place of a range of the disk. `layer` counts from 0, the top image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// Not stored: it reads as zeroes.
    Zero,
    /// At `offset` of the file that holds the layer's data.
    Data {
        /// The layer of the data.
        layer: usize,
        /// In bytes.
        offset: u64,
    },
    /// At `offset` of a plain file, which may have holes there.
    Raw {
        /// Which file.
        layer: usize,
        /// In bytes.
        offset: u64,
    },
    /// Past the end of the file that holds a layer's data: QEMU returns zeroes there.
    Lacking,
    /// In a compressed cluster.
    Compressed {
        /// The layer of the cluster.
        layer: usize,
        /// The place of the cluster.
        at: Compressed,
    },
}

/// The layers, the top image first. Each is a file of its own, so there can be no loop.
#[derive(Debug)]
pub struct Chain<S> {
    layers: Vec<Layer<S>>,
}

impl<S: Source> Chain<S> {
    /// A chain of at least one image.
    pub fn new(top: Image<S>, below: Vec<Layer<S>>) -> Self {
        let mut layers = vec![Layer::Image(Box::new(top))];
        layers.extend(below);
        Self { layers }
    }

    /// The size of the disk, in bytes.
    pub fn size(&self) -> u64 {
        self.layers.first().map_or(0, Layer::size)
    }

    /// The unit of the tables, in bytes.
    pub fn grain(&self) -> u64 {
        let images = self.layers.iter().filter_map(Layer::image);
        images.map(Image::grain).min().unwrap_or(512)
    }

    /// The cluster size of the top image, in bytes.
    pub fn cluster(&self) -> u64 {
        let top = self.layers.first().and_then(Layer::image);
        top.map_or(1, |image| 1 << image.header().cluster_bits)
    }

    /// The bytes of the disk that an L2 table of the top image describes.
    pub fn l2_reach(&self) -> u64 {
        let top = self.layers.first().and_then(Layer::image);
        top.map_or(1, Image::l2_reach)
    }

    /// The place of the byte at `offset`, and the number of bytes that continue there: at least 1, at most `length`.
    /// `offset` is on the disk and `length` isn't 0.
    pub fn stretch(&mut self, offset: u64, mut length: u64) -> Result<(Stretch, u64)> {
        for (layer, below) in self.layers.iter_mut().enumerate() {
            if offset >= below.size() {
                break;
            }
            length = length.min(below.size() - offset);
            let Layer::Image(image) = below else {
                return Ok((Stretch::Raw { layer, offset }, length));
            };
            let (place, run) = image.place(offset, length)?;
            length = run;
            let stretch = match place {
                Place::Below => continue,
                Place::Zero => Stretch::Zero,
                Place::Data(offset) => Stretch::Data { layer, offset },
                Place::Lacking => Stretch::Lacking,
                Place::Compressed(at) => Stretch::Compressed { layer, at },
            };
            return Ok((stretch, length));
        }
        Ok((Stretch::Zero, length))
    }

    /// Whether a read touched bytes of tables or compressed clusters past the end of a file. They count as zeroes.
    pub fn lacks(&self) -> bool {
        let mut images = self.layers.iter().filter_map(Layer::image);
        images.any(Image::lacks)
    }

    /// The bytes of a compressed cluster from `at` to its end.
    pub fn decode(&mut self, layer: usize, at: Compressed) -> Result<&[u8]> {
        match self.layers.get_mut(layer) {
            Some(Layer::Image(image)) => image.decode(at),
            _ => Ok(&[]),
        }
    }
}

impl<S: Source> Layer<S> {
    fn size(&self) -> u64 {
        match self {
            Self::Image(image) => image.size(),
            Self::Raw(size) => *size,
        }
    }

    fn image(&self) -> Option<&Image<S>> {
        match self {
            Self::Image(image) => Some(image),
            Self::Raw(_) => None,
        }
    }
}
