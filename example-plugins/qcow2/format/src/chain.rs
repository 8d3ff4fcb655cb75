//! An image and those below it.

use crate::cluster::{Compressed, Place};
use crate::pages::Source;
use crate::{Image, Result};

/// One file of the chain.
#[derive(Debug)]
pub enum Layer<S> {
    /// A qcow2 image.
    Image(Box<Image<S>>),
    /// A plain disk of so many bytes.
    Raw(u64),
}

/// Where a range of the chain's disk is. `layer` counts from the top image, 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// Nowhere: it reads as zeroes.
    Zero,
    /// At `offset` of the file that holds the layer's data.
    Data {
        /// Whose data.
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
    /// Past the end of the file that holds a layer's data: QEMU reads zeroes there.
    Lacking,
    /// In a compressed cluster.
    Compressed {
        /// Whose cluster.
        layer: usize,
        /// Where.
        at: Compressed,
    },
}

/// The layers, the top image first. As many as there are files: there is no way to a loop.
#[derive(Debug)]
pub struct Chain<S> {
    layers: Vec<Layer<S>>,
}

impl<S: Source> Chain<S> {
    /// A chain of one image at least.
    pub fn new(top: Image<S>, below: Vec<Layer<S>>) -> Self {
        let mut layers = vec![Layer::Image(Box::new(top))];
        layers.extend(below);
        Self { layers }
    }

    /// The disk's size in bytes.
    pub fn size(&self) -> u64 {
        self.layers.first().map_or(0, Layer::size)
    }

    /// The least that has a place of its own, in bytes.
    pub fn grain(&self) -> u64 {
        let images = self.layers.iter().filter_map(Layer::image);
        images.map(Image::grain).min().unwrap_or(512)
    }

    /// The top image's cluster size, in bytes.
    pub fn cluster(&self) -> u64 {
        let top = self.layers.first().and_then(Layer::image);
        top.map_or(1, |image| 1 << image.header().cluster_bits)
    }

    /// How much of the disk an L2 table of the top image describes, in bytes.
    pub fn l2_reach(&self) -> u64 {
        let top = self.layers.first().and_then(Layer::image);
        top.map_or(1, Image::l2_reach)
    }

    /// Where the byte at `offset` is, and how many bytes from there on carry on in the same way: at
    /// least 1, at most `length`. `offset` is on the disk and `length` isn't 0.
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

    /// Whether tables or compressed clusters were read of which a file lacks bytes: they were taken for zeroes.
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
