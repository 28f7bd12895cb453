//! Prometheus' text format, version 0.0.4.

use std::fmt::Display;

/// What a figure does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the server starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A text that grows by families.
#[derive(Debug, Default)]
pub struct Exposition(String);

/// The samples of one name.
#[derive(Debug)]
pub struct Family<'a> {
    out: &'a mut String,
    name: &'a str,
}

impl Exposition {
    /// Begins a family. `name` ends in its unit, and in `_total` for a [`Kind::Counter`]; each may begin once.
    pub fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.0.extend([
            "# HELP ",
            name,
            " ",
            help,
            "\n# TYPE ",
            name,
            " ",
            kind,
            "\n",
        ]);
        Family {
            out: &mut self.0,
            name,
        }
    }

    /// The whole text.
    pub fn into_text(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// One value. The values that a label may have are few: operations, codes, disks; never buckets or keys.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.out.push_str(self.name);
        let pairs = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        let pairs: Vec<_> = pairs.collect();
        if !pairs.is_empty() {
            self.out.extend(["{", &pairs.join(","), "}"]);
        }
        self.out.extend([" ", &value.to_string(), "\n"]);
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let mut out = Exposition::default();
        out.family("larder_a_total", Kind::Counter, "A.")
            .sample(&[], 1);
        let mut family = out.family("larder_b_bytes", Kind::Gauge, "B.");
        family.sample(&[("disk", "/a\\\"b\n"), ("code", "OK")], 2);
        family.sample(&[("disk", "c")], 0.5);
        assert_eq!(
            out.into_text(),
            "# HELP larder_a_total A.\n# TYPE larder_a_total counter\nlarder_a_total 1\n\
             # HELP larder_b_bytes B.\n# TYPE larder_b_bytes gauge\n\
             larder_b_bytes{disk=\"/a\\\\\\\"b\\n\",code=\"OK\"} 2\nlarder_b_bytes{disk=\"c\"} 0.5\n"
        );
    }
}
