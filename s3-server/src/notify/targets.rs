//! The file of `--notify-targets`: whom events may be sent to.
//!
//! ```toml
//! [[target]]
//! name = "backups"
//! type = "webhook"
//! url = "https://hooks.example/s3"
//! token = "what the webhook wants to see"
//! ```
//!
//! Only what stands in this file is ever asked. It is looked at once a second. A token is in no log and in no `Debug` text.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::Uri;
use larder_storage::objects::{AccountId, Queue};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Notify;
use crate::{
    config::Span,
    watched::{DocumentError, WatchedDocument},
};

/// More is no file of targets.
const MAX_BYTES: u64 = 1 << 20;
const MAX_NAME_CHARS: usize = 64;
const DEFAULT_MOST_WAITING: u64 = 100_000;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_PARALLEL: usize = 16;
const MAX_PARALLEL: usize = 256;

/// Somebody who may be told of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// What ARNs call it.
    pub(crate) name: String,
    /// Where its events wait.
    pub(super) queue: Queue,
    /// Whose buckets may have it; `None`: everybody's.
    accounts: Option<Vec<AccountId>>,
    /// Events that wait at most.
    pub(super) most_waiting: u64,
    /// How long it may take for an event.
    pub(super) timeout: Duration,
    /// Events that it gets at a time.
    pub(super) parallel: usize,
    /// How it is told.
    pub(super) means: Means,
}

/// How a target is told of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// `POST` requests.
    Webhook(WebhookSettings),
    /// Messages of NATS.
    Nats(NatsSettings),
    /// Records of a topic of Kafka.
    Kafka(KafkaSettings),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WebhookSettings {
    pub(super) url: Uri,
    pub(super) token: Option<Hidden>,
    pub(super) ca_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NatsSettings {
    pub(super) servers: Vec<String>,
    pub(super) subject: String,
    /// Whether a stream of `JetStream` keeps the messages.
    pub(super) jetstream: bool,
    pub(super) login: Option<Login>,
    pub(super) ca_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KafkaSettings {
    pub(super) brokers: Vec<String>,
    pub(super) topic: String,
    pub(super) sasl: Option<(Sasl, String, Hidden)>,
    pub(super) tls: bool,
    pub(super) ca_file: Option<PathBuf>,
}

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    Token(Hidden),
    User(String, Hidden),
}

/// How a password is shown to Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Sasl {
    Plain,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

/// A text that nobody is shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Hidden(String);

impl Hidden {
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

impl Target {
    /// The word for how it is told.
    pub(crate) fn kind(&self) -> &'static str {
        match self.means {
            Means::Webhook(_) => "webhook",
            Means::Nats(_) => "nats",
            Means::Kafka(_) => "kafka",
        }
    }

    /// Whether the buckets of this account may have it.
    pub(crate) fn serves(&self, account: AccountId) -> bool {
        let accounts = self.accounts.as_ref();
        accounts.is_none_or(|accounts| accounts.contains(&account))
    }
}

/// Targets by their names.
pub(super) type Table = BTreeMap<String, Arc<Target>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default, alias = "targets")]
    target: Vec<Entry>,
}

/// All that may stand in a table; what belongs to which type is checked afterwards.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    accounts: Option<Vec<String>>,
    max_waiting: Option<u64>,
    timeout: Option<Span>,
    parallel: Option<usize>,
    url: Option<String>,
    token: Option<Hidden>,
    ca_file: Option<PathBuf>,
    servers: Option<Vec<String>>,
    subject: Option<String>,
    jetstream: Option<bool>,
    user: Option<String>,
    password: Option<Hidden>,
    brokers: Option<Vec<String>>,
    topic: Option<String>,
    tls: Option<bool>,
    sasl: Option<Sasl>,
}

/// The targets of a file's text.
///
/// # Errors
/// What is wrong, and with which target; never a token.
pub(super) fn parse(text: &str) -> Result<Table, String> {
    let document: Document = toml::from_str(text).map_err(|error| describe(text, &error))?;
    let (mut table, mut queues) = (Table::new(), HashSet::new());
    for entry in document.target {
        let target = entry.into_target()?;
        let name = target.name.clone();
        if !queues.insert(target.queue) || table.insert(name.clone(), Arc::new(target)).is_some() {
            return Err(format!("target `{name}` is there twice"));
        }
    }
    Ok(table)
}

/// Where it is wrong. What stands there is left out.
fn describe(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    let message = error.message();
    let harmless = ["missing field", "unknown field", "duplicate"];
    let message = if harmless.iter().any(|start| message.starts_with(start)) {
        message.lines().next().unwrap_or_default()
    } else {
        "not as it should be: [[target]] tables with name, type and what belongs to the type"
    };
    format!("line {line}: {message}")
}

