//! A server without TLS (point 19 of `CHECKLIST.md`).

use nbd_proto::Framing;
use nbd_proto::wire::{option, option_reply};
use nbdbox_tests::{Dialog, Raw, Server};

fn sparse() -> Server {
    Server::plugin("sparse", &["size=1M"])
}

/// Point 19: the server refuses STARTTLS as the specification has it for NOTLS mode.
#[test]
fn starttls_is_refused() {
    let server = sparse();
    let mut raw = Raw::negotiating(&server);
    let kind = raw.ask_one(option::STARTTLS, &[]);
    let allowed = [option_reply::ERR_POLICY, option_reply::ERR_UNSUP];
    assert!(allowed.contains(&kind), "{kind:#x}");
    raw.assert_negotiating();
}

/// Point 19: the server refuses STARTTLS with data too, and doesn't take the data for an option.
#[test]
fn starttls_with_data_is_refused() {
    let server = sparse();
    let mut raw = Raw::negotiating(&server);
    let kind = raw.ask_one(option::STARTTLS, b"IHAVEOPT\0\0\0\x02\0\0\0\0");
    assert_ne!(kind & option_reply::ERROR, 0);
    assert_ne!(kind, option_reply::ERR_TLS_REQD);
    raw.assert_negotiating();
}

/// Point 19: no option ever gets TLS_REQD.
#[test]
fn nothing_requires_tls() {
    let server = sparse();
    let mut raw = Raw::negotiating(&server);
    let info = |name| Raw::info_data(name, &[]);
    let meta = |name| Raw::meta_data(name, &[]);
    let asked = [
        (option::LIST, vec![]),
        (option::INFO, info("")),
        (option::INFO, info("nosuch")),
        (option::GO, info("nosuch")),
        (option::STRUCTURED_REPLY, vec![]),
        (option::LIST_META_CONTEXT, meta("")),
        (option::SET_META_CONTEXT, meta("nosuch")),
        (option::EXTENDED_HEADERS, vec![]),
        (99, vec![]),
    ];
    for (number, data) in asked {
        let replies = raw.ask(number, &data);
        let required = replies
            .iter()
            .any(|(kind, _)| *kind == option_reply::ERR_TLS_REQD);
        assert!(!required, "option {number}");
    }
}

/// Point 19: a refused STARTTLS leaves what was negotiated as it was.
#[test]
fn a_refused_starttls_forgets_nothing() {
    let server = sparse();
    let mut raw = Raw::negotiating(&server);
    let _ = raw.ask_one(option::STARTTLS, &[]);
    let mut dialog = Dialog::over(raw, Framing::Extended);
    dialog.assert_in_step();

    let mut raw = Raw::negotiating(&server);
    raw.agree(Framing::Structured);
    let _ = raw.ask_one(option::STARTTLS, &[]);
    let again = raw.ask_one(option::STRUCTURED_REPLY, &[]);
    assert_eq!(again, option_reply::ERR_INVALID, "already agreed");
}
