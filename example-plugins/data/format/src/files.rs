//! The files that a text names with `<NAME`.

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its number in [`Leaf::File`](crate::Leaf::File) and [`Files::read`].
    pub index: usize,
    /// Its size in bytes.
    pub size: u64,
    /// Whether the plugin may read its bytes, or only refer to them.
    pub readable: bool,
}

/// A source of files.
pub trait Files {
    /// Finds the file of a name. The same name returns the same file.
    ///
    /// # Errors
    /// A message for the author of the text.
    fn open(&mut self, name: &str) -> Result<File, String>;

    /// Fills `into` with the bytes from `offset` of a readable file. The range is inside the file.
    ///
    /// # Errors
    /// A message for the author of the text.
    fn read(&mut self, file: usize, offset: u64, into: &mut [u8]) -> Result<(), String>;
}
