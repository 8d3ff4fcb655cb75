//! A whole stack: changes over a partition of an untrusted image that has a file system.

use std::fs;
use std::path::Path;

use nbdbox_tests::{Server, plugin, run, shell};
use tempfile::TempDir;

use super::compare::options;

/// A qcow2 image of a disk with a GPT, whose first partition is an ext4 file system with one file.
fn image(folder: &Path) {
    let script = format!(
        r#"
        cd '{}'
        PATH=$PATH:/sbin:/usr/sbin
        truncate -s 48M disk
        printf 'start=2048, size=65536\nstart=69632, size=20000\n' | sfdisk -q -X gpt disk
        mkfs.ext4 -q -F -E offset=1048576 disk 32M
        echo 'from the image' >hello
        dd if=disk of=part bs=1M skip=1 count=32 status=none
        debugfs -w -R 'write hello hello' part >log 2>&1
        dd if=part of=disk bs=1M seek=1 conv=notrunc status=none
        qemu-img convert -f raw -O qcow2 -c disk image
        truncate -s 34M overlay
        "#,
        folder.display()
    );
    let _ = shell(&script).ok();
}

/// Serves the stack of the three plugins.
fn serve(folder: &Path) -> Server {
    let overlay = format!("cow,blob.overlay={}:rw", folder.join("overlay").display());
    let mut words = options(&[&overlay, "partition-filter,partition=1"]);
    words.push("--blob".to_owned());
    words.push(format!("image={}:ro", folder.join("image").display()));
    words.push(plugin("qcow2").display().to_string());
    Server::start(words)
}

#[test]
fn a_file_system_in_an_image_is_changed_and_survives_while_the_image_does_not_change() {
    let folder = TempDir::with_prefix("nbdbox-stack-").unwrap();
    let folder = folder.path();
    image(folder);
    let before = fs::read(folder.join("image")).unwrap();
    let script = |server: &Server, script: &str| {
        let uri = server.uri();
        let script = format!(
            "cd '{}'; PATH=$PATH:/sbin:/usr/sbin; uri='{uri}'; {script}",
            folder.display()
        );
        shell(&script).ok()
    };
    let server = serve(folder);
    let said = script(
        &server,
        r#"
        nbdcopy "$uri" copy
        fsck.ext4 -fn copy >log 2>&1
        debugfs -R 'cat hello' copy 2>>log
        echo 'through the stack' >more
        debugfs -w -R 'write more more' copy >>log 2>&1
        nbdcopy --flush copy "$uri"
        qemu-img compare -f raw -F raw copy "$uri"
        "#,
    );
    assert_eq!(said, "from the image\nImages are identical.\n");
    let exit = server.stop();
    assert_eq!(exit.code, Some(0), "{}", exit.log);

    let server = serve(folder);
    let said = script(
        &server,
        r#"
        qemu-img convert -f raw -O raw "$uri" again
        fsck.ext4 -fn again >log 2>&1
        debugfs -R 'cat hello' again 2>>log
        debugfs -R 'cat more' again 2>>log
        cmp again copy && nbdinfo --map "$uri" | grep -c hole
        "#,
    );
    let (words, holes) = said.rsplit_once("stack\n").unwrap();
    assert_eq!(words, "from the image\nthrough the ");
    assert!(holes.trim().parse::<u32>().unwrap() > 3, "{holes}");
    let after = fs::read(folder.join("image")).unwrap();
    assert!(before == after, "the image was changed");
    let map = run(
        "qemu-img",
        ["map", "--output=json", "-f", "raw", &server.uri()],
    )
    .ok();
    assert!(map.contains("\"zero\": true"), "{map}");
}
