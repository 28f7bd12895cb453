use super::*;

fn condition(operator: &str, key: &str, values: &[&str]) -> Condition {
    let values: Vec<_> = values.iter().map(|&value| value.to_owned()).collect();
    Condition::new(operator, key, &values, true).expect("a condition")
}

fn holds(operator: &str, values: &[&str], found: &[&'static str]) -> bool {
    let mut context = Context::new();
    let found: Vec<_> = found.iter().map(|&value| Value::from(value)).collect();
    context.set("a:key", found);
    context.set("aws:username", "ann");
    condition(operator, "A:Key", values).holds(&context)
}

#[test]
fn text_is_compared() {
    for (operator, values, found, expected) in [
        ("StringEquals", "a", "a", true),
        ("StringEquals", "a", "A", false),
        ("StringEquals", "a*", "ab", false),
        ("StringEquals", "a*", "a*", true),
        ("StringEquals", "${aws:username}", "ann", true),
        ("StringEqualsIgnoreCase", "aB", "Ab", true),
        ("StringNotEqualsIgnoreCase", "aB", "Ab", false),
        ("StringLike", "a*", "ab", true),
        ("StringLike", "A*", "ab", false),
        ("StringLike", "${aws:username}/*", "ann/x", true),
        ("StringNotLike", "a*", "ab", false),
        ("StringNotLike", "a*", "b", true),
        ("StringNotEquals", "a", "b", true),
        ("StringEquals", "${aws:nobody}", "x", false),
        ("StringNotEquals", "${aws:nobody}", "x", true),
    ] {
        assert_eq!(
            holds(operator, &[values], &[found]),
            expected,
            "{operator} {values}"
        );
    }
}

#[test]
fn numbers_and_dates_are_compared() {
    for (operator, value, found, expected) in [
        ("NumericEquals", "10", "10.0", true),
        ("NumericNotEquals", "10", "11", true),
        ("NumericLessThan", "10", "9", true),
        ("NumericLessThan", "10", "10", false),
        ("NumericLessThanEquals", "10", "10", true),
        ("NumericGreaterThan", "-1.5", "-1", true),
        ("NumericGreaterThanEquals", "10", "9", false),
        ("NumericLessThan", "10", "x", false),
        ("NumericNotEquals", "10", "x", true),
        (
            "DateLessThan",
            "2026-01-01T00:00:00Z",
            "2025-12-31T23:59:59Z",
            true,
        ),
        (
            "DateLessThanEquals",
            "2026-01-01",
            "2026-01-01T00:00:00Z",
            true,
        ),
        (
            "DateGreaterThan",
            "1767225600",
            "2026-01-01T00:00:01Z",
            true,
        ),
        (
            "DateEquals",
            "1767225600",
            "2026-01-01T01:00:00+01:00",
            true,
        ),
        ("DateNotEquals", "1767225600", "1767225600", false),
        ("DateGreaterThanEquals", "2026", "2025-06", false),
    ] {
        assert_eq!(
            holds(operator, &[value], &[found]),
            expected,
            "{operator} {value} {found}"
        );
    }
}

#[test]
fn addresses_names_bytes_and_truths_are_compared() {
    let bucket = "arn:aws:s3:::bucket";
    for (operator, value, found, expected) in [
        ("IpAddress", "10.0.0.0/8", "10.9.8.7", true),
        ("IpAddress", "10.0.0.0/8", "11.9.8.7", false),
        ("IpAddress", "10.0.0.0/8", "nowhere", false),
        ("NotIpAddress", "10.0.0.0/8", "11.9.8.7", true),
        ("NotIpAddress", "2001:db8::/32", "2001:db8::1", false),
        ("ArnEquals", "arn:aws:s3:::*", bucket, true),
        ("ArnLike", "arn:aws:*:::buck?t", bucket, true),
        ("ArnLike", "arn:aws:*", bucket, false),
        ("ArnNotLike", "arn:aws:s3:::other", bucket, true),
        ("ArnNotEquals", "arn:aws:s3:::bucket", bucket, false),
        ("BinaryEquals", "QmluYXJ5", "Binary", true),
        ("BinaryEquals", "QmluYXJ5", "binary", false),
        ("Bool", "true", "TRUE", true),
        ("Bool", "false", "true", false),
        ("Bool", "false", "maybe", false),
    ] {
        assert_eq!(
            holds(operator, &[value], &[found]),
            expected,
            "{operator} {value} {found}"
        );
    }
}

#[test]
fn one_of_several_values_suffices_and_none_may_fit_a_contrary() {
    assert!(holds("StringEquals", &["a", "b"], &["b"]));
    assert!(!holds("StringNotEquals", &["a", "b"], &["b"]));
    assert!(holds("StringNotEquals", &["a", "b"], &["c"]));
    assert!(!holds("StringEquals", &[], &["c"]));
}

#[test]
fn sets_are_compared() {
    for (operator, found, expected) in [
        ("ForAllValues:StringEquals", &["a", "b"][..], true),
        ("ForAllValues:StringEquals", &["a", "c"], false),
        ("ForAllValues:StringEquals", &[], true),
        ("ForAnyValue:StringEquals", &["c", "b"], true),
        ("ForAnyValue:StringEquals", &["c"], false),
        ("ForAnyValue:StringEquals", &[], false),
        ("ForAllValues:StringNotEquals", &["c", "d"], true),
        ("ForAllValues:StringNotEquals", &["c", "b"], false),
        ("ForAllValues:StringNotEquals", &[], true),
        ("ForAnyValue:StringNotEquals", &["c", "b"], true),
        ("ForAnyValue:StringNotEquals", &["a", "b"], false),
        ("ForAnyValue:StringNotEquals", &[], false),
        ("ForAnyValue:StringEqualsIfExists", &[], true),
    ] {
        assert_eq!(
            holds(operator, &["a", "b"], found),
            expected,
            "{operator} {found:?}"
        );
    }
}

#[test]
fn keys_that_are_missing_decide() {
    for (name, test, negated) in TESTS {
        if test == Test::Null {
            continue;
        }
        let value = match test {
            Test::Numeric(_) | Test::Date(_) => "12345",
            Test::Bool => "true",
            Test::Ip => "1.2.3.4",
            _ => "abcd",
        };
        assert_eq!(holds(name, &[value], &[]), negated, "{name}");
        assert!(holds(&format!("{name}IfExists"), &[value], &[]), "{name}");
    }
    assert!(holds("Null", &["true"], &[]) && !holds("Null", &["true"], &["x"]));
    assert!(holds("Null", &["false"], &["x"]) && !holds("Null", &["false"], &[]));
    assert!(holds("Null", &["false", "true"], &["x"]));
}

#[test]
fn operators_are_read_as_they_are_printed() {
    for name in names() {
        assert_eq!(Operator::parse(name).expect(name).to_string(), name);
    }
    let long = "ForAnyValue:StringNotLikeIfExists";
    assert_eq!(Operator::parse(long).expect(long).to_string(), long);
}

#[test]
fn what_is_no_operator_or_no_value_is_refused() {
    for operator in [
        "",
        "stringEquals",
        "StringEqual",
        "ForSome:StringEquals",
        "NullIfExists",
        "ForAnyValue:Null",
        "IfExists",
        "ForAnyValue:",
        "ForAllValues:ForAnyValue:Bool",
        "StringEqualsIfExistsIfExists",
    ] {
        let error = Operator::parse(operator).expect_err(operator);
        assert_eq!(error, PolicyError::Operator(operator.to_owned()));
    }
    for (operator, value) in [
        ("NumericEquals", "x"),
        ("NumericEquals", "inf"),
        ("NumericEquals", "1e3"),
        ("NumericEquals", ""),
        ("DateEquals", "tomorrow"),
        ("Bool", "yes"),
        ("Null", ""),
        ("BinaryEquals", "*"),
        ("IpAddress", "10.0.0.0/99"),
    ] {
        let error = Condition::new(operator, "a:key", &[value.to_owned()], true);
        assert!(
            matches!(error, Err(PolicyError::ConditionValue { .. })),
            "{operator} {value}"
        );
    }
    let error = Condition::new("StringEquals", "a:key", &["${".to_owned()], true);
    assert_eq!(error, Err(PolicyError::Variable("${".to_owned())));
    assert!(Condition::new("StringEquals", "a:key", &["${".to_owned()], false).is_ok());
}
