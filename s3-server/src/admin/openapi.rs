//! The description of all that is below `/_larder/`, made of the very types that are read and written: `docs/admin-api.json`, in `OpenAPI` 3.1.
//!
//! After a change: `LARDER_REGENERATE=1 cargo test -p larder-server --lib openapi`.

use std::{collections::BTreeMap, fs, path::Path};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    ErrorDocument, METRICS_PATH, V1, accounts, buckets, disks, encryption, endpoint::ENDPOINTS,
    heal, scrub, status, verify,
};

const FILE: &str = "../docs/admin-api.json";
const PAGE: &str = "../docs/admin-api.md";
const AGAIN: &str = "LARDER_REGENERATE=1 cargo test -p larder-server --lib openapi";

type Of = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// One endpoint in words and types.
struct Described {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// Of the query.
    parameters: &'static [(&'static str, &'static str)],
    body: Option<Of>,
    answer: Of,
    /// The answer is lines of JSON.
    in_lines: bool,
}

impl Described {
    const fn get(path: &'static str, answer: Of, summary: &'static str) -> Self {
        Self {
            method: "GET",
            path,
            summary,
            parameters: &[],
            body: None,
            answer,
            in_lines: false,
        }
    }

    const fn post(path: &'static str, body: Option<Of>, answer: Of, summary: &'static str) -> Self {
        Self {
            method: "POST",
            body,
            ..Self::get(path, answer, summary)
        }
    }

    const fn with(self, parameters: &'static [(&'static str, &'static str)]) -> Self {
        Self { parameters, ..self }
    }

    const fn lines(self) -> Self {
        Self {
            in_lines: true,
            ..self
        }
    }
}

const INTERVAL: &[(&str, &str)] = &[(
    "interval",
    "Time between two lines, such as `2s`, which is the default; at least `1s`.",
)];

fn all() -> Vec<Described> {
    let get = Described::get;
    let post = Described::post;
    vec![
        get(accounts::PATH, of::<accounts::AccountList>, "All accounts with usage and quota, without their secrets."),
        post(accounts::ADD_PATH, Some(of::<accounts::Add>), of::<accounts::NewKey>, "Adds an account that the server keeps; its key pair is shown this once."),
        post(accounts::QUOTA_PATH, Some(of::<accounts::AccountQuotaChange>), of::<accounts::AccountEntry>, "Sets how much may be in all buckets of an account together."),
        post(accounts::REMOVE_PATH, Some(of::<accounts::Which>), of::<accounts::AccountEntry>, "Removes an account that owns no buckets and has no users, groups, roles or policies."),
        post(accounts::ROTATE_PATH, Some(of::<accounts::Which>), of::<accounts::NewKey>, "Gives an account a new key pair, shown this once; the old one is void at once."),
        get(buckets::PATH, of::<buckets::BucketList>, "All buckets with usage, quota and profile.")
            .with(&[("bucket", "Only the bucket of this name.")]),
        post(buckets::PROFILE_PATH, Some(of::<buckets::ProfileChange>), of::<buckets::BucketEntry>, "Sets how new objects of a bucket are coded."),
        post(buckets::QUOTA_PATH, Some(of::<buckets::QuotaChange>), of::<buckets::BucketEntry>, "Sets how much may be in a bucket."),
        get(disks::PATH, of::<disks::DiskList>, "All disks: number, directory, state, space, and what has to leave them."),
        post(disks::ADD_PATH, Some(of::<disks::Add>), of::<disks::DiskChanged>, "Makes an empty directory a further disk."),
        post(disks::CANCEL_DRAIN_PATH, Some(of::<disks::Which>), of::<disks::DiskChanged>, "Uses a disk again that is being drained."),
        post(disks::DRAIN_PATH, Some(of::<disks::Which>), of::<disks::DiskChanged>, "Moves all that a disk holds to the others, so that it can be removed."),
        post(disks::REMOVE_PATH, Some(of::<disks::Remove>), of::<disks::DiskChanged>, "Forgets a disk that is drained."),
        post(disks::REPLACE_PATH, Some(of::<disks::Replace>), of::<disks::DiskChanged>, "Puts an empty directory in the place of a disk that failed."),
        get(encryption::PATH, of::<encryption::EncryptionDocument>, "The master keys, and how far sealing anew is."),
        post(encryption::REWRAP_PATH, None, of::<encryption::EncryptionDocument>, "Has all that other master keys sealed be sealed by the first one."),
        get(encryption::WATCH_PATH, of::<encryption::EncryptionDocument>, "The same as `encryption` again and again.").with(INTERVAL).lines(),
        get(heal::PATH, of::<heal::HealDocument>, "What lacks redundancy, and how far healing is."),
        post(heal::PACE_PATH, Some(of::<heal::PaceChange>), of::<heal::HealDocument>, "Sets how fast healing goes; remembered over restarts."),
        post(heal::PAUSE_PATH, None, of::<heal::HealDocument>, "Stops healing, also over restarts."),
        post(heal::START_PATH, None, of::<heal::HealDocument>, "Looks at everything now and heals; goes on after a pause."),
        get(heal::WATCH_PATH, of::<heal::HealDocument>, "The state of healing again and again.").with(INTERVAL).lines(),
        get(scrub::PATH, of::<scrub::ScrubStatus>, "What the scrub does, and when each disk and bucket (a thousand at most) was last read whole."),
        post(scrub::PACE_PATH, Some(of::<scrub::PaceChange>), of::<scrub::ScrubStatus>, "Sets how fast it may go; remembered over restarts."),
        post(scrub::PAUSE_PATH, None, of::<scrub::ScrubStatus>, "Stops it where it is, also over restarts."),
        post(scrub::START_PATH, Some(of::<scrub::Start>), of::<scrub::ScrubStatus>, "Goes on with the pass under way, or begins one now."),
        get(status::PATH, of::<status::ServerStatus>, "Version, disks, space, degraded objects."),
        get(status::WATCH_PATH, of::<status::ServerStatus>, "The status again and again.").with(INTERVAL).lines(),
        post(verify::PATH, Some(of::<verify::VerifyRequest>), of::<verify::VerifyLine>, "Reads and proves everything under a prefix: first `total`, then `progress`, `degraded` and `unreadable`, last `done`. Whoever asked and goes away ends it.").lines(),
    ]
}

