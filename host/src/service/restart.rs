//! What a reload can't change.

use nbdbox_config::config::Config;

/// The keys that say something else than when the server started, of those that it looks at only then.
pub(super) fn waiting(first: &Config, now: &Config) -> Vec<String> {
    // Each key has to be thought of.
    let Config {
        // These change at once; `listening` says what doesn't.
        listeners: _,
        tenants: _,
        admin: _,
        memory: _,
        portion: _,
        plugins: _,
        cache,
        sandbox,
        log_format,
        connections,
        handshake,
        drain,
    } = now;
    let differs = [
        ("cache", first.cache != *cache),
        ("sandbox", first.sandbox != *sandbox),
        ("log-format", first.log_format != *log_format),
        ("connections", first.connections != *connections),
        ("handshake", first.handshake != *handshake),
        ("drain", first.drain != *drain),
    ];
    let waiting = differs.into_iter().filter(|(_, differs)| *differs);
    waiting.map(|(key, _)| key.to_owned()).collect()
}
