//! The same decisions worked out in the most obvious way, straight from the JSON, and policies and requests made up to compare both.

use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value as Json, json};

use crate::{
    Account, Context, Decision, Kind, Policy, Request, Requester, Value, Verdict, condition,
};

const ANN: Account<'_> = Account {
    id: "111122223333",
    canonical_id: "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be",
};
const BOB: Account<'_> = Account {
    id: "444455556666",
    canonical_id: "e8f1a2b3900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2b",
};
const BOBS_USER: &str = "arn:aws:iam::444455556666:user/u";

// What policies and requests are made of: few words, so that they meet.

fn principal() -> impl Strategy<Value = Json> {
    let named = vec![
        json!("*"),
        json!({"AWS": "*"}),
        json!({"AWS": ANN.id}),
        json!({"AWS": ["arn:aws:iam::111122223333:root", BOBS_USER]}),
        json!({"AWS": BOBS_USER, "CanonicalUser": ANN.canonical_id}),
        json!({"Service": "logging.s3.amazonaws.com"}),
        json!({"CanonicalUser": BOB.canonical_id}),
    ];
    select(named)
}

fn some_of(words: &'static [&'static str]) -> impl Strategy<Value = Json> {
    let list = prop::collection::vec(select(words), 1..3).prop_map(|list| json!(list));
    prop_oneof![list, select(words).prop_map(|one| json!(one))]
}

fn action() -> impl Strategy<Value = Json> {
    some_of(&[
        "s3:GetObject",
        "s3:Get*",
        "*",
        "S3:PUTOBJECT",
        "s3:?etObject",
        "s3:*Object",
        "iam:*",
    ])
}

fn resource() -> impl Strategy<Value = Json> {
    some_of(&[
        "*",
        "arn:aws:s3:::b",
        "arn:aws:s3:::b/*",
        "arn:aws:s3:::b/${aws:userid}/?",
        "arn:aws:s3:::b/${aws:userid, 'a'}/*",
        "arn:aws:s3:*:*:b/a*",
        "arn:aws:s3:::*/${*}",
    ])
}

fn values(test: &str) -> &'static [&'static str] {
    match test {
        _ if test.starts_with("String") => &[
            "a",
            "A",
            "a*",
            "a/?",
            "*",
            "${aws:userid}",
            "x${s3:prefix, '*'}",
            "",
        ],
        _ if test.starts_with("Numeric") => &["0", "1", "10", "-1", "1.5"],
        _ if test.starts_with("Date") => &[
            "2025-01-01T00:00:00Z",
            "2026-06-30T12:00:00Z",
            "2026-06-30T12:00:01Z",
        ],
        "Bool" | "Null" => &["true", "false"],
        "BinaryEquals" => &["YQ==", "QQ=="],
        "IpAddress" | "NotIpAddress" => &[
            "10.0.0.0/8",
            "10.1.2.3",
            "10.1.2.3/31",
            "0.0.0.0/0",
            "2001:db8::/33",
        ],
        _ => &[
            "arn:aws:s3:::b",
            "arn:aws:s3:::*",
            "arn:aws:*",
            "*",
            "arn:aws:s3:::${aws:userid}",
            "nothing",
        ],
    }
}

/// The keys, and what they can be in a request.
const KEYS: [(&str, &[&str]); 5] = [
    ("aws:userid", &["a", "A", "a*", "*", "b"]),
    ("s3:prefix", &["", "a", "a/b", "xa"]),
    (
        "aws:SourceIp",
        &[
            "10.1.2.3",
            "10.1.2.2",
            "11.0.0.1",
            "2001:db8::1",
            "2001:db8:8000::1",
        ],
    ),
    (
        "s3:max-keys",
        &["1", "10", "-3", "2026-06-30T12:00:00Z", "true"],
    ),
    (
        "aws:TagKeys",
        &["a", "A", "arn:aws:s3:::b", "arn:aws:s3:::a", "false"],
    ),
];

fn condition() -> impl Strategy<Value = (String, &'static str, Vec<&'static str>)> {
    let tests: Vec<_> = condition::names().collect();
    let keys = select(KEYS.map(|(key, _)| key).to_vec());
    let sets = select(vec!["", "", "ForAllValues:", "ForAnyValue:"]);
    let parts = (select(tests), keys, sets, any::<bool>());
    parts.prop_flat_map(|(test, key, set, if_exists)| {
        let (set, after) = match test {
            "Null" => ("", ""),
            _ => (set, if if_exists { "IfExists" } else { "" }),
        };
        let operator = format!("{set}{test}{after}");
        let values = prop::collection::vec(select(values(test)), 0..3);
        values.prop_map(move |values| (operator.clone(), key, values))
    })
}

