//! The share of the cores that tenants, and a tenant's exports, get.

use nbdbox_tests::Server;
use nbdbox_tests::tenancy::tenant;

use crate::crew::{Crew, beside, cores, filtered_workshop, workshop};

#[test]
#[ignore = "compares shares of the cores: make shares"]
fn cores_are_shared_by_tenants_however_many_connections_they_have() {
    let _alone = crate::alone();
    const MINE: usize = 60;
    let greedy = 8 * cores();
    let config = [
        tenant("alice", ""),
        workshop("alice", "work", 1, 100),
        tenant("mallory", &format!("instances = {}", greedy + 1)),
        workshop("mallory", "work", greedy, 100),
    ];
    let server = Server::hosting(&config.concat());
    let mut alice = Crew::hire(&server, "alice", "work", 1);
    let mut mallory = Crew::hire(&server, "mallory", "work", greedy);
    let theirs = beside(&mut alice, &mut mallory, MINE);
    // If connections shared the cores, it would be 8 to 1 for each core. Tenants share them, so it's 1 to 1, and Alice
    // leaves what one guest can't use.
    assert!(theirs < 4 * cores() * MINE, "{theirs} against {MINE}");
}

#[test]
#[ignore = "compares shares of the cores: make shares"]
fn what_a_filter_computes_is_its_tenants_too() {
    let _alone = crate::alone();
    const MINE: usize = 40;
    let greedy = 8 * cores();
    let config = [
        tenant("alice", ""),
        workshop("alice", "work", 1, 100),
        tenant("mallory", &format!("instances = {}", 2 * greedy + 2)),
        filtered_workshop("mallory", "work", greedy),
    ];
    let server = Server::hosting(&config.concat());
    let mut alice = Crew::hire(&server, "alice", "work", 1);
    let mut mallory = Crew::hire(&server, "mallory", "work", greedy);
    let theirs = beside(&mut alice, &mut mallory, MINE);
    // Each read of theirs is at least twice the work of one of hers.
    assert!(theirs < 2 * cores() * MINE, "{theirs} against {MINE}");
}

/// Limit `cpu-weight` of an export: the exports of a tenant share the tenant's time by it.
#[test]
#[ignore = "compares shares of the cores: make shares"]
fn cores_are_shared_by_a_tenants_exports_by_their_weights() {
    let _alone = crate::alone();
    let each = 4 * cores();
    let most = 30 * cores();
    let config = [
        tenant("alice", &format!("instances = {}", 2 * each)),
        workshop("alice", "favourite", each, 800),
        workshop("alice", "rest", each, 100),
    ];
    let server = Server::hosting(&config.concat());
    let mut favourite = Crew::hire(&server, "alice", "favourite", each);
    let mut rest = Crew::hire(&server, "alice", "rest", each);
    let theirs = beside(&mut favourite, &mut rest, most);
    // 8 to 1; without weights it would be 1 to 1.
    assert!(theirs < most / 2, "{theirs} against {most}");
}
