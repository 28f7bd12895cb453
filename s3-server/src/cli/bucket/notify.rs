//! `larder bucket notify`.

use clap::{ArgGroup, Args};
use quick_xml::escape::escape;
use serde::Serialize;
use serde_json::json;

use crate::cli::{
    Outcome,
    api_error::ApiResult,
    connection::AskArgs,
    element::Element,
    print, print_json,
    s3_client::S3Client,
    table::{Lean, Table},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  larder bucket notify backups                                          # show
  larder bucket notify backups --target hook --event 's3:ObjectCreated:*' --suffix .gz
  larder bucket notify backups --remove ID                              # one of those that are shown
  larder bucket notify backups --none
Targets are what the server's operator has named; see docs/notifications.md.";

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").args(["target", "remove", "none"])))]
pub(super) struct NotifyArgs {
    /// Its name.
    bucket: String,
    /// Tell this target too: its name, or an ARN.
    #[arg(long, requires = "events")]
    target: Option<String>,
    /// Of this, such as s3:ObjectCreated:* or s3:ObjectRemoved:*. May be given several times.
    #[arg(long = "event", value_name = "EVENT", requires = "target")]
    events: Vec<String>,
    /// Only of objects whose keys begin so.
    #[arg(long, requires = "target")]
    prefix: Option<String>,
    /// Only of objects whose keys end so.
    #[arg(long, requires = "target")]
    suffix: Option<String>,
    /// What this is called [default: it is made up].
    #[arg(long, requires = "target")]
    id: Option<String>,
    /// Tell no more what is called so.
    #[arg(long, value_name = "ID")]
    remove: Option<String>,
    /// Tell nobody anything any more.
    #[arg(long)]
    none: bool,
    #[command(flatten)]
    ask: AskArgs,
}

/// Who is told of what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Rule {
    id: String,
    target: String,
    events: Vec<String>,
    prefix: Option<String>,
    suffix: Option<String>,
}

/// The elements that rules come in, and in each that of its target.
const KINDS: [(&str, &str, &str); 3] = [
    ("QueueConfiguration", "Queue", ":sqs:"),
    ("TopicConfiguration", "Topic", ":sns:"),
    ("CloudFunctionConfiguration", "CloudFunction", ":lambda:"),
];

impl Rule {
    fn of(element: &Element) -> Option<Self> {
        let known = KINDS.iter().find(|(kind, ..)| *kind == element.name());
        let (_, target, _) = known?;
        let events = element.children().filter(|child| child.name() == "Event");
        let filter = element.list("Filter/S3Key").iter();
        let filter = |name: &str| {
            let mut rules = filter.clone();
            let rule = rules.find(|rule| rule.get("Name").eq_ignore_ascii_case(name));
            rule.map(|rule| rule.get("Value"))
        };
        Some(Self {
            id: element.get("Id"),
            target: element.get(target),
            events: events.map(|event| event.text().to_owned()).collect(),
            prefix: filter("prefix"),
            suffix: filter("suffix"),
        })
    }

    fn xml(&self) -> String {
        let of_target = KINDS.iter().find(|(.., part)| self.target.contains(part));
        let (kind, target, _) = of_target.unwrap_or(&KINDS[0]);
        let text = |name: &str, value: &str| format!("<{name}>{}</{name}>", escape(value));
        let id = if self.id.is_empty() {
            String::new()
        } else {
            text("Id", &self.id)
        };
        let events: Vec<_> = self
            .events
            .iter()
            .map(|event| text("Event", event))
            .collect();
        let rule = |name: &str, value: &Option<String>| {
            value.as_ref().map_or(String::new(), |value| {
                let (name, value) = (text("Name", name), text("Value", value));
                format!("<FilterRule>{name}{value}</FilterRule>")
            })
        };
        let rules = rule("prefix", &self.prefix) + &rule("suffix", &self.suffix);
        let filter = if rules.is_empty() {
            String::new()
        } else {
            format!("<Filter><S3Key>{rules}</S3Key></Filter>")
        };
        let target = text(target, &self.target);
        format!("<{kind}>{id}{target}{}{filter}</{kind}>", events.concat())
    }
}

