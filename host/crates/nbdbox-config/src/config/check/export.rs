//! Exports of a tenant.

use std::collections::BTreeMap;
use std::ops::Range;

use nbd_proto::limits::MAX_STRING;

use super::Checker;
use crate::config::at::At;
use crate::config::raw::{self, Blob, Setting};
use crate::config::{Export, Filter, Value};
use crate::grant::{Access, Grant};
use crate::limits::{FILTERS, Limits};
use crate::policy::Policy;
use crate::reference::Reference;

impl Checker<'_, '_> {
    /// An export; `None` if its name or plugin is missing or wrong.
    pub(super) fn export(&mut self, export: At<raw::Export>, table: &str) -> Option<Export> {
        let span = export.span();
        let raw = export.into_inner();
        let name = self.export_name(raw.name.as_ref(), &span, table);
        let plugin = self.plugin(raw.plugin.as_ref(), &span, table);
        let sha256 = raw
            .sha256
            .as_ref()
            .and_then(|text| self.sha256(text, &format!("{table}.sha256")));
        let description = raw.description.as_ref();
        let description =
            description.and_then(|text| self.line(text, &format!("{table}.description")));
        let settings = self.settings(raw.settings, &format!("{table}.settings"));
        let blobs = self.blobs(raw.blobs, &format!("{table}.blobs"));
        let limits = match &raw.limits {
            Some(limits) => self.limits(limits.get(), &format!("{table}.limits")),
            None => Limits::default(),
        };
        let filters = self.filters(raw.filters, &limits, &span, &format!("{table}.filters"));
        let immutable = raw.immutable.unwrap_or_default();
        Some(Export {
            name: name?,
            description,
            plugin: plugin?,
            sha256,
            settings,
            blobs,
            limits,
            policy: Policy {
                read_only: immutable || raw.read_only.unwrap_or_default(),
                immutable,
                extents_on_error: raw.extents_on_error.unwrap_or_default(),
                on_failure: raw.on_failure.unwrap_or_default(),
            },
            filters,
            place: self.place(&span),
        })
    }

    /// The filters of an export, which have the export's limits unless they set their own.
    fn filters(
        &mut self,
        filters: Vec<At<raw::Filter>>,
        limits: &Limits,
        span: &Range<usize>,
        table: &str,
    ) -> Vec<Filter> {
        if filters.len() > FILTERS {
            let text = format!("there are {}; at most {FILTERS} are allowed", filters.len());
            self.wrong(span.clone(), table, text);
        }
        let filters = filters.into_iter().filter_map(|filter| {
            let span = filter.span();
            let raw = filter.into_inner();
            let sha256 = raw.sha256.as_ref();
            let plugin = self.plugin(raw.plugin.as_ref(), &span, table)?;
            if let Some(native) = plugin.native()
                && (sha256.is_some() || !raw.blobs.is_empty() || raw.limits.is_some())
            {
                let text = format!(
                    "`{}` is one of the host's own filters, which take settings and no sha256, blobs or limits",
                    native.as_str()
                );
                self.wrong(span.clone(), table, text);
            }
            Some(Filter {
                plugin,
                sha256: sha256.and_then(|text| self.sha256(text, &format!("{table}.sha256"))),
                settings: self.settings(raw.settings, &format!("{table}.settings")),
                blobs: self.blobs(raw.blobs, &format!("{table}.blobs")),
                limits: match &raw.limits {
                    Some(own) => {
                        let table = format!("{table}.limits");
                        self.limits_over(limits.clone(), own.get(), &table)
                    }
                    None => limits.clone(),
                },
            })
        });
        filters.collect()
    }

