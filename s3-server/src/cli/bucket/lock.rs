//! `larder bucket lock`.

use std::{fmt, str::FromStr};

use clap::Args;
use serde_json::json;

use crate::cli::{
    Outcome, Usage,
    api_error::{ApiError, ApiResult},
    connection::AskArgs,
    element::Element,
    print, print_json,
    s3_client::S3Client,
    table::facts,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  larder bucket lock archive                          # show
  larder bucket lock archive --retain 30d             # who may bypass governance can delete all the same
  larder bucket lock archive --retain 7y --compliance # nobody can, not even the operator's root
  larder bucket lock archive --none                   # new objects are not locked by themselves; locked ones stay so";

#[derive(Debug, Args)]
pub(super) struct LockArgs {
    /// Its name.
    bucket: String,
    #[command(flatten)]
    retention: Retention,
    /// New objects are not locked by themselves any more.
    #[arg(long, conflicts_with_all = ["retain", "compliance"])]
    none: bool,
    #[command(flatten)]
    ask: AskArgs,
}

/// For how long new objects are locked, and for whom.
#[derive(Clone, Debug, Args)]
pub(super) struct Retention {
    /// Lock each new object for so many days or years, such as 30d or 7y.
    #[arg(long, value_name = "TIME")]
    retain: Option<Period>,
    /// In compliance mode: nobody can take it back or make it shorter. Otherwise who may bypass governance can.
    #[arg(long, requires = "retain")]
    compliance: bool,
}

impl Retention {
    pub(super) fn rule(&self) -> Option<Rule> {
        let period = self.retain?;
        let mode = if self.compliance {
            "COMPLIANCE"
        } else {
            "GOVERNANCE"
        };
        let mode = mode.to_owned();
        Some(Rule { mode, period })
    }
}

/// Days or years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Period {
    Days(u32),
    Years(u32),
}

impl FromStr for Period {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "write days or years, such as 30d or 7y";
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or(WRONG);
        match (text.strip_suffix('d'), text.strip_suffix('y')) {
            (Some(days), _) => number(days).map(Self::Days),
            (_, Some(years)) => number(years).map(Self::Years),
            _ => Err(WRONG),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days(1) => f.write_str("1 day"),
            Self::Days(days) => write!(f, "{days} days"),
            Self::Years(1) => f.write_str("1 year"),
            Self::Years(years) => write!(f, "{years} years"),
        }
    }
}

/// What new objects are locked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    mode: String,
    period: Period,
}

impl Rule {
    fn of(lock: &Element) -> Option<Self> {
        let rule = lock.at("Rule/DefaultRetention")?;
        let number = |name: &str| rule.get(name).parse().ok();
        let period = number("Days").map(Period::Days);
        let period = period.or_else(|| number("Years").map(Period::Years))?;
        let mode = rule.get("Mode");
        Some(Self { mode, period })
    }

    fn xml(&self) -> String {
        let (unit, count) = match self.period {
            Period::Days(count) => ("Days", count),
            Period::Years(count) => ("Years", count),
        };
        let mode = &self.mode;
        format!(
            "<Rule><DefaultRetention><Mode>{mode}</Mode><{unit}>{count}</{unit}></DefaultRetention></Rule>"
        )
    }
}

pub(super) fn run(args: &LockArgs) -> Outcome {
    if args.retention.compliance && args.retention.retain.is_none() {
        return Err(Usage("--compliance needs --retain".to_owned()).into());
    }
    let client = S3Client::new(&args.ask.connection)?;
    let rule = args.retention.rule();
    if rule.is_some() || args.none {
        set(&client, &args.bucket, rule.as_ref())?;
    }
    show(&client, args)
}

/// Sets what new objects are locked by.
pub(super) fn set(client: &S3Client, bucket: &str, rule: Option<&Rule>) -> ApiResult<()> {
    let rule = rule.map_or(String::new(), Rule::xml);
    let xml = format!(
        "<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}</ObjectLockConfiguration>"
    );
    let set = client.put(bucket, "object-lock", &[], xml);
    set.map_err(|error| match error.code() {
        "InvalidBucketState" => error.or_hint(|_| None),
        _ => error,
    })
}

fn lock_of(client: &S3Client, bucket: &str) -> ApiResult<Option<Element>> {
    match client.get(bucket, "object-lock") {
        Ok(lock) => Ok(Some(lock)),
        Err(ApiError::Refused { code, .. }) if code == "ObjectLockConfigurationNotFoundError" => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn show(client: &S3Client, args: &LockArgs) -> Outcome {
    let (bucket, lock) = (&args.bucket, lock_of(client, &args.bucket)?);
    let rule = lock.as_ref().and_then(Rule::of);
    if args.ask.json {
        let retention = rule.map(|rule| {
            let (days, years) = match rule.period {
                Period::Days(days) => (Some(days), None),
                Period::Years(years) => (None, Some(years)),
            };
            json!({ "mode": rule.mode, "days": days, "years": years })
        });
        return print_json(&json!({
            "bucket": bucket,
            "object_lock": lock.is_some(),
            "default_retention": retention,
        }));
    }
    let can = match &lock {
        Some(_) => "on".to_owned(),
        None => format!(
            "off: larder bucket versioning {bucket} enable, then larder bucket lock {bucket} --retain 30d"
        ),
    };
    let by_itself = match &rule {
        Some(Rule { mode, period }) => format!("{period}, {}", mode.to_lowercase()),
        None => "for no time, unless its request says so".to_owned(),
    };
    let by_itself = if lock.is_some() {
        by_itself
    } else {
        String::new()
    };
    Ok(print(&facts([
        ("bucket", bucket.clone()),
        ("lock", can),
        ("new objects", by_itself),
    ]))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_days_or_years() {
        assert_eq!("30d".parse(), Ok(Period::Days(30)));
        assert_eq!("1y".parse(), Ok(Period::Years(1)));
        for wrong in ["", "30", "d", "0d", "-1d", "1w", "30 d"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        for period in [Period::Days(30), Period::Years(7)] {
            let mode = "COMPLIANCE".to_owned();
            let rule = Rule { mode, period };
            let xml = format!(
                "<ObjectLockConfiguration>{}</ObjectLockConfiguration>",
                rule.xml()
            );
            let element = Element::parse(xml.as_bytes()).unwrap();
            assert_eq!(Rule::of(&element), Some(rule));
        }
    }
}