/// Requests may leave out what answers always have.
struct Generators {
    of_requests: SchemaGenerator,
    of_answers: SchemaGenerator,
}

impl Generators {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self {
            of_requests: settings.clone().for_deserialize().into_generator(),
            of_answers: settings.for_serialize().into_generator(),
        }
    }

    fn schemas(mut self) -> BTreeMap<String, Value> {
        let of_requests = self.of_requests.take_definitions(true);
        let mut all: BTreeMap<_, _> = of_requests.into_iter().collect();
        for (name, schema) in self.of_answers.take_definitions(true) {
            let before = all.insert(name.clone(), schema.clone());
            assert!(
                before.is_none_or(|before| before == schema),
                "{name} is a request and an answer, or two types: give one another name with #[schemars(rename)]"
            );
        }
        all
    }
}

/// The whole document.
fn document() -> Value {
    let mut generators = Generators::new();
    let error = generators.of_answers.subschema_for::<ErrorDocument>();
    let mut paths = BTreeMap::<String, Map<String, Value>>::new();
    for described in all() {
        let operation = operation(&described, &mut generators);
        let path = format!("{V1}{}", described.path);
        let method = described.method.to_lowercase();
        paths.entry(path).or_default().insert(method, operation);
    }
    let metrics = json!({ "get": {
        "operationId": "getMetrics",
        "summary": "Metrics, for Prometheus.",
        "security": [{ "signature": [] }, { "token": [] }],
        "responses": {
            "200": { "description": "In Prometheus' format.", "content": { "text/plain": { "schema": { "type": "string" } } } },
            "4XX": { "$ref": "#/components/responses/Refused" },
        },
    }});
    let mut paths: Map<_, _> = paths
        .into_iter()
        .map(|(path, item)| (path, item.into()))
        .collect();
    paths.insert(METRICS_PATH.to_owned(), metrics);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Larder's admin API",
            "version": "1",
            "summary": "What the command line asks a running server, where S3 and IAM have no word for it.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:9000" }],
        "security": [{ "signature": [] }],
        "paths": paths,
        "components": {
            "schemas": generators.schemas(),
            "responses": { "Refused": {
                "description": "What is wrong, and what to do.",
                "content": { "application/json": { "schema": error } },
            }},
            "securitySchemes": {
                "signature": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "AWS's Signature Version 4, for the service `s3`, by the server's root credentials.",
                },
                "token": {
                    "type": "http", "scheme": "bearer",
                    "description": "The token of LARDER_METRICS_TOKEN.",
                },
            },
        },
    })
}

/// `disks/cancel-drain` → `postDisksCancelDrain`.
fn operation_id(described: &Described) -> String {
    let words = described.path.split(['/', '-']).map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    described.method.to_lowercase() + &words.collect::<String>()
}

fn operation(described: &Described, generators: &mut Generators) -> Value {
    let parameter = |(name, description): &(&str, &str)| json!({ "name": name, "in": "query", "description": description, "schema": { "type": "string" } });
    let schema = (described.answer)(&mut generators.of_answers);
    let (kind, description) = if described.in_lines {
        (
            "application/x-ndjson",
            "Lines of JSON, each of this schema; an error is the last line then, as those of other answers are.",
        )
    } else {
        ("application/json", "Done.")
    };
    let mut operation = json!({
        "operationId": operation_id(described),
        "summary": described.summary,
        "responses": {
            "200": { "description": description, "content": { kind: { "schema": schema } } },
            "4XX": { "$ref": "#/components/responses/Refused" },
            "5XX": { "$ref": "#/components/responses/Refused" },
        },
    });
    if !described.parameters.is_empty() {
        operation["parameters"] = described.parameters.iter().map(parameter).collect();
    }
    if let Some(body) = described.body {
        let schema = body(&mut generators.of_requests);
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

#[test]
fn every_endpoint_is_described() {
    let described: Vec<_> = all().iter().map(|d| (d.path, d.method)).collect();
    let there = ENDPOINTS.iter().map(|e| (e.path, e.method.as_str()));
    let there: Vec<_> = there
        .filter(|(path, _)| !path.starts_with("test/"))
        .collect();
    assert_eq!(
        described, there,
        "describe it in all() of admin/openapi.rs, in the order of ENDPOINTS"
    );
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
    for (path, method) in described {
        let named = format!("`{method} {path}`");
        assert!(page.contains(&named), "docs/admin-api.md lacks {named}");
    }
}

#[test]
fn the_description_is_that_of_the_types() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("LARDER_REGENERATE").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == text,
        "docs/admin-api.json is not what the types say: run {AGAIN} and commit it"
    );
}
