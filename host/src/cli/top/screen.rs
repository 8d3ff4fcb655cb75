//! The screen of `nbdbox top`, and its keys.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Alignment, Constraint, Layout};
use ratatui::style::Stylize as _;
use ratatui::text::{Line, Text};
use ratatui::widgets::{self, Cell, Table};

use super::figures::{Process, Row, arranged};
use super::plain::{HEADINGS, cells};
use super::{By, Sort};

/// The help in the last line.
const HELP: &str =
    "sort: o ops  b bytes  l latency  c cpu  m memory  f faults  n name  show: t e y  q quit";

/// The rows that a page key scrolls.
const PAGE: usize = 10;

/// What the screen shows, and how.
pub(super) struct View {
    admin: String,
    by: By,
    sort: Sort,
    /// `None` before the second reading.
    rows: Option<Vec<Row>>,
    process: Option<Process>,
    /// Rows that are scrolled out at the top.
    skipped: usize,
    /// Why there are no newer figures.
    trouble: Option<String>,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    More,
    End,
}

impl View {
    pub(super) fn new(admin: String, by: By, sort: Sort) -> Self {
        Self {
            admin,
            by,
            sort,
            rows: None,
            process: None,
            skipped: 0,
            trouble: None,
        }
    }

    /// Shows newer figures.
    pub(super) fn show(&mut self, rows: Vec<Row>, process: Process) {
        self.rows = Some(rows);
        self.process = Some(process);
        self.trouble = None;
    }

    /// Keeps the old figures, and shows why there are no newer ones.
    pub(super) fn fail(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// Handles a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> Wish {
        if key.kind == KeyEventKind::Release {
            return Wish::More;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Wish::End,
            KeyCode::Char('c') if control => return Wish::End,
            KeyCode::Char('o') => self.sort = Sort::Ops,
            KeyCode::Char('b') => self.sort = Sort::Bytes,
            KeyCode::Char('l') => self.sort = Sort::P99,
            KeyCode::Char('c') => self.sort = Sort::Cpu,
            KeyCode::Char('m') => self.sort = Sort::Memory,
            KeyCode::Char('f') => self.sort = Sort::Faults,
            KeyCode::Char('n') => self.sort = Sort::Name,
            KeyCode::Char('t') => self.by = By::Tenant,
            KeyCode::Char('e') => self.by = By::Export,
            KeyCode::Char('y') => self.by = By::Layer,
            KeyCode::Down => self.skipped += 1,
            KeyCode::PageDown => self.skipped += PAGE,
            KeyCode::Up => self.skipped = self.skipped.saturating_sub(1),
            KeyCode::PageUp => self.skipped = self.skipped.saturating_sub(PAGE),
            KeyCode::Home => self.skipped = 0,
            _ => {}
        }
        Wish::More
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let [top, middle, bottom] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let rows = self.rows.as_deref().unwrap_or_default();
        frame.render_widget(self.head(rows), top);
        let rows = arranged(rows, self.by, self.sort);
        // Keeps the last row in sight.
        self.skipped = self.skipped.min(rows.len().saturating_sub(1));
        frame.render_widget(self.table(&rows), middle);
        frame.render_widget(Line::from(HELP).dim(), bottom);
    }

    fn head(&self, rows: &[Row]) -> Text<'static> {
        let process = self.process.as_ref().map(super::plain::process);
        Text::from(vec![
            self.sums(rows),
            Line::from(process.unwrap_or_default()),
        ])
    }

    fn sums(&self, rows: &[Row]) -> Line<'static> {
        if let Some(trouble) = &self.trouble {
            return Line::from(trouble.clone()).red();
        }
        if self.rows.is_none() {
            return Line::from(format!("{}: looking …", self.admin));
        }
        let wholes = || rows.iter().filter(|row| row.layer.is_none());
        let sum = |value: fn(&Row) -> f64| wholes().map(value).sum::<f64>();
        let text = format!(
            "{}: {:.0} ops/s, {:.1} MiB/s, {:.0} % of a core",
            self.admin,
            sum(|row| row.ops_per_second),
            sum(|row| row.bytes_per_second) / 1_048_576.0,
            sum(|row| row.cpu_percent),
        );
        Line::from(text).bold()
    }

    fn table(&self, rows: &[Row]) -> Table<'static> {
        let lines = rows.iter().skip(self.skipped).map(|row| {
            let line = widgets::Row::new(cells(row).into_iter().enumerate().map(cell));
            if row.faults > 0 { line.yellow() } else { line }
        });
        let sorted = column(self.sort);
        let headings = HEADINGS.iter().enumerate().map(|(index, heading)| {
            let cell = cell((index, (*heading).to_owned()));
            if index == sorted {
                cell.bold().underlined()
            } else {
                cell.bold()
            }
        });
        // Names get the width that numbers leave.
        let widths = HEADINGS.iter().enumerate().map(|(index, _)| match index {
            0 | 1 => Constraint::Fill(1),
            8 | 9 => Constraint::Length(11),
            _ => Constraint::Length(7),
        });
        Table::new(lines, widths).header(widgets::Row::new(headings))
    }
}

