//! The keys that a reload can't change.

use nbdbox_config::config::Config;

/// The keys that differ from those of the start, and that the server reads only at its start.
pub(super) fn waiting(first: &Config, now: &Config) -> Vec<String> {
    // Names each key, so that a new one doesn't compile until somebody has decided about it.
    let Config {
        // These change at once. `Listeners::adopt` returns the exceptions.
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
        poll,
        drain,
    } = now;
    let differs = [
        ("cache", first.cache != *cache),
        ("sandbox", first.sandbox != *sandbox),
        ("log-format", first.log_format != *log_format),
        ("connections", first.connections != *connections),
        ("handshake", first.handshake != *handshake),
        ("poll", first.poll != *poll),
        ("drain", first.drain != *drain),
    ];
    let waiting = differs.into_iter().filter(|(_, differs)| *differs);
    waiting.map(|(key, _)| key.to_owned()).collect()
}
