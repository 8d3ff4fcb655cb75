//! A map as JSON, in exactly the form of `nbdinfo --map --json`.

use std::io::{self, Write};

use extent_map::Extent;

use super::{Rendering, Totals, description};

/// An array with an object for each extent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Json {
    begun: bool,
}

/// An array with an object for each kind, as `nbdinfo --map --totals --json` prints it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TotalsJson(Totals);

impl Rendering for Json {
    fn extent(&mut self, extent: &Extent, out: &mut dyn Write) -> io::Result<()> {
        let before = if self.begun { ",\n" } else { "[\n" };
        self.begun = true;
        let Extent {
            offset,
            length,
            kind,
        } = *extent;
        let (number, text) = (kind.flags(), description(kind));
        write!(
            out,
            r#"{before}{{ "offset": {offset}, "length": {length}, "type": {number}, "description": "{text}"}}"#
        )
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(if self.begun { b"\n]\n" } else { b"[\n\n]\n" })
    }
}

impl Rendering for TotalsJson {
    fn extent(&mut self, extent: &Extent, _: &mut dyn Write) -> io::Result<()> {
        self.0.add(extent);
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let mut before = "[\n";
        for total in self.0.by_type() {
            let (number, text) = (total.kind.flags(), description(total.kind));
            let (bytes, percent) = (total.bytes, six_digits(total.percent));
            write!(
                out,
                r#"{before}{{ "size": {bytes}, "percent": {percent}, "type": {number}, "description": "{text}" }}"#
            )?;
            before = ",\n";
        }
        out.write_all(if self.0.size() == 0 {
            b"[]\n"
        } else {
            b"\n]\n"
        })
    }
}

/// A positive number in the format of C's `%g`: six significant digits and no trailing zeroes.
fn six_digits(number: f64) -> String {
    let scientific = format!("{number:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    match usize::try_from(5 - exponent) {
        Ok(decimals) if decimals <= 9 => trimmed(&format!("{number:.decimals$}")),
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use extent_map::Kind;

    use super::*;
    use crate::map::tests::rendered;

    /// What nbdinfo 1.14 prints.
    #[test]
    fn extents_have_the_form_of_nbdinfo() {
        let expected = r#"[
{ "offset": 0, "length": 122880, "type": 3, "description": "hole,zero"},
{ "offset": 122880, "length": 4096, "type": 0, "description": "data"}
]
"#;
        let map = [(122_880, Kind::Hole), (4096, Kind::Data)];
        assert_eq!(rendered(Json::default(), &map), expected);
        assert_eq!(rendered(Json::default(), &[]), "[\n\n]\n");
    }

    #[test]
    fn totals_have_the_form_of_nbdinfo() {
        let expected = r#"[
{ "size": 98304, "percent": 0.00183105, "type": 0, "description": "data" },
{ "size": 5368610816, "percent": 99.9982, "type": 3, "description": "hole,zero" }
]
"#;
        let map = [(98_304, Kind::Data), (5_368_610_816, Kind::Hole)];
        assert_eq!(rendered(TotalsJson::default(), &map), expected);
        assert_eq!(rendered(TotalsJson::default(), &[]), "[]\n");
    }

    /// As `printf %g` prints them.
    #[test]
    fn percentages_have_six_digits() {
        for (number, text) in [
            (100.0, "100"),
            (60.9375, "60.9375"),
            (9.765_625, "9.76562"),
            (0.001_831_05, "0.00183105"),
            (0.000_1, "0.0001"),
            (0.000_012_345_678, "1.23457e-05"),
            (1e-12, "1e-12"),
            (99.999_999_9, "100"),
            (50.0, "50"),
        ] {
            assert_eq!(six_digits(number), text, "{number}");
        }
    }
}
