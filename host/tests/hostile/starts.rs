//! Plugins that misbehave before they serve: the host refuses them in one line when it makes the export.

use std::path::Path;
use std::sync::Arc;

use blob::Access;
use device::Catalog as _;
use device::identity::Client;
use nbdbox_config::limits::Limits;
use runtime::Plugin;

use crate::scene::{AMPLE, Neighbour, World};

/// A plugin that makes its own start fail.
pub(crate) struct Start {
    pub(crate) words: &'static str,
    plugin: &'static str,
    settings: &'static [&'static str],
    /// A part of the refusal's text.
    says: &'static str,
}

const fn start(
    words: &'static str,
    plugin: &'static str,
    settings: &'static [&'static str],
    says: &'static str,
) -> Start {
    Start {
        words,
        plugin,
        settings,
        says,
    }
}

pub(crate) const STARTS: &[Start] = &[
    start(
        "loops endlessly in open",
        "bad",
        &["at=open", "do=loop"],
        "CPU time",
    ),
    start("aborts in open", "bad", &["at=open", "do=trap"], "trapped"),
    start(
        "recurses endlessly in open",
        "bad",
        &["at=open", "do=recurse"],
        "trapped",
    ),
    start(
        "grows its memory endlessly in open",
        "bad",
        &["at=open", "do=grow"],
        "out of memory",
    ),
    start(
        "opens a blob that wasn't granted",
        "bad",
        &["at=open", "do=not-granted"],
        "no blob",
    ),
    start(
        "leaks handles in open",
        "bad",
        &["at=open", "do=handles", "blob=b"],
        "handles",
    ),
    start(
        "reports blocks of 3 bytes",
        "bad",
        &["at=describe", "do=block-sizes"],
        "block size",
    ),
    start(
        "reports a size of 2^64 - 1 bytes",
        "bad",
        &["at=describe", "do=huge"],
        "too large",
    ),
    start(
        "reports a size of 2^63 bytes",
        "bad",
        &["size=8E"],
        "too large",
    ),
    start(
        "loops endlessly in the list of exports",
        "many",
        &["lists=loop"],
        "CPU time",
    ),
    start(
        "aborts in the list of exports",
        "many",
        &["lists=trap"],
        "trapped",
    ),
    start(
        "refuses to list its exports",
        "many",
        &["lists=error"],
        "no list today",
    ),
    start(
        "lists a hundred thousand exports",
        "many",
        &["lists=legion"],
        "handed over too much",
    ),
    start(
        "lists an export with a name of 16 MiB",
        "many",
        &["lists=huge"],
        "handed over too much",
    ),
];

/// Checks that the host can't make the export, that the operator gets the reason, and that nothing holds up the
/// neighbour.
pub(crate) async fn refuse(world: &World, neighbour: &Neighbour, start: &Start) {
    let plugin = world.guest(start.plugin).await.unwrap();
    let cpu = if start.says == "CPU time" {
        Limits::default().open_cpu
    } else {
        AMPLE
    };
    let opened = world.open(&plugin, start.words, start.settings, Access::ReadOnly, cpu);
    let error = match opened.await {
        Ok(_) => panic!("a plugin that {} was opened", start.words),
        Err(error) => format!("{error:#}"),
    };
    assert!(error.contains(start.says), "{}: {error}", start.words);
    assert!(
        !error.contains('\n') && error.len() < 4096,
        "{}: {error}",
        start.words
    );
    neighbour.goes_on().await;
}

/// The host doesn't load a plugin whose manifest would take more memory than the plugin may have.
pub(crate) async fn boast(world: &World) {
    let error = world.guest("boast").await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("handed over too much"), "{error}");
}

/// A list may have names that NBD can't carry, and more names than the host keeps. Clients see the others.
pub(crate) async fn odd_lists(world: &World) {
    let plugin = world.guest("many").await.unwrap();
    for (lists, most) in [("unutterable", 3), ("crowd", 1024)] {
        let setting = format!("lists={lists}");
        let settings = [setting.as_str()];
        let opened = world.open(&plugin, lists, &settings, Access::ReadOnly, AMPLE);
        let listed = opened
            .await
            .unwrap()
            .list(&Client::default())
            .await
            .unwrap();
        assert_eq!(listed.len(), most, "{lists}");
        assert!(listed.iter().all(|one| one.name.len() <= 4096));
    }
}

impl World {
    /// Loads a plugin of `tests/guests`.
    pub(crate) async fn guest(&self, name: &str) -> anyhow::Result<Arc<Plugin>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-guests");
        let path = folder.join(name).with_extension("wasm");
        assert!(path.exists(), "run `make plugins`");
        self.load_file(&path).await
    }
}
