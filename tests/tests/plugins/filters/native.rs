//! The host's built-in filters, next to nbdkit's of the same names.

mod block_sizes;
mod delay;
mod errors;
mod exit;
mod features;
mod log;
mod stack;

use nbdbox_tests::{Disk, Peer, Random, Server, plugin};

use super::compare::{content, options};

/// The bytes of the disk below.
const SIZE: usize = (1 << 20) + 12_288;

/// A file that both servers serve with filters over it, each from a copy of its own.
struct Pair {
    ours: Server,
    theirs: Peer,
    our_disk: Disk,
    their_disk: Disk,
}

impl Pair {
    /// Starts nbdbox with these values of `--filter`, and nbdkit with its filters and settings. `FOLDER` in a setting
    /// is a folder of the server's own.
    fn new(filters: &[&str], theirs: &[&str], settings: &[&str]) -> Self {
        let bytes = content(&mut Random::seeded(1), SIZE);
        let [our_disk, their_disk] = [Disk::holding(&bytes), Disk::holding(&bytes)];
        let here = |disk: &Disk, word: &str| {
            let folder = disk.path().parent().unwrap().display().to_string();
            word.replace("FOLDER", &folder)
        };
        let grant = format!("disk={}:rw", our_disk.path().display());
        let mut words = vec!["--blob".to_owned(), grant];
        words.extend(options(filters).iter().map(|word| here(&our_disk, word)));
        words.push(plugin("file").display().to_string());
        let ours = Server::start(words);
        let filters = theirs.iter().map(|name| format!("--filter={name}"));
        let mut words: Vec<String> = filters.collect();
        words.extend(["file".to_owned(), their_disk.path().display().to_string()]);
        words.extend(settings.iter().map(|word| here(&their_disk, word)));
        let theirs = Peer::nbdkit(words);
        Self {
            ours,
            theirs,
            our_disk,
            their_disk,
        }
    }

    /// The path of `name` in the folder of each server.
    fn in_folders(&self, name: &str) -> [std::path::PathBuf; 2] {
        [&self.our_disk, &self.their_disk].map(|disk| disk.path().with_file_name(name))
    }
}
