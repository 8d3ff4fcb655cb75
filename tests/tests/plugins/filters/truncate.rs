//! `truncate`, next to nbdkit's.

use nbdbox_tests::Random;

use super::compare::{Pair, content};

const SIZE: usize = (3 << 20) + 1000;

#[test]
fn another_size_is_the_same_as_nbdkits() {
    let mut random = Random::seeded(2);
    for setting in [
        "truncate=1000000",
        "truncate=5M",
        "round-up=1M",
        "round-down=1M",
    ] {
        let bytes = content(&mut random, SIZE);
        let filter = format!("truncate,{setting}");
        let mut pair = Pair::new(&bytes, &filter, &["--filter=truncate"], &[setting]);
        pair.assert_same(&mut random);
        // Both servers refuse some of the requests that reach past the end.
        pair.change(&mut random, 40);
        let [ours, theirs] = pair.files();
        assert_eq!(ours.len(), SIZE);
        // Neither server promises what a refused write has done before the end.
        let grows = pair.theirs.size() > SIZE as u64;
        let kept = if grows { SIZE - 200_000 } else { SIZE };
        assert!(ours[..kept] == theirs[..kept], "{setting}: what came below");
    }
}
