//! What every bad image meets: words, or an errno and a log line, and nothing else.

use std::fs;

use nbd_proto::{Errno, Framing};
use nbdbox_tests::{Client, Random, Run, Server, nbdbox, plugin, run};

use super::folder::Folder;

/// An image called `top`, for this plugin.
pub(crate) struct Image {
    pub(crate) plugin: &'static str,
    /// Of its disk, in bytes.
    pub(crate) size: u64,
}

/// What `nbdbox serve` did with images that may not be servable: `grants` are NAME=FILE:ACCESS.
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

/// What it says of an image that it refuses.
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

/// A good image with these bytes at an offset is refused, with these words; each in a folder of its own.
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

/// A good image that ends after so many bytes is refused.
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

/// The image opens; reading what is bad is EIO, with words, and what is good can still be read.
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

/// How often the operator was warned that an image is cut short.
pub(crate) fn warnings_of_cuts(server: &Server) -> usize {
    let log = server.log();
    let warns = |line: &&str| line.contains(" WARN ") && line.contains("the image is cut short");
    log.lines().filter(warns).count()
}

/// The image opens; what it says is past the end of its file reads as zeroes, and the operator is told.
pub(crate) fn assert_zeroes_read(folder: &Folder, image: &Image) {
    let server = folder.serve(image.plugin, &["image=top:ro"], &[]);
    let mut client = Client::connect(&server.socket(), Framing::Extended);
    assert!(client.read(0, 4096).unwrap() == [0; 4096]);
    assert_eq!(warnings_of_cuts(&server), 1, "{}", server.log());
}

/// Random bytes in the 32 that begin at each of these places, which aren't looked at before a read:
/// whatever they do, the server goes on.
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
