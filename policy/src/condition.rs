//! Conditions: an operator, a condition key, and what the key's values are compared with.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    arn::ArnPattern,
    context::{Context, Value, parse_bool, parse_number},
    date,
    error::PolicyError,
    network::Network,
    pattern::{Case, Pattern, Syntax},
};

/// A condition on one key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    operator: Operator,
    key: Box<str>,
    sources: Box<[Box<str>]>,
    operands: Operands,
}

/// `[ForAllValues:|ForAnyValue:]test[IfExists]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operator {
    set: Option<Set>,
    test: Test,
    negated: bool,
    if_exists: bool,
}

/// Which of several values of a key have to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    All,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Numeric(Relation),
    Date(Relation),
    Bool,
    Binary,
    Ip,
    /// The same as [`Test::ArnLike`], but called otherwise.
    ArnEquals,
    ArnLike,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equals,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What values are compared with, one of which has to fit.
#[derive(Clone, Debug, PartialEq)]
enum Operands {
    Text(Box<[Pattern]>),
    Numbers(Box<[f64]>),
    Times(Box<[i64]>),
    Truths(Box<[bool]>),
    Bytes(Box<[Vec<u8>]>),
    Networks(Box<[Network]>),
    Arns(Box<[ArnPattern]>),
}

/// All tests: name, test, whether it is the contrary of that test.
const TESTS: [(&str, Test, bool); 27] = {
    use Relation::{Equals, Greater, GreaterOrEqual, Less, LessOrEqual};
    [
        ("StringEquals", Test::StringEquals, false),
        ("StringNotEquals", Test::StringEquals, true),
        (
            "StringEqualsIgnoreCase",
            Test::StringEqualsIgnoreCase,
            false,
        ),
        (
            "StringNotEqualsIgnoreCase",
            Test::StringEqualsIgnoreCase,
            true,
        ),
        ("StringLike", Test::StringLike, false),
        ("StringNotLike", Test::StringLike, true),
        ("NumericEquals", Test::Numeric(Equals), false),
        ("NumericNotEquals", Test::Numeric(Equals), true),
        ("NumericLessThan", Test::Numeric(Less), false),
        ("NumericLessThanEquals", Test::Numeric(LessOrEqual), false),
        ("NumericGreaterThan", Test::Numeric(Greater), false),
        (
            "NumericGreaterThanEquals",
            Test::Numeric(GreaterOrEqual),
            false,
        ),
        ("DateEquals", Test::Date(Equals), false),
        ("DateNotEquals", Test::Date(Equals), true),
        ("DateLessThan", Test::Date(Less), false),
        ("DateLessThanEquals", Test::Date(LessOrEqual), false),
        ("DateGreaterThan", Test::Date(Greater), false),
        ("DateGreaterThanEquals", Test::Date(GreaterOrEqual), false),
        ("Bool", Test::Bool, false),
        ("BinaryEquals", Test::Binary, false),
        ("IpAddress", Test::Ip, false),
        ("NotIpAddress", Test::Ip, true),
        ("ArnEquals", Test::ArnEquals, false),
        ("ArnLike", Test::ArnLike, false),
        ("ArnNotEquals", Test::ArnEquals, true),
        ("ArnNotLike", Test::ArnLike, true),
        ("Null", Test::Null, false),
    ]
};

/// The names of all operators, without what may stand before and after them.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TESTS.iter().map(|(name, ..)| *name)
}

impl Operator {
    /// Reads an operator.
    ///
    /// # Errors
    /// [`PolicyError::Operator`].
    pub(crate) fn parse(operator: &str) -> Result<Self, PolicyError> {
        let (set, rest) = match operator.split_once(':') {
            None => (None, operator),
            Some(("ForAllValues", rest)) => (Some(Set::All), rest),
            Some(("ForAnyValue", rest)) => (Some(Set::Any), rest),
            Some(_) => return Err(PolicyError::Operator(operator.to_owned())),
        };
        let (name, if_exists) = match rest.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (rest, false),
        };
        match TESTS.iter().find(|(n, ..)| *n == name) {
            // A test for existence has no use for either.
            Some((_, Test::Null, _)) if if_exists || set.is_some() => {
                Err(PolicyError::Operator(operator.to_owned()))
            }
            Some(&(_, test, negated)) => Ok(Self {
                set,
                test,
                negated,
                if_exists,
            }),
            None => Err(PolicyError::Operator(operator.to_owned())),
        }
    }
}