    /// A plugin or filter: a path of its file, or a name.
    fn plugin(
        &mut self,
        plugin: Option<&At<String>>,
        span: &Range<usize>,
        table: &str,
    ) -> Option<Reference> {
        let key = format!("{table}.plugin");
        let Some(plugin) = plugin.filter(|plugin| !plugin.get().is_empty()) else {
            self.wrong(span.clone(), &key, "it is missing");
            return None;
        };
        match Reference::parse(plugin.get().as_ref()) {
            Ok(Reference::Path(path)) => Some(Reference::Path(self.path(path))),
            Ok(reference) => Some(reference),
            Err(error) => {
                self.wrong(plugin.span(), &key, error.to_string());
                None
            }
        }
    }

    fn export_name(
        &mut self,
        name: Option<&At<String>>,
        span: &Range<usize>,
        table: &str,
    ) -> Option<String> {
        let key = format!("{table}.name");
        let Some(name) = name else {
            let text = "it is missing; \"\" is the export for clients that give no name";
            self.wrong(span.clone(), &key, text);
            return None;
        };
        self.line(name, &key)
    }

    /// A text for clients, on one line.
    fn line(&mut self, text: &At<String>, key: &str) -> Option<String> {
        let fits = text.get().len() <= MAX_STRING && !text.get().chars().any(char::is_control);
        if !fits {
            let words =
                format!("at most {MAX_STRING} bytes without control characters are expected");
            self.wrong(text.span(), key, words);
        }
        fits.then(|| text.get().clone())
    }

    fn sha256(&mut self, text: &At<String>, key: &str) -> Option<[u8; 32]> {
        let digest = digest(text.get());
        if digest.is_none() {
            let words = "64 hexadecimal digits are expected, as `nbdbox inspect` shows them";
            self.wrong(text.span(), key, words);
        }
        digest
    }

    fn settings(
        &mut self,
        settings: BTreeMap<At<String>, At<Setting>>,
        table: &str,
    ) -> Vec<(String, Value)> {
        let mut settings: Vec<_> = settings.into_iter().collect();
        settings.sort_by_key(|(key, _)| key.span().start);
        let settings = settings.into_iter().filter_map(|(key, value)| {
            let name = key.into_inner();
            let path = format!("{table}.{name}");
            let span = value.span();
            let value = match value.into_inner() {
                Setting::Plain(text) => Value::Plain(text),
                Setting::Kept {
                    file: Some(file),
                    env: None,
                } => Value::File(self.path(file)),
                Setting::Kept {
                    file: None,
                    env: Some(env),
                } if is_variable(&env) => Value::Env(env),
                Setting::Kept { .. } => {
                    let text = "exactly one of file and env is expected, and env must be a variable's name";
                    self.wrong(span, &path, text);
                    return None;
                }
            };
            Some((name, value))
        });
        settings.collect()
    }

    fn blobs(&mut self, blobs: BTreeMap<At<String>, At<Blob>>, table: &str) -> Vec<Grant> {
        let grants = blobs.into_iter().filter_map(|(name, blob)| {
            let (name, span) = (name.into_inner(), blob.span());
            let grant = match blob.into_inner() {
                Blob::Word(word) => Grant::new(&name, &word),
                Blob::Table {
                    path: Some(path),
                    access,
                    lock,
                } => Some(Grant {
                    name: name.clone(),
                    path: path.into(),
                    access: match access.as_deref() {
                        Some("rw") => Access::ReadWrite,
                        Some("map-only") => Access::MapOnly,
                        _ => Access::ReadOnly,
                    },
                    // The shape has been checked.
                    lock: lock.and_then(|word| word.parse().ok()),
                }),
                Blob::Table { path: None, .. } => None,
            };
            let grant = grant.filter(|grant| !grant.path.as_os_str().is_empty());
            if grant.is_none() {
                let text = "a path is expected, as in \"/srv/disk.img:rw\"";
                self.wrong(span, &format!("{table}.{name}"), text);
            }
            let mut grant = grant?;
            grant.path = self.path(&grant.path);
            Some(grant)
        });
        grants.collect()
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// Parses a digest: 64 hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 32]> {
    let text = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
    let mut digest = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.chunks(2)) {
        let digits = std::str::from_utf8(pair).ok()?;
        if !pair.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(digest)
}