/// Aligns names left and numbers right.
fn cell((index, text): (usize, String)) -> Cell<'static> {
    let side = match index {
        0 | 1 => Alignment::Left,
        _ => Alignment::Right,
    };
    Cell::from(Text::from(text).alignment(side))
}

/// The column by which the rows are sorted.
fn column(sort: Sort) -> usize {
    match sort {
        Sort::Name => 1,
        Sort::Ops => 3,
        Sort::Bytes => 4,
        Sort::P99 => 5,
        Sort::Cpu => 6,
        Sort::Memory => 8,
        Sort::Faults => 10,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::admin::{ProcessReport, StorageReport};

    fn row(tenant: &str, export: &str, ops: f64, faults: u64) -> Row {
        Row {
            tenant: tenant.to_owned(),
            export: export.to_owned(),
            ops_per_second: ops,
            bytes_per_second: ops * 4096.0,
            p99_us: Some(64),
            cpu_percent: 50.0,
            guest_percent: 30.0,
            memory: 3 << 20,
            connections: 1,
            faults,
            ..Row::default()
        }
    }

    fn process() -> Process {
        Process {
            cpu_percent: 120.0,
            now: ProcessReport {
                resident: Some(9 << 20),
                metered: 6 << 20,
                threads: Some(7),
                ..ProcessReport::default()
            },
        }
    }

    fn view() -> View {
        let mut view = View::new("admin.sock".to_owned(), By::Export, Sort::Ops);
        let layer = Row {
            layer: Some("0:file".to_owned()),
            ..row("bob", "disk", 512.0, 3)
        };
        let flushes = StorageReport {
            operation: "flush".to_owned(),
            blob: "disk".to_owned(),
            ms: 12_345,
            ..StorageReport::default()
        };
        view.show(
            vec![
                row("alice", "disk", 256.0, 0),
                Row {
                    storage: Some(flushes),
                    ..row("bob", "disk", 512.0, 3)
                },
                layer,
            ],
            process(),
        );
        view
    }

    /// The lines that a terminal shows, without trailing blanks.
    fn shown(view: &mut View) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(120, 7)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let width = usize::from(buffer.area.width);
        let lines = buffer.content.chunks(width).map(|line| {
            let line: String = line.iter().map(|cell| cell.symbol()).collect();
            line.trim_end().to_owned()
        });
        lines.collect()
    }

    fn press(view: &mut View, key: char) -> Wish {
        view.press(KeyEvent::from(KeyCode::Char(key)))
    }

    fn words(line: &str) -> Vec<&str> {
        line.split_whitespace().collect()
    }

    #[test]
    fn sums_rows_and_keys_are_on_the_screen() {
        let lines = shown(&mut view());
        assert_eq!(
            lines[0],
            "admin.sock: 768 ops/s, 3.0 MiB/s, 100 % of a core"
        );
        let process = "process: 120 % of a core, 9 MiB resident, 6 MiB of it metered, 7 threads, ? descriptors, ? mappings";
        assert_eq!(lines[1], process);
        assert_eq!(words(&lines[2]), HEADINGS);
        let bob = "bob disk 1 512 2.0 64us 50 30 3 MiB flush:12s 3";
        assert_eq!(words(&lines[3]).join(" "), bob, "the busiest row is first");
        assert_eq!(words(&lines[4])[..2], ["alice", "disk"]);
        assert_eq!(lines[6], HELP);
    }

    #[test]
    fn keys_sort_scroll_and_end() {
        let mut view = view();
        assert_eq!(press(&mut view, 'n'), Wish::More);
        assert_eq!(words(&shown(&mut view)[3])[0], "alice");
        assert_eq!(press(&mut view, 'f'), Wish::More);
        assert_eq!(words(&shown(&mut view)[3])[0], "bob");
        assert_eq!(press(&mut view, 't'), Wish::More);
        assert_eq!(words(&shown(&mut view)[3])[1], "-", "the sum of a tenant");
        assert_eq!(press(&mut view, 'y'), Wish::More);
        assert_eq!(words(&shown(&mut view)[3])[1], "disk/0:file");
        assert_eq!(press(&mut view, 'e'), Wish::More);
        for _ in 0..9 {
            view.press(KeyEvent::from(KeyCode::Down));
        }
        assert_eq!(
            words(&shown(&mut view)[3])[0],
            "alice",
            "the last row stays in sight"
        );
        assert_eq!(press(&mut view, 'q'), Wish::End);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.press(control_c), Wish::End);
    }

    #[test]
    fn a_server_that_is_gone_is_told_and_the_last_figures_stay() {
        let mut view = view();
        view.fail("can't ask".to_owned());
        let lines = shown(&mut view);
        assert_eq!(lines[0], "can't ask");
        assert_eq!(words(&lines[3])[0], "bob");
    }
}