fn rules(client: &S3Client, bucket: &str) -> ApiResult<Vec<Rule>> {
    let found = client.get(bucket, "notification")?;
    Ok(found.children().filter_map(Rule::of).collect())
}

fn set(client: &S3Client, bucket: &str, rules: &[Rule]) -> ApiResult<()> {
    let rules: Vec<_> = rules.iter().map(Rule::xml).collect();
    let xml = format!(
        "<NotificationConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{}</NotificationConfiguration>",
        rules.concat()
    );
    let set = client.put(bucket, "notification", &[], xml);
    set.map_err(|error| error.or_hint(hint))
}

fn hint(code: &str) -> Option<String> {
    let hint = "a target is one that the server's operator has named (larder server --notify-targets), events are S3's, such as s3:ObjectCreated:*";
    (code == "InvalidArgument").then(|| hint.to_owned())
}

pub(super) fn run(args: &NotifyArgs) -> Outcome {
    let (client, bucket) = (S3Client::new(&args.ask.connection)?, &args.bucket);
    if let Some(target) = &args.target {
        let mut all = rules(&client, bucket)?;
        all.push(Rule {
            id: args.id.clone().unwrap_or_default(),
            target: arn(&client, target),
            events: args.events.clone(),
            prefix: args.prefix.clone(),
            suffix: args.suffix.clone(),
        });
        set(&client, bucket, &all)?;
    }
    if let Some(id) = &args.remove {
        let mut all = rules(&client, bucket)?;
        let before = all.len();
        all.retain(|rule| rule.id != *id);
        if all.len() == before {
            return Err(format!(
                "nothing is called {id}: larder bucket notify {bucket} shows what there is"
            )
            .into());
        }
        set(&client, bucket, &all)?;
    }
    if args.none {
        set(&client, bucket, &[])?;
    }
    show(&client, args)
}

fn arn(client: &S3Client, target: &str) -> String {
    if target.starts_with("arn:") {
        return target.to_owned();
    }
    format!("arn:aws:sqs:{}::{target}", client.connection.region)
}

fn show(client: &S3Client, args: &NotifyArgs) -> Outcome {
    let (bucket, all) = (&args.bucket, rules(client, &args.bucket)?);
    if args.ask.json {
        return print_json(&json!({ "bucket": bucket, "notifications": all }));
    }
    if all.is_empty() {
        return Ok(print(&format!(
            "bucket {bucket} tells nobody: larder bucket notify {bucket} --target TARGET --event 's3:ObjectCreated:*'\n"
        ))?);
    }
    let mut table = Table::new([
        ("ID", Lean::Left),
        ("TARGET", Lean::Left),
        ("EVENTS", Lean::Left),
        ("PREFIX", Lean::Left),
        ("SUFFIX", Lean::Left),
    ]);
    for rule in all {
        let [prefix, suffix] = [rule.prefix, rule.suffix].map(Option::unwrap_or_default);
        let events = rule.events.join(", ");
        table.row([rule.id, rule.target, events, prefix, suffix]);
    }
    Ok(print(&table.text())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        let text = |text: &str| Some(text.to_owned());
        for arn in [
            "arn:aws:sqs:r::a",
            "arn:aws:sns:r::a",
            "arn:aws:lambda:r::function:a",
        ] {
            for (prefix, suffix) in [(None, None), (text("a&b"), None), (text("p/"), text(".gz"))] {
                let rule = Rule {
                    id: "<id>".to_owned(),
                    target: arn.to_owned(),
                    events: vec![
                        "s3:ObjectCreated:*".to_owned(),
                        "s3:ObjectRemoved:*".to_owned(),
                    ],
                    prefix,
                    suffix,
                };
                let element = Element::parse(rule.xml().as_bytes()).unwrap();
                assert_eq!(Rule::of(&element), Some(rule));
            }
        }
    }
}