impl Condition {
    /// A condition as a policy has it. Only text and names may have variables.
    ///
    /// # Errors
    /// [`PolicyError::ConditionValue`], [`PolicyError::Variable`].
    pub(crate) fn new(
        operator_name: &str,
        key: &str,
        values: &[String],
        variables: bool,
    ) -> Result<Self, PolicyError> {
        let operator = Operator::parse(operator_name)?;
        let operands = Operands::parse(operator.test, values, variables);
        let operands = operands.map_err(|failed| match failed {
            Failed::Policy(error) => error,
            Failed::Value(value) => PolicyError::ConditionValue {
                operator: operator_name.to_owned(),
                value,
            },
        })?;
        Ok(Self {
            operator,
            key: key.into(),
            sources: values.iter().map(|value| value.as_str().into()).collect(),
            operands,
        })
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// What the key is compared with, as written.
    pub(crate) fn sources(&self) -> &[Box<str>] {
        &self.sources
    }

    pub(crate) fn operator(&self) -> Operator {
        self.operator
    }

    /// The condition keys that its values refer to.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        let (texts, arns): (&[Pattern], &[ArnPattern]) = match &self.operands {
            Operands::Text(texts) => (texts, &[]),
            Operands::Arns(arns) => (&[], arns),
            _ => (&[], &[]),
        };
        let patterns = texts.iter().chain(arns.iter().map(ArnPattern::whole));
        patterns.flat_map(Pattern::variables)
    }

    /// Whether the request fulfils it.
    pub(crate) fn holds(&self, context: &Context<'_>) -> bool {
        let Operator {
            set,
            test,
            negated,
            if_exists,
        } = self.operator;
        let values = context.get(&self.key);
        if let (Test::Null, Operands::Truths(truths)) = (test, &self.operands) {
            return truths.contains(&values.is_empty());
        }
        if values.is_empty() {
            return if_exists || set.map_or(negated, |set| set == Set::All);
        }
        let fits = |value: &Value<'_>| self.fits(value, context);
        match set {
            None => values.iter().any(fits) != negated,
            Some(Set::All) => values.iter().all(|value| fits(value) != negated),
            Some(Set::Any) => values.iter().any(|value| fits(value) != negated),
        }
    }

    /// Whether a value is one of those that it is compared with.
    fn fits(&self, value: &Value<'_>, context: &Context<'_>) -> bool {
        let test = self.operator.test;
        match &self.operands {
            Operands::Text(patterns) => {
                let case = match test {
                    Test::StringEqualsIgnoreCase => Case::Ignored,
                    _ => Case::Counts,
                };
                value.with_text(|text| patterns.iter().any(|p| p.matches(text, context, case)))
            }
            Operands::Arns(arns) => {
                value.with_text(|text| arns.iter().any(|arn| arn.matches(text, context)))
            }
            Operands::Numbers(numbers) => fits_any(value.number(), numbers, test),
            Operands::Times(times) => fits_any(value.time(), times, test),
            Operands::Truths(truths) => value.truth().is_some_and(|truth| truths.contains(&truth)),
            Operands::Bytes(all) => {
                value.with_text(|text| all.iter().any(|bytes| bytes == text.as_bytes()))
            }
            Operands::Networks(networks) => {
                let is_in = |address: IpAddr| networks.iter().any(|n| n.contains(address));
                value.ip().is_some_and(is_in)
            }
        }
    }

    /// Whether nobody fulfils it but those who have one of a few values of the key, as far as the condition itself tells: it can't hold
    /// without the key, and has neither wildcards nor variables nor very broad ranges.
    pub(crate) fn is_fixed(&self) -> bool {
        let Operator {
            set,
            test,
            negated,
            if_exists,
        } = self.operator;
        if negated || if_exists || set == Some(Set::All) {
            return false;
        }
        match &self.operands {
            Operands::Text(patterns) => patterns.iter().all(Pattern::is_fixed),
            Operands::Arns(arns) => arns.iter().all(|arn| arn.whole().is_fixed()),
            Operands::Networks(networks) => !networks.iter().any(Network::is_very_broad),
            Operands::Numbers(_) | Operands::Times(_) => matches!(
                test,
                Test::Numeric(Relation::Equals) | Test::Date(Relation::Equals)
            ),
            Operands::Truths(_) => test != Test::Null,
            Operands::Bytes(_) => true,
        }
    }

    /// As [`Condition::is_fixed`], for names whose account alone has to be fixed.
    pub(crate) fn has_fixed_accounts(&self) -> bool {
        let Operator {
            set,
            negated,
            if_exists,
            ..
        } = self.operator;
        let is_fixed = |arn: &ArnPattern| arn.part(4).is_some_and(Pattern::is_fixed);
        let account = |text: &Pattern| {
            let arn = ArnPattern::parse(text.source(), true);
            arn.is_ok_and(|arn| is_fixed(&arn))
        };
        let fixed = match &self.operands {
            Operands::Arns(arns) => arns.iter().all(is_fixed),
            Operands::Text(patterns) => patterns.iter().all(account),
            _ => false,
        };
        fixed && !negated && !if_exists && set != Some(Set::All)
    }
}

