//! Files that a text names with `<NAME`.

/// One that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// How [`Leaf::File`](crate::Leaf::File) and [`Files::read`] name it.
    pub index: usize,
    /// In bytes.
    pub size: u64,
    /// Whether its bytes may be read, or only be pointed at.
    pub readable: bool,
}

/// Where files come from.
pub trait Files {
    /// Finds a file by the name that the text gives it. The same name is the same file.
    ///
    /// # Errors
    /// Words for the person who wrote the text.
    fn open(&mut self, name: &str) -> Result<File, String>;

    /// Fills `into` with the bytes from `offset` of a file that is readable. The range is inside the file.
    ///
    /// # Errors
    /// Words for the person who wrote the text.
    fn read(&mut self, file: usize, offset: u64, into: &mut [u8]) -> Result<(), String>;
}
