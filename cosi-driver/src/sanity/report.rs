//! What came of the checks: a line each, or one document of JSON.

use serde::Serialize;

use super::{checks::Check, say};
use crate::cli::Failure;

/// Why a check is not ok.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOk {
    /// The driver is not as it must be.
    Failed(String),
    /// It could not be checked.
    Skipped(String),
}

/// What a check ends with.
pub type Checked = Result<(), NotOk>;

/// The driver is not as it must be.
pub fn failed(why: impl Into<String>) -> NotOk {
    NotOk::Failed(why.into())
}

/// It could not be checked.
pub fn skipped(why: impl Into<String>) -> NotOk {
    NotOk::Skipped(why.into())
}

/// All that came of it so far.
#[derive(Debug)]
pub struct Report {
    json: bool,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    result: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

impl Report {
    /// With nothing in it.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            lines: Vec::new(),
        }
    }

    /// A check was made.
    ///
    /// # Errors
    /// Nobody reads it.
    pub fn add(&mut self, check: &Check, checked: Checked) -> Result<(), Failure> {
        let (result, why) = match checked {
            Ok(()) => ("ok", String::new()),
            Err(NotOk::Failed(why)) => (
                "FAILED",
                format!("{why} [{}: {}]", check.source, check.what),
            ),
            Err(NotOk::Skipped(why)) => ("skipped", why),
        };
        let line = Line {
            name: check.name,
            result,
            why,
        };
        if !self.json {
            say(&line.text())?;
        }
        self.lines.push(line);
        Ok(())
    }

    /// All checks were made; `left` is what could not be removed.
    ///
    /// # Errors
    /// Nobody reads it.
    pub fn end(&self, left: &[String]) -> Result<(), Failure> {
        let count = |result| self.lines.iter().filter(|it| it.result == result).count();
        let (ok, failed, skipped) = (count("ok"), count("FAILED"), count("skipped"));
        if self.json {
            let document = serde_json::json!({
                "checks": self.lines, "ok": ok, "failed": failed, "skipped": skipped, "left": left,
            });
            return say(&document.to_string());
        }
        if !left.is_empty() {
            say(&format!("left behind: {}", left.join(", ")))?;
        }
        say(&format!("{ok} ok, {failed} failed, {skipped} skipped"))
    }

    /// Something was checked, and nothing failed.
    pub fn is_good(&self) -> bool {
        self.lines.iter().any(|it| it.result == "ok")
            && self.lines.iter().all(|it| it.result != "FAILED")
    }
}

impl Line {
    fn text(&self) -> String {
        let Self { name, result, why } = self;
        let line = format!("{result:<8}{name:<34}{why}");
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_came_of_it() {
        let line = |result, why: &str| Line {
            name: "create-idempotent",
            result,
            why: why.to_owned(),
        };
        assert_eq!(line("ok", "").text(), "ok      create-idempotent");
        let text = line("FAILED", "two identifiers").text();
        assert_eq!(
            text,
            format!("FAILED  {:<34}two identifiers", "create-idempotent")
        );
    }

    #[test]
    fn a_run_that_checked_nothing_is_not_good() {
        let mut report = Report::new(true);
        let check = &crate::sanity::checks::ALL[0];
        report.add(check, Err(skipped("no"))).unwrap();
        assert!(!report.is_good());
        report.add(check, Ok(())).unwrap();
        assert!(report.is_good());
        report.add(check, Err(failed("no"))).unwrap();
        assert!(!report.is_good());
    }
}
