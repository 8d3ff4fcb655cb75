//! Rules that assign clients to tenants.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Checker;
use crate::config::at::At;
use crate::config::raw;
use crate::config::{AltName, ClientRule};

impl Checker<'_, '_> {
    pub(super) fn client(&mut self, rule: &At<raw::ClientRule>, key: &str) -> Option<ClientRule> {
        let raw::ClientRule {
            subject,
            san,
            uid,
            source,
            listener,
        } = rule.get();
        let word = |text: &Option<At<String>>| text.as_ref().map(|text| text.get().clone());
        let uid = uid
            .as_ref()
            .map(|uid| self.number(uid, &format!("{key}.uid"), 0, u32::MAX - 1));
        let source = source
            .as_ref()
            .map(|source| self.network(source, &format!("{key}.source")));
        let san = san
            .as_ref()
            .map(|san| self.alt_name(san, &format!("{key}.san")));
        if matches!(uid, Some(None)) || matches!(source, Some(None)) || matches!(san, Some(None)) {
            return None;
        }
        let checked = ClientRule {
            subject: word(subject),
            san: san.flatten(),
            uid: uid.flatten(),
            source: source.flatten(),
            listener: word(listener),
        };
        if checked == ClientRule::default() {
            let text = "an empty rule would match every client; for that, write the rules \
                        source = \"0.0.0.0/0\" and source = \"::/0\"";
            self.wrong(rule.span(), key, text);
            return None;
        }
        Some(checked)
    }

    fn alt_name(&mut self, word: &At<String>, key: &str) -> Option<AltName> {
        let name = AltName::parse(word.get());
        name.map_err(|text| self.wrong(word.span(), key, text)).ok()
    }

    fn network(&mut self, text: &At<String>, key: &str) -> Option<IpNet> {
        let address = text.get().parse::<IpAddr>().map(IpNet::from);
        let network = address.ok().or_else(|| text.get().parse().ok());
        match network {
            Some(network) if network.trunc() == network => Some(network),
            Some(network) => {
                let words = format!(
                    "`{}` has bits set beyond its prefix: {} or another prefix is expected",
                    text.get(),
                    network.trunc()
                );
                self.wrong(text.span(), key, words);
                None
            }
            None => {
                let words = format!(
                    "`{}` isn't an address or network, such as 192.0.2.7 or 192.0.2.0/24",
                    text.get()
                );
                self.wrong(text.span(), key, words);
                None
            }
        }
    }
}