fn fits_any<T: PartialOrd + Copy>(value: Option<T>, operands: &[T], test: Test) -> bool {
    let (Some(value), Test::Numeric(relation) | Test::Date(relation)) = (value, test) else {
        return false;
    };
    operands.iter().any(|operand| match relation {
        Relation::Equals => value == *operand,
        Relation::Less => value < *operand,
        Relation::LessOrEqual => value <= *operand,
        Relation::Greater => value > *operand,
        Relation::GreaterOrEqual => value >= *operand,
    })
}

enum Failed {
    Policy(PolicyError),
    /// The value that nothing can be compared with.
    Value(String),
}

impl Operands {
    fn parse(test: Test, values: &[String], variables: bool) -> Result<Self, Failed> {
        let pattern = |value: &String| {
            let wildcards = test == Test::StringLike;
            let syntax = Syntax {
                wildcards,
                variables,
            };
            Pattern::parse(value, syntax).map_err(Failed::Policy)
        };
        let arn = |value: &String| ArnPattern::parse(value, variables).map_err(Failed::Policy);
        let bytes = |value: &str| STANDARD.decode(value).ok();
        Ok(match test {
            Test::StringEquals | Test::StringEqualsIgnoreCase | Test::StringLike => {
                Self::Text(values.iter().map(pattern).collect::<Result<_, _>>()?)
            }
            Test::ArnEquals | Test::ArnLike => {
                Self::Arns(values.iter().map(arn).collect::<Result<_, _>>()?)
            }
            Test::Numeric(_) => Self::Numbers(each(values, parse_number)?),
            Test::Date(_) => Self::Times(each(values, date::parse)?),
            Test::Bool | Test::Null => Self::Truths(each(values, parse_bool)?),
            Test::Binary => Self::Bytes(each(values, bytes)?),
            Test::Ip => Self::Networks(each(values, Network::parse)?),
        })
    }
}

fn each<T>(values: &[String], parse: impl Fn(&str) -> Option<T>) -> Result<Box<[T]>, Failed> {
    let parse = |value: &String| parse(value).ok_or_else(|| Failed::Value(value.clone()));
    values.iter().map(parse).collect()
}

impl std::fmt::Display for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_it = |(_, test, negated): &&(&str, Test, bool)| {
            *test == self.test && *negated == self.negated
        };
        let name = TESTS.iter().find(is_it).map_or("", |(name, ..)| name);
        let set = match self.set {
            None => "",
            Some(Set::All) => "ForAllValues:",
            Some(Set::Any) => "ForAnyValue:",
        };
        let if_exists = if self.if_exists { "IfExists" } else { "" };
        write!(f, "{set}{name}{if_exists}")
    }
}

#[cfg(test)]
mod tests;
