//! Tables for people.

/// Which way the cells of a column lean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lean {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A header and rows; columns are as wide as their widest cell.
#[derive(Clone, Debug)]
pub(super) struct Table<const N: usize> {
    columns: [(&'static str, Lean); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub(super) fn new(columns: [(&'static str, Lean); N]) -> Self {
        let rows = Vec::new();
        Self { columns, rows }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// The lines, each with its end.
    pub(super) fn text(&self) -> String {
        let header = self.columns.map(|(name, _)| name.to_owned());
        let all: Vec<_> = std::iter::once(&header).chain(&self.rows).collect();
        let width = |i: usize| all.iter().map(|row| row[i].chars().count()).max();
        let widths: [usize; N] = std::array::from_fn(|i| width(i).unwrap_or(0));
        all.iter().map(|row| self.line(row, widths)).collect()
    }

    fn line(&self, row: &[String; N], widths: [usize; N]) -> String {
        let mut line = String::new();
        for ((cell, width), (_, lean)) in row.iter().zip(widths).zip(self.columns) {
            let cell = match lean {
                Lean::Left => format!("{cell:<width$}  "),
                Lean::Right => format!("{cell:>width$}  "),
            };
            line.push_str(&cell);
        }
        line.truncate(line.trim_end().len());
        line + "\n"
    }
}

/// What is known of one thing, a line for each fact. Facts that are empty are left out.
pub(super) fn facts<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = Table::new([("", Lean::Left), ("", Lean::Left)]);
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        table.row([name.to_owned(), value]);
    }
    let text = table.text();
    text.split_once('\n')
        .map_or(String::new(), |(_, rows)| rows.to_owned())
}

/// A number of bytes.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut scaled = u128::from(count) * 10;
    while scaled >= 10_240 && unit + 1 < UNITS.len() {
        scaled /= 1024;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{}.{} {}", scaled / 10, scaled % 10, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 40), "3.0 TiB");
        assert_eq!(bytes(u64::MAX), "16383.9 PiB");
    }

    #[test]
    fn facts_have_a_line_each() {
        let row = |name, value: &str| (name, value.to_owned());
        let rows = [row("user", "a"), row("path", ""), row("access key", "b")];
        assert_eq!(facts(rows), "user        a\naccess key  b\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([("DISK", Lean::Left), ("FREE", Lean::Right)]);
        table.row(["/mnt/ü".to_owned(), "1".to_owned()]);
        table.row(["/".to_owned(), "12345".to_owned()]);
        assert_eq!(
            table.text(),
            "DISK     FREE\n/mnt/ü      1\n/       12345\n"
        );
    }
}