fn statement() -> impl Strategy<Value = Json> {
    let conditions = prop::collection::vec(condition(), 0..2);
    let nots = (
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    );
    let parts = (
        any::<bool>(),
        principal(),
        action(),
        resource(),
        conditions,
        nots,
    );
    parts.prop_map(|(denies, principal, action, resource, conditions, nots)| {
        let name = |not: bool, name: &str| format!("{}{name}", if not { "Not" } else { "" });
        let mut statement = Map::new();
        statement.insert(
            "Effect".into(),
            json!(if denies { "Deny" } else { "Allow" }),
        );
        statement.insert(name(nots.0, "Principal"), principal);
        statement.insert(name(nots.1, "Action"), action);
        statement.insert(name(nots.2, "Resource"), resource);
        let mut all = Map::new();
        for (operator, key, values) in conditions {
            let keys = all.entry(operator).or_insert_with(|| json!({}));
            keys[key] = json!(values);
        }
        statement.insert("Condition".into(), Json::Object(all));
        Json::Object(statement)
    })
}

fn policy() -> impl Strategy<Value = Json> {
    let version = select(vec!["2012-10-17", "2012-10-17", "2008-10-17"]);
    let statements = prop::collection::vec(statement(), 1..4);
    (version, statements)
        .prop_map(|(version, statements)| json!({"Version": version, "Statement": statements}))
}

/// A request, its texts owned.
#[derive(Clone, Debug)]
struct Asked {
    requester: Requester<'static>,
    action: &'static str,
    resource: &'static str,
    keys: Vec<(&'static str, Vec<&'static str>)>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let user = Requester::User {
        account: BOB,
        arn: BOBS_USER,
    };
    let requesters = vec![
        Requester::Anonymous,
        Requester::Root(ANN),
        Requester::Root(BOB),
        user,
    ];
    let actions = select(vec!["s3:GetObject", "s3:PutObject", "iam:GetUser"]);
    let resources = select(vec![
        "arn:aws:s3:::b",
        "arn:aws:s3:::b/a/x",
        "arn:aws:s3:::b/b/*",
        "arn:aws:s3:::b/a:a",
        "arn:aws:s3:::*",
    ]);
    let keys = KEYS.map(|(key, pool)| {
        let most = if key == "aws:TagKeys" { 3 } else { 1 };
        prop::collection::vec(select(pool), 0..=most).prop_map(move |values| (key, values))
    });
    let parts = (select(requesters), actions, resources, keys.to_vec());
    parts.prop_map(|(requester, action, resource, keys)| Asked {
        requester,
        action,
        resource,
        keys,
    })
}

fn ask<'p>(policy: &'p Policy, asked: &Asked) -> Decision<'p> {
    let mut context = Context::new();
    for (key, values) in &asked.keys {
        let values: Vec<_> = values.iter().map(|&value| Value::from(value)).collect();
        context.set(*key, values);
    }
    policy.decide(&Request {
        requester: asked.requester,
        action: asked.action,
        resource: asked.resource,
        context: &context,
    })
}

// The obvious way.

fn expected(policy: &Json, asked: &Asked) -> Verdict {
    let variables = policy["Version"] == "2012-10-17";
    let statements = policy["Statement"].as_array().expect("statements");
    let applying: Vec<_> = statements
        .iter()
        .filter(|s| applies(s, asked, variables))
        .collect();
    if applying.iter().any(|s| s["Effect"] == "Deny") {
        Verdict::ExplicitDeny
    } else if applying.is_empty() {
        Verdict::ImplicitDeny
    } else {
        Verdict::Allow
    }
}

fn list(json: &Json) -> Vec<&str> {
    match json {
        Json::String(one) => vec![one],
        Json::Array(all) => all
            .iter()
            .map(|item| item.as_str().expect("a text"))
            .collect(),
        _ => panic!("neither text nor list"),
    }
}

fn either(statement: &Json, name: &str, is: impl Fn(&Json, bool) -> bool) -> bool {
    match statement.get(name) {
        Some(listed) => is(listed, false),
        None => !is(&statement[format!("Not{name}")], true),
    }
}

fn applies(statement: &Json, asked: &Asked, variables: bool) -> bool {
    let action = |listed: &Json, _| {
        let lower = |text: &str| text.to_lowercase();
        list(listed)
            .iter()
            .any(|p| glob(&lower(p), &lower(asked.action), None, true))
    };
    let resource = |listed: &Json, _| {
        let vars = variables.then_some(asked);
        list(listed)
            .iter()
            .any(|p| name_matches(p, asked.resource, vars))
    };
    let conditions = statement["Condition"].as_object().expect("conditions");
    either(statement, "Principal", |listed, not| {
        names(listed, &asked.requester, not)
    }) && either(statement, "Action", action)
        && either(statement, "Resource", resource)
        && conditions.iter().all(|(operator, keys)| {
            let keys = keys.as_object().expect("keys");
            keys.iter()
                .all(|(key, values)| holds(operator, key, &list(values), asked, variables))
        })
}

