//! The meaning of a configuration: words become values, and values that depend on each other are checked together.

mod address;
mod client;
mod export;
mod listener;
mod tenant;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::at::At;
use super::problem::{Position, Problems};
use super::raw::{self, File};
use super::{Address, CONNECTIONS, Cache, Config, Sandbox, Source};
use crate::limits::key;
use crate::size::{self, Bytes};

/// The least memory of a server: enough for an instance of a small plugin.
const LEAST_MEMORY: u64 = 16 << 20;

/// Makes a configuration of the files. The parts that are wrong are reported and left out.
pub(super) fn check(files: Vec<(Source<'_>, File)>, problems: &mut Problems) -> Config {
    let mut config = Config::default();
    let mut once = BTreeSet::new();
    let mut tenants = tenant::Tenants::default();
    let mut any_listener = false;
    let whole = files.first().map(|(source, _)| *source);
    for (source, file) in files {
        let mut checker = Checker { source, problems };
        checker.server(&file, &mut config, &mut once);
        any_listener |= !file.listener.is_empty();
        for listener in file.listener {
            config.listeners.extend(checker.listener(listener));
        }
        for (name, tenant) in file.tenant {
            tenants.add(&mut checker, name, tenant);
        }
    }
    if let Some(source) = whole {
        let mut checker = Checker { source, problems };
        config.tenants = tenants.finish(&mut checker);
        if !any_listener {
            let text = "there is no [[listener]]: add one, so that clients can connect";
            checker.wrong(0..0, "", text);
        }
        checker.together(&config);
    }
    config
}

/// Checks one file.
struct Checker<'a, 'p> {
    source: Source<'a>,
    problems: &'p mut Problems,
}

impl Checker<'_, '_> {
    fn wrong(&mut self, span: Range<usize>, key: &str, text: impl Into<String>) {
        let place = self.place(&span);
        self.problems.add(place, key, text);
    }

    fn place(&self, span: &Range<usize>) -> Position {
        Position::of(self.source, span)
    }

    /// A path in the file, relative to the folder of the file.
    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let folder = self.source.path.parent();
        folder.unwrap_or(Path::new("")).join(path)
    }

    /// The keys that are neither listeners nor tenants. Each may be set once in all files.
    fn server(&mut self, file: &File, config: &mut Config, once: &mut BTreeSet<&'static str>) {
        let mut first = |checker: &mut Self, span, key| {
            let first = once.insert(key);
            if !first {
                checker.wrong(span, key, "another file sets it already");
            }
            first
        };
        if let Some(text) = &file.drain
            && first(self, text.span(), "drain")
        {
            self.time(text, "drain", &mut config.drain);
        }
        if let Some(text) = &file.handshake
            && first(self, text.span(), "handshake")
        {
            self.time(text, "handshake", &mut config.handshake);
        }
        if let Some(text) = &file.poll
            && first(self, text.span(), "poll")
        {
            match text.get().parse() {
                Ok(poll) => config.poll = poll,
                Err(error) => self.wrong(text.span(), "poll", error.to_string()),
            }
        }
        if let Some(format) = &file.log_format
            && first(self, format.span(), "log-format")
        {
            config.log_format = *format.get();
        }
        if let Some(sandbox) = &file.sandbox
            && first(self, sandbox.span(), "sandbox")
        {
            config.sandbox = *sandbox.get();
        }
        if let Some(number) = &file.connections
            && first(self, number.span(), "connections")
        {
            let fits = self.number(number, "connections", 1, 100_000);
            config.connections = fits.map_or(CONNECTIONS, |number| number as usize);
        }
        if let Some(bytes) = &file.memory
            && first(self, bytes.span(), "memory")
        {
            config.memory = self.bytes(bytes, "memory", LEAST_MEMORY);
        }
        if let Some(cache) = &file.plugins
            && first(self, cache.span(), "plugins")
        {
            config.plugins = self.plugins(cache.get());
        }
        if let Some(cache) = &file.cache
            && first(self, cache.span(), "cache")
        {
            config.cache = self.cache(cache.get());
        }
        if let Some(admin) = &file.admin
            && first(self, admin.span(), "admin")
        {
            config.admin = self.admin(admin);
        }
    }

    fn time(&mut self, text: &At<String>, key: &str, place: &mut Duration) {
        match key::time(text.get()) {
            Ok(time) => *place = time,
            Err(expected) => {
                self.wrong(text.span(), key, format!("`{}`: {expected}", text.get()));
            }
        }
    }

    fn plugins(&self, raw: &raw::Plugins) -> Vec<PathBuf> {
        match raw.path.as_ref().map(At::get) {
            None => Vec::new(),
            Some(raw::Paths::One(path)) => vec![self.path(path)],
            Some(raw::Paths::Several(paths)) => paths.iter().map(|path| self.path(path)).collect(),
        }
    }

    fn cache(&mut self, raw: &raw::Cache) -> Cache {
        Cache {
            path: raw.path.as_ref().map(|path| self.path(path.get())),
            size: raw
                .size
                .as_ref()
                .and_then(|size| self.bytes(size, "cache.size", 0)),
        }
    }

    fn bytes(&mut self, text: &At<raw::Scalar>, key: &str, least: u64) -> Option<u64> {
        let raw::Scalar(words) = text.get();
        let wrong = match size::parse(words) {
            Ok(bytes) if bytes >= least => return Some(bytes),
            Ok(_) => format!("`{words}`: {} or more is expected", Bytes(least)),
            Err(error) => error.to_string(),
        };
        self.wrong(text.span(), key, wrong);
        None
    }

    fn number(&mut self, number: &At<i64>, key: &str, least: u32, most: u32) -> Option<u32> {
        let fits = u32::try_from(*number.get())
            .ok()
            .filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            let text = format!("a number from {least} to {most} is expected");
            self.wrong(number.span(), key, text);
        }
        fits
    }

    /// Checks that need all files.
    fn together(&mut self, config: &Config) {
        let mut addresses: BTreeSet<String> = BTreeSet::new();
        let mut names = BTreeSet::new();
        for listener in &config.listeners {
            let same_port_for_all = matches!(&listener.address, Address::Tcp(at) if at.port() == 0);
            let address = listener.address.to_string();
            if !same_port_for_all && !addresses.insert(address) {
                let text = "another listener has this address";
                self.problems.add(listener.place.clone(), "listener", text);
            }
            if !names.insert(&listener.name[..]) && !same_port_for_all {
                let text = format!("another listener is called `{}`", listener.name);
                self.problems
                    .add(listener.place.clone(), "listener.name", text);
            }
        }
        if config.sandbox == Sandbox::Off
            && let Some(apart) = config.listeners.iter().find(|listener| listener.is_apart())
        {
            let text =
                "`own`: with `sandbox = \"off\"` there is one process; remove one of the two keys";
            let place = apart.place.clone();
            self.problems.add(place, "listener.process", text);
        }
        for (tenant, apart, other) in config.shared_tenants() {
            let text = format!(
                "`own`: clients of tenant `{}` can connect to `{}` and to `{}`, but one process serves a tenant; write \
                 `listener = \"NAME\"` into each of its `clients` rules",
                tenant.name, apart.name, other.name
            );
            let place = apart.place.clone();
            self.problems.add(place, "listener.process", text);
        }
    }
}