/// Where the events of the target of this name wait.
fn queue(name: &str) -> Queue {
    let digest = Sha256::digest(name);
    let (start, _) = digest.split_at(8);
    Queue::new(
        start
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

impl Entry {
    fn into_target(self) -> Result<Target, String> {
        let name = self.name.clone();
        self.checked()
            .map_err(|reason| format!("target `{name}`: {reason}"))
    }

    fn checked(mut self) -> Result<Target, String> {
        check_name(&self.name)?;
        let accounts = self.accounts.take().map(|accounts| {
            let parsed = accounts.iter().map(|account| account.parse());
            parsed.collect::<Result<Vec<AccountId>, _>>()
        });
        let accounts = accounts.transpose();
        let timeout = self.timeout.map_or(DEFAULT_TIMEOUT, Span::duration);
        if timeout < Duration::from_millis(100) {
            return Err("timeout: must be at least 100ms".to_owned());
        }
        let parallel = self.parallel.unwrap_or(DEFAULT_PARALLEL);
        if !(1..=MAX_PARALLEL).contains(&parallel) {
            return Err(format!("parallel: must be from 1 to {MAX_PARALLEL}"));
        }
        Ok(Target {
            queue: queue(&self.name),
            accounts: accounts.map_err(|_| "accounts: each must have twelve digits")?,
            most_waiting: self.max_waiting.unwrap_or(DEFAULT_MOST_WAITING),
            timeout,
            parallel,
            means: self.means()?,
            name: self.name,
        })
    }

    fn means(&mut self) -> Result<Means, String> {
        let means = match self.kind.as_str() {
            "webhook" => Means::Webhook(self.webhook()?),
            "nats" => Means::Nats(self.nats()?),
            "kafka" => Means::Kafka(self.kafka()?),
            kind => {
                return Err(format!("type: `{kind}` is none of webhook, nats and kafka"));
            }
        };
        match self.left_over() {
            Some(name) => Err(format!("{name}: not for type {}", self.kind)),
            None => Ok(means),
        }
    }

    fn webhook(&mut self) -> Result<WebhookSettings, String> {
        let url = self.url.take().ok_or("url is missing")?;
        let url: Uri = url.parse().map_err(|_| "url: no address")?;
        let is_http = matches!(url.scheme_str(), Some("http" | "https"));
        let authority = url.authority().map_or("", |authority| authority.as_str());
        if !is_http || authority.is_empty() || authority.contains('@') {
            return Err("url: must be http://HOST… or https://HOST…, without a user".to_owned());
        }
        Ok(WebhookSettings {
            url,
            token: self.token.take(),
            ca_file: self.ca_file.take(),
        })
    }

    fn nats(&mut self) -> Result<NatsSettings, String> {
        let servers = some(self.servers.take()).ok_or("servers is missing")?;
        let is_server = |server: &String| {
            let host = ["nats://", "tls://"]
                .iter()
                .find_map(|scheme| server.strip_prefix(scheme));
            host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
        };
        if !servers.iter().all(is_server) {
            return Err(
                "servers: each must be nats://HOST:PORT or tls://HOST:PORT, without a user"
                    .to_owned(),
            );
        }
        let subject = self.subject.take().ok_or("subject is missing")?;
        let is_subject = subject
            .split('.')
            .all(|token| !token.is_empty() && !token.contains(['*', '>']));
        if !is_subject || subject.contains(char::is_whitespace) {
            return Err("subject: must be tokens with dots between, without wildcards".to_owned());
        }
        let login = match (self.token.take(), self.user.take(), self.password.take()) {
            (None, None, None) => None,
            (Some(token), None, None) => Some(Login::Token(token)),
            (None, Some(user), Some(password)) => Some(Login::User(user, password)),
            _ => return Err("a login is a token, or user and password".to_owned()),
        };
        Ok(NatsSettings {
            servers,
            subject,
            jetstream: self.jetstream.take().unwrap_or(true),
            login,
            ca_file: self.ca_file.take(),
        })
    }

    fn kafka(&mut self) -> Result<KafkaSettings, String> {
        let brokers = some(self.brokers.take()).ok_or("brokers is missing")?;
        let is_broker = |broker: &String| {
            let port = broker.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            port.is_some_and(|port| port.is_ok())
        };
        if !brokers.iter().all(is_broker) {
            return Err("brokers: each must be HOST:PORT".to_owned());
        }
        let sasl = match (self.user.take(), self.password.take(), self.sasl.take()) {
            (None, None, None) => None,
            (Some(user), Some(password), how) => {
                Some((how.unwrap_or(Sasl::ScramSha512), user, password))
            }
            _ => return Err("a login is user and password".to_owned()),
        };
        Ok(KafkaSettings {
            brokers,
            topic: some(self.topic.take()).ok_or("topic is missing")?,
            sasl,
            tls: self.tls.take().unwrap_or(false),
            ca_file: self.ca_file.take(),
        })
    }

    /// A setting that the type of target did not take.
    fn left_over(&self) -> Option<&'static str> {
        let settings = [
            ("url", self.url.is_some()),
            ("token", self.token.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("servers", self.servers.is_some()),
            ("subject", self.subject.is_some()),
            ("jetstream", self.jetstream.is_some()),
            ("user", self.user.is_some()),
            ("password", self.password.is_some()),
            ("brokers", self.brokers.is_some()),
            ("topic", self.topic.is_some()),
            ("tls", self.tls.is_some()),
            ("sasl", self.sasl.is_some()),
        ];
        let left = settings.into_iter().find(|(_, is_left)| *is_left);
        left.map(|(name, _)| name)
    }
}

/// What has something in it.
fn some<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

fn check_name(name: &str) -> Result<(), String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !name.is_empty() && name.len() <= MAX_NAME_CHARS && name.bytes().all(good) {
        return Ok(());
    }
    Err(format!(
        "a name has 1 to {MAX_NAME_CHARS} letters, digits, - and _"
    ))
}

/// The file at `path`, read for the first time, to be watched. Blocks.
///
/// # Errors
/// The file can't be read, or has not the right form: the operator corrects it.
pub fn open(path: &Path, notify: &Arc<Notify>) -> Result<WatchedDocument, DocumentError> {
    let notify = Arc::clone(notify);
    WatchedDocument::open("notification targets", path, MAX_BYTES, move |text| {
        let found = parse(text)?;
        let count = found.len();
        notify.set_targets(found);
        Ok(count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOOK: &str = "[[target]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"https://hooks.example/x\"\ntoken = \"sesame\"\n";

    #[test]
    fn a_webhook_has_defaults_and_hides_its_token() {
        let table = parse(HOOK).unwrap();
        let target = &table["hook"];
        assert_eq!((target.kind(), target.most_waiting), ("webhook", 100_000));
        assert!(target.serves(AccountId::default()));
        assert!(!format!("{target:?}").contains("sesame"));
        let few = parse(&format!("{HOOK}accounts = [\"000000000005\"]\n")).unwrap();
        assert!(!few["hook"].serves(AccountId::default()));
        assert!(few["hook"].serves(AccountId::from_number(5).unwrap()));
    }

    #[test]
    fn nats_and_kafka_have_settings_of_their_own() {
        let nats = "[[target]]\nname = \"n\"\ntype = \"nats\"\nservers = [\"tls://a:4222\"]\nsubject = \"s3.events\"\n";
        let kafka =
            "[[target]]\nname = \"k\"\ntype = \"kafka\"\nbrokers = [\"a:9092\"]\ntopic = \"t\"\n";
        let table = parse(&format!(
            "{nats}{kafka}user = \"u\"\npassword = \"sesame\"\nsasl = \"scram-sha-256\"\n"
        ))
        .unwrap();
        assert!(
            matches!(&table["n"].means, Means::Nats(nats) if nats.jetstream && nats.login.is_none())
        );
        assert!(
            matches!(&table["k"].means, Means::Kafka(kafka) if matches!(kafka.sasl, Some((Sasl::ScramSha256, ..))))
        );
        assert!(!format!("{table:?}").contains("sesame"));
        for (text, what) in [
            (nats.replace("tls:", "http:"), "servers"),
            (nats.replace("s3.events", "s3.*"), "subject"),
            (format!("{nats}user = \"u\"\n"), "login"),
            (format!("{nats}topic = \"t\"\n"), "topic: not for type nats"),
            (kafka.replace("a:9092", "a"), "brokers"),
            (kafka.replace("\"t\"", "\"\""), "topic is missing"),
            (format!("{kafka}sasl = \"plain\"\n"), "login"),
        ] {
            let wrong = parse(&text).unwrap_err();
            assert!(wrong.contains(what), "{wrong}");
        }
    }

    #[test]
    fn mistakes_are_named_and_tokens_are_not() {
        for (text, what) in [
            (HOOK.repeat(2), "there twice"),
            (HOOK.replace("webhook", "pigeon"), "type"),
            (
                HOOK.replace("https://hooks.example/x", "file:///etc"),
                "url",
            ),
            (HOOK.replace("https://hooks", "https://user@hooks"), "url"),
            (HOOK.replace("\"hook\"", "\"a:b\""), "name"),
            (
                HOOK.replace("url = \"https://hooks.example/x\"\n", ""),
                "url is missing",
            ),
            (format!("{HOOK}colour = 1\n"), "unknown field `colour`"),
            (format!("{HOOK}parallel = 0\n"), "parallel"),
            (format!("{HOOK}timeout = \"1ms\"\n"), "timeout"),
            (format!("{HOOK}accounts = [\"5\"]\n"), "accounts"),
            (HOOK.replace("\"sesame\"", "[\"sesame\"]"), "line 5"),
        ] {
            let wrong = parse(&text).unwrap_err();
            assert!(wrong.contains(what) && !wrong.contains("sesame"), "{wrong}");
        }
    }
}