fn names(listed: &Json, requester: &Requester<'_>, exactly: bool) -> bool {
    if listed == "*" {
        return true;
    }
    let (account, user) = match requester {
        Requester::Root(account) => (Some(*account), None),
        Requester::User { account, arn } => (Some(*account), Some(*arn)),
        _ => (None, None),
    };
    let of_account = account.filter(|_| !(exactly && user.is_some()));
    let is_named = |kind: &str, name: &str| match kind {
        "AWS" if name == "*" => true,
        "AWS" if Some(name) == user => true,
        "AWS" => of_account
            .is_some_and(|a| name == a.id || name == format!("arn:aws:iam::{}:root", a.id)),
        "CanonicalUser" => of_account.is_some_and(|a| name == a.canonical_id),
        _ => false,
    };
    let kinds = listed.as_object().expect("kinds");
    kinds
        .iter()
        .any(|(kind, all)| list(all).iter().any(|name| is_named(kind, name)))
}

/// Characters, and whether each is to be taken literally; `None` where a variable has no value.
fn expanded(pattern: &str, vars: Option<&Asked>, wildcards: bool) -> Option<Vec<(char, bool)>> {
    let mut out = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if let (Some(asked), Some(inside)) = (vars, rest.strip_prefix("${")) {
            let (variable, after) = inside.split_once('}').expect("an end");
            let value = value_of(variable, asked)?;
            out.extend(value.chars().map(|c| (c, true)));
            rest = after;
        } else {
            out.push((c, !wildcards || !"*?".contains(c)));
            rest = &rest[c.len_utf8()..];
        }
    }
    Some(out)
}

fn value_of<'a>(variable: &'a str, asked: &'a Asked) -> Option<&'a str> {
    if ["*", "?", "$"].contains(&variable) {
        return Some(variable);
    }
    let (key, default) = match variable.split_once(", ") {
        Some((key, default)) => (key, Some(default.trim_matches('\''))),
        None => (variable, None),
    };
    match *found(key, asked) {
        [one] => Some(one),
        _ => default,
    }
}

fn found<'a>(key: &str, asked: &'a Asked) -> &'a [&'static str] {
    let values = asked.keys.iter().find(|(k, _)| *k == key);
    &values
        .expect("every key is there, if only without values")
        .1
}

fn matches(pattern: &[(char, bool)], text: &[char]) -> bool {
    match (pattern, text) {
        ([], text) => text.is_empty(),
        ([('*', false), rest @ ..], _) => (0..=text.len()).any(|n| matches(rest, &text[n..])),
        ([('?', false), rest @ ..], [_, text @ ..]) => matches(rest, text),
        ([(p, _), rest @ ..], [t, text @ ..]) => p == t && matches(rest, text),
        _ => false,
    }
}

fn glob(pattern: &str, text: &str, vars: Option<&Asked>, wildcards: bool) -> bool {
    let text: Vec<_> = text.chars().collect();
    expanded(pattern, vars, wildcards).is_some_and(|pattern| matches(&pattern, &text))
}

fn name_matches(pattern: &str, name: &str, vars: Option<&Asked>) -> bool {
    if pattern == "*" {
        return true;
    }
    // No variable of these has a colon outside of its own key.
    let masked = match vars {
        Some(_) => pattern.replace("aws:userid", "aws\u{1}userid"),
        None => pattern.to_owned(),
    };
    let (patterns, parts): (Vec<_>, Vec<_>) = (
        masked.splitn(6, ':').collect(),
        name.splitn(6, ':').collect(),
    );
    patterns.len() == 6
        && parts.len() == 6
        && patterns
            .iter()
            .zip(parts)
            .all(|(p, part)| glob(&p.replace('\u{1}', ":"), part, vars, true))
}

fn holds(operator: &str, key: &str, operands: &[&str], asked: &Asked, variables: bool) -> bool {
    let values = found(key, asked);
    if operator == "Null" {
        let is_null = if values.is_empty() { "true" } else { "false" };
        return operands.contains(&is_null);
    }
    let (if_exists, operator) = match operator.strip_suffix("IfExists") {
        Some(operator) => (true, operator),
        None => (false, operator),
    };
    let (set, test) = operator.split_once(':').unwrap_or(("", operator));
    let negated = test.contains("Not");
    let vars = variables.then_some(asked);
    let fits = |value: &&str| {
        operands
            .iter()
            .any(|operand| compares(test, operand, value, vars))
    };
    let passes = |value: &&str| fits(value) != negated;
    match (values.is_empty(), set) {
        (true, _) if if_exists => true,
        (true, "ForAllValues") => true,
        (true, "ForAnyValue") => false,
        (true, _) => negated,
        (false, "ForAllValues") => values.iter().all(passes),
        (false, "ForAnyValue") => values.iter().any(passes),
        (false, _) if negated => !values.iter().any(fits),
        (false, _) => values.iter().any(fits),
    }
}

