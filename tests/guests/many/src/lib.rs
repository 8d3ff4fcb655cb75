//! Three exports from one plugin, each with its own minimum block size: `small` (1), `sectors` (512) and `pages`
//! (4096). Clients can write, but neither trim nor write zeroes.

use nbdbox_plugin::{
    Device, Error, ExportList, ExtentKind, Extents, ListedExport, Manifest, Plugin, ReadReply,
    Result, Sparse, ValueKind, Writable, WriteFlags, WritePayload, config,
};

/// The size of each export in bytes: 16 pages and a half.
const SIZE: usize = 16 * 4096 + 2048;

const EXPORTS: [(&str, u32); 3] = [("small", 1), ("sectors", 512), ("pages", 4096)];

struct Many {
    block: u32,
    bytes: Vec<u8>,
}

impl Plugin for Many {
    fn manifest() -> Manifest {
        Manifest::new(
            "many",
            "1.0.0",
            "three exports with block sizes of their own",
        )
        .optional(
            "loops-from",
            ValueKind::Number,
            "when the list begins to loop",
        )
        .default("lists", ValueKind::Text, "", "how the list misbehaves")
    }

    fn open(name: &str) -> Result<Self> {
        let found = EXPORTS.iter().find(|(export, _)| *export == name);
        let (_, block) = found.ok_or_else(|| Error::invalid("it isn't listed"))?;
        Ok(Self {
            block: *block,
            bytes: vec![0; SIZE],
        })
    }

    fn describe(&self) -> Device {
        Device::new(SIZE as u64)
            .block_sizes(self.block, self.block.max(4096), 1 << 20)
            .description(format!("blocks of {}", self.block))
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        reply.data(&self.bytes[offset as usize..][..length as usize]);
        Ok(())
    }
}

impl Writable for Many {
    fn write(&mut self, payload: &WritePayload, offset: u64, _flags: WriteFlags) -> Result<()> {
        let bytes = payload.read(0, payload.length());
        self.bytes[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        Ok(())
    }
}

impl Sparse for Many {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        // Runs of 1000 bytes, whose borders aren't those of blocks of 512 or 4096.
        for at in (offset..offset + length).step_by(2000) {
            extents.add(at, 1000, ExtentKind::Zero)?;
        }
        Ok(())
    }
}

/// Misbehaves while it lists exports. With `loops-from=MS` the call never returns from that time on (milliseconds since
/// 1970). `lists=WHAT` adds exports that make the list a bad one, or makes the call fail.
fn misbehave() -> Result<Vec<ListedExport>> {
    if let Some(moment) = config::number("loops-from")? {
        while nbdbox_plugin::wall_ms() >= moment {}
    }
    let named = |name: String| ListedExport {
        name,
        description: None,
    };
    Ok(match config::required_text("lists")?.as_str() {
        "loop" => loop {
            std::hint::black_box(());
        },
        "trap" => std::process::abort(),
        "error" => return Err(Error::io("no list today")),
        // Each string is small, but the host would have to hold all of them.
        "legion" => (0..100_000).map(|_| named("x".to_owned())).collect(),
        "huge" => vec![named("x".repeat(16 << 20))],
        "unutterable" => vec![named("a\0b".to_owned()), named("x".repeat(5000))],
        "crowd" => (0..5000).map(|number| named(number.to_string())).collect(),
        _ => Vec::new(),
    })
}

impl ExportList for Many {
    fn list_exports() -> Result<Vec<ListedExport>> {
        let mut all = misbehave()?;
        let listed = EXPORTS.iter().map(|(name, block)| ListedExport {
            name: (*name).to_owned(),
            description: Some(format!("blocks of {block}")),
        });
        all.splice(0..0, listed);
        Ok(all)
    }
}

nbdbox_plugin::export!(Many: Writable + Sparse + ExportList);
