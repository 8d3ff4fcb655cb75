//! `offset`, next to nbdkit's.

use nbdbox_tests::{Random, nbdbox, plugin, run};

use super::compare::{Pair, content};

const SIZE: usize = 4 << 20;

#[test]
fn a_part_is_the_same_as_nbdkits() {
    let mut random = Random::seeded(1);
    for (offset, range) in [(0, None), (70_000, None), (1_048_576, Some(1_500_000))] {
        let bytes = content(&mut random, SIZE);
        let mut filter = format!("offset,offset={offset}");
        let mut settings = vec![format!("offset={offset}")];
        if let Some(range) = range {
            filter += &format!(",range={range}");
            settings.push(format!("range={range}"));
        }
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let mut pair = Pair::new(&bytes, &filter, &["--filter=offset"], &settings);
        pair.assert_same(&mut random);
        pair.change(&mut random, 30);
        pair.assert_same(&mut random);
        let [ours, theirs] = pair.files();
        assert!(ours == theirs, "{filter}: what came below");
        assert!(
            ours[..offset] == bytes[..offset],
            "{filter}: what is before"
        );
    }
}

#[test]
fn a_range_outside_the_layer_below_is_refused_in_words() {
    let refused = |filter: &str, size: &str| {
        let offset = format!("{},{filter}", plugin("offset").display());
        let memory = plugin("memory");
        let size = format!("size={size}");
        let words = [
            "serve",
            "--filter",
            &offset,
            memory.to_str().unwrap(),
            &size,
        ];
        run(nbdbox(), words.iter().chain(&["--run", "true"])).stderr
    };
    assert!(refused("offset=2M", "1M").contains("offset refused to open: 0 bytes at 2097152"));
    assert!(refused("offset=1,range=1M", "1M").contains("aren't inside the layer below"));
    assert!(refused("of=1", "1M").contains("the filter offset: unknown key `of`"));
}