/// Whether a value fits an operand, a test's contrary taken for the test itself.
fn compares(test: &str, operand: &str, value: &str, vars: Option<&Asked>) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    // All dates here are written alike, so that their order is that of their texts.
    let date = |text: &str| text.ends_with('Z').then(|| text.to_owned());
    match test.replace("Not", "").as_str() {
        "StringEquals" => glob(operand, value, vars, false),
        "StringEqualsIgnoreCase" => {
            let lower = expanded(operand, vars, false)
                .map(|chars| chars.into_iter().map(|(c, _)| c).collect::<String>());
            lower.is_some_and(|text| text.to_lowercase() == value.to_lowercase())
        }
        "StringLike" => glob(operand, value, vars, true),
        "ArnEquals" | "ArnLike" => name_matches(operand, value, vars),
        "Bool" => operand == value,
        "BinaryEquals" => {
            (operand == "YQ==" && value == "a") || (operand == "QQ==" && value == "A")
        }
        "IpAddress" => is_in(operand, value),
        numeric if numeric.starts_with("Numeric") => {
            ordered(&numeric[7..], number(value), number(operand))
        }
        dates => ordered(&dates[4..], date(value), date(operand)),
    }
}

fn ordered<T: PartialOrd>(relation: &str, a: Option<T>, b: Option<T>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return false;
    };
    match relation {
        "Equals" => a == b,
        "LessThan" => a < b,
        "LessThanEquals" => a <= b,
        "GreaterThan" => a > b,
        "GreaterThanEquals" => a >= b,
        _ => panic!("no relation {relation}"),
    }
}

fn is_in(network: &str, address: &str) -> bool {
    let bits = |text: &str| -> Option<String> {
        match text.parse::<std::net::IpAddr>().ok()? {
            std::net::IpAddr::V4(v4) => Some(format!("{:032b}", v4.to_bits())),
            std::net::IpAddr::V6(v6) => Some(format!("{:0128b}", v6.to_bits())),
        }
    };
    let (base, prefix) = network.split_once('/').unwrap_or((network, "128"));
    let (Some(base), Some(address)) = (bits(base), bits(address)) else {
        return false;
    };
    let prefix = prefix.parse::<usize>().expect("a number").min(base.len());
    base.len() == address.len() && base[..prefix] == address[..prefix]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn decides_as_the_obvious_way_does(json in policy(), asked in asked()) {
        let policy = Policy::parse(json.to_string().as_bytes(), Kind::Resource).expect("a policy");
        prop_assert_eq!(ask(&policy, &asked).verdict, expected(&json, &asked));
    }

    #[test]
    fn a_printed_policy_reads_and_decides_the_same(json in policy(), asked in asked()) {
        let policy = Policy::parse(json.to_string().as_bytes(), Kind::Resource).expect("a policy");
        let again = Policy::parse(policy.to_string().as_bytes(), Kind::Resource).expect("a policy");
        prop_assert_eq!(&again, &policy);
        prop_assert_eq!(ask(&again, &asked), ask(&policy, &asked));
    }

    #[test]
    fn one_more_denial_never_allows_more(json in policy(), denial in statement(), asked in asked()) {
        let mut more = json.clone();
        let mut denial = denial;
        denial["Effect"] = json!("Deny");
        let statements = more["Statement"].as_array_mut().expect("statements");
        statements.push(denial.clone());
        let alone = json!({"Version": json["Version"], "Statement": denial});
        let [before, after, alone] = [json, more, alone].map(|json| {
            let policy = Policy::parse(json.to_string().as_bytes(), Kind::Resource).expect("a policy");
            ask(&policy, &asked).verdict
        });
        let expected = if alone == Verdict::ExplicitDeny { alone } else { before };
        prop_assert_eq!(after, expected);
    }
}

/// The comparison above is worth something only as long as all verdicts are met.
#[test]
fn made_up_requests_meet_all_verdicts() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut counts = [0_usize; 3];
    for _ in 0..1000 {
        let pair = (policy(), asked()).new_tree(&mut runner).expect("a pair");
        let (json, asked) = pair.current();
        counts[match expected(&json, &asked) {
            Verdict::Allow => 0,
            Verdict::ImplicitDeny => 1,
            Verdict::ExplicitDeny => 2,
        }] += 1;
    }
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}
