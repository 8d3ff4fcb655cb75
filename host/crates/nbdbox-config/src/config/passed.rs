//! A configuration as bytes, for another process of the same program.
//!
//! The process that has read the operator's files passes on what it understood, and only the part that the other process
//! needs.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

use super::Config;

impl Config {
    /// The configuration as bytes that [`decode`](Self::decode) of the same program reads.
    ///
    /// # Errors
    /// It can't be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_stdvec(self)
    }

    /// The configuration that [`encode`](Self::encode) of the same program wrote.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}

/// One path or several, as lists of bytes: a path may have any bytes, and serde's own form is text.
pub(crate) trait Paths: Sized {
    fn bytes(&self) -> Vec<&[u8]>;
    fn of(bytes: Vec<Vec<u8>>) -> Option<Self>;
}

pub(crate) fn serialize<P: Paths, S: Serializer>(
    paths: &P,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    paths.bytes().serialize(serializer)
}

pub(crate) fn deserialize<'de, P: Paths, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<P, D::Error> {
    let bytes = Vec::<Vec<u8>>::deserialize(deserializer)?;
    P::of(bytes).ok_or_else(|| serde::de::Error::custom("a path is missing"))
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

impl Paths for PathBuf {
    fn bytes(&self) -> Vec<&[u8]> {
        vec![bytes(self)]
    }

    fn of(mut all: Vec<Vec<u8>>) -> Option<Self> {
        all.pop().map(path)
    }
}

impl Paths for Option<PathBuf> {
    fn bytes(&self) -> Vec<&[u8]> {
        self.iter().map(|path| bytes(path)).collect()
    }

    fn of(mut all: Vec<Vec<u8>>) -> Option<Self> {
        Some(all.pop().map(path))
    }
}

impl Paths for Vec<PathBuf> {
    fn bytes(&self) -> Vec<&[u8]> {
        self.iter().map(|path| bytes(path)).collect()
    }

    fn of(all: Vec<Vec<u8>>) -> Option<Self> {
        Some(all.into_iter().map(path).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::config::{Source, parse};

    const TEXT: &str = r#"
        log-format = "json"
        sandbox = "require"
        memory = "1GiB"
        [plugins]
        path = ["/a", "b"]
        [cache]
        path = "c"
        [admin]
        tcp = "127.0.0.1:9809"
        [[listener]]
        tcp = "[::]:10809"
        tls = "require"
        certificate = "cert.pem"
        key = "key.pem"
        client-ca = "ca.pem"
        [[listener]]
        name = "local"
        unix = "socket"
        mode = "0660"
        owner = "root:disk"
        process = "own"
        [[listener]]
        vsock = 7
        cid = 3
        [tenant.a]
        clients = [{ san = "DNS:a", source = "192.0.2.0/24" }, { subject = "CN=a" }]
        limits = { memory = "64MiB" }
        [[tenant.a.export]]
        name = "disk"
        plugin = "file"
        sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
        settings = { one = "1", two = { file = "secret" }, three = { env = "SECRET" } }
        blobs = { disk = "d.img:rw" }
        limits = { idle = "1min" }
        on-failure = "fail"
        [[tenant.a.export.filters]]
        plugin = "log"
        settings = { logfile = "log" }
        [[tenant.a.export.filters]]
        plugin = "./cow.wasm"
        blobs = { overlay = "o:rw" }
    "#;

    #[test]
    fn everything_comes_back_as_it_was_and_paths_may_have_any_bytes() {
        let folder = OsStr::from_bytes(b"/srv/\xff");
        let path = Path::new(folder).join("nbdbox.toml");
        let parsed = parse(&[Source {
            path: &path,
            text: TEXT,
        }]);
        let config = parsed.unwrap();
        let passed = Config::decode(&config.encode().unwrap()).unwrap();
        assert_eq!(passed, config);
        assert!(Config::decode(b"nonsense").is_err());
    }
}
