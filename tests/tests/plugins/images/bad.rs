//! The only results of a bad image: a refusal with a text, or an errno and a log line.

use std::fs;

use nbd_proto::{Errno, Framing};
use nbdbox_tests::{Client, Random, Run, Server, nbdbox, plugin, run};

use super::folder::Folder;

/// An image called `top`, and its plugin.
pub(crate) struct Image {
    pub(crate) plugin: &'static str,
    /// The size of its disk in bytes.
    pub(crate) size: u64,
}

/// Runs `nbdbox serve` with images that it may refuse. `grants` are NAME=FILE:ACCESS.
pub(crate) fn serve(folder: &Folder, name: &str, grants: &[&str], settings: &[&str]) -> Run {
    let mut words = vec!["serve".to_owned()];
    for grant in grants {
        let (blob, file) = grant.split_once('=').unwrap();
        let grant = format!("{blob}={}", folder.path(file).display());
        words.extend(["--blob".to_owned(), grant]);
    }
    words.push(plugin(name).display().to_string());
    words.extend(settings.iter().map(|&setting| setting.to_owned()));
    words.extend(["--run".to_owned(), "nbdinfo \"$uri\"".to_owned()]);
    run(nbdbox(), words)
}

/// The text with which the server refuses an image.
pub(crate) fn refusal(
    folder: &Folder,
    image: &Image,
    grants: &[&str],
    settings: &[&str],
) -> String {
    let grants = [&["image=top:ro"], grants].concat();
    let ran = serve(folder, image.plugin, &grants, settings);
    assert_ne!(ran.code, 0, "{}", ran.stderr);
    ran.stderr
}

/// Asserts that the server refuses a good image with these bytes at an offset, with this text. Each case has a folder
/// of its own.
pub(crate) fn assert_patches_refused(
    image: &Image,
    good: impl Fn(&Folder),
    cases: &[(u64, &[u8], &str)],
) {
    for &(offset, bytes, words) in cases {
        let folder = Folder::new();
        good(&folder);
        folder.patch("top", offset, bytes);
        let said = refusal(&folder, image, &[], &[]);
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// Asserts that the server refuses a good image that is cut to each of these lengths.
pub(crate) fn assert_cuts_refused(image: &Image, good: impl Fn(&Folder), lengths: &[u64]) {
    for &length in lengths {
        let folder = Folder::new();
        good(&folder);
        folder.cut("top", length);
        let said = refusal(&folder, image, &[], &[]);
        assert!(
            said.contains("malformed") || said.contains("EIO"),
            "{length}: {said}"
        );
    }
}

/// Asserts that the image opens, that a read of the bad part fails with EIO and a text, and that the good part can
/// still be read.
pub(crate) fn assert_bad_read(folder: &Folder, image: &Image, words: &str) {
    let server = folder.serve(image.plugin, &["image=top:ro"], &[]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    let read = client.read(0, 4096).map(|bytes| bytes.len());
    let refused = read.unwrap_err();
    assert_eq!(refused.errno, Errno::Eio, "{words}");
    assert!(server.log().contains(words), "{words}: {}", server.log());
    let last = client.read(image.size / 2, 4096).map(|bytes| bytes.len());
    assert!(matches!(last, Ok(4096) | Err(_)));
}

/// The number of warnings that an image is cut short.
pub(crate) fn warnings_of_cuts(server: &Server) -> usize {
    let log = server.log();
    let warns = |line: &&str| line.contains(" WARN ") && line.contains("the image is cut short");
    log.lines().filter(warns).count()
}

/// Asserts that the image opens, that the part past the end of its file reads as zeroes, and that the log has a
/// warning.
pub(crate) fn assert_zeroes_read(folder: &Folder, image: &Image) {
    let server = folder.serve(image.plugin, &["image=top:ro"], &[]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    assert!(client.read(0, 4096).unwrap() == [0; 4096]);
    assert_eq!(warnings_of_cuts(&server), 1, "{}", server.log());
}

/// Writes random bytes into the 32 bytes at each of these places, which the plugin reads only for a request. Whatever
/// they do, the server goes on.
pub(crate) fn damage(folder: &Folder, image: &Image, places: &[u64]) {
    let mut random = Random::seeded(21);
    let bytes = fs::read(folder.path("top")).unwrap();
    for round in 0..20 {
        fs::write(folder.path("top"), &bytes).unwrap();
        for _ in 0..4 {
            let value = [u8::try_from(random.of(0..256)).unwrap()];
            let place = places[round % places.len()] + random.of(0..32);
            folder.patch("top", place, &value);
        }
        let mut server = folder.serve(image.plugin, &["image=top:ro"], &[]);
        let mut client = Client::connect(&server.socket(), Framing::Extended);
        for at in (0..image.size).step_by(1 << 16) {
            let _ = client.read(at, 1 << 16);
        }
        let _ = client.map(0, image.size, image.size);
        assert!(server.is_alive());
    }
}
