//! Checking an expression against what an answer has, and evaluating it on one answer.

use serde_json::Value;

use super::Field;
use super::parse::{Expression, Operator};

/// A compiled `matches` pattern.
#[derive(Debug)]
pub(super) struct Pattern(regex_lite::Regex);

/// Refuses selectors, operators and values that cannot match, and compiles patterns.
pub(super) fn check(expression: &mut Expression, fields: &Field) -> Result<(), String> {
    match expression {
        Expression::And(a, b) | Expression::Or(a, b) => {
            check(a, fields)?;
            check(b, fields)
        }
        Expression::Not(inner) => check(inner, fields),
        Expression::Match { selector, operator, negated, value, pattern } => {
            let name = selector.join(".");
            let field = find(selector, fields).ok_or_else(|| format!("Selector {name:?} is not valid"))?;
            if !allows(field, *operator) {
                let operator = spelled(*operator, *negated);
                return Err(format!("Invalid match operator {operator:?} for selector {name:?}"));
            }
            if *operator == Operator::Matches {
                let compiled = regex_lite::Regex::new(value)
                    .map_err(|e| format!("Failed to compile regular expression {value:?}: {e}"))?;
                *pattern = Some(Pattern(compiled));
            }
            coerce(field, *operator, value).map_err(|why| {
                format!(
                    "Failed to coerce value {value:?} for selector {name:?}: {why}: parsing {value:?}: invalid syntax"
                )
            })
        }
    }
}

/// The field a selector ends at. Lists of structures are looked through: any element may match.
fn find<'a>(selector: &[String], field: &'a Field) -> Option<&'a Field> {
    let Some((first, rest)) = selector.split_first() else { return Some(field) };
    match field {
        Field::Struct(fields) => {
            let (_, inner) = fields.iter().find(|(name, _)| name == first)?;
            find(rest, inner)
        }
        Field::List(item) => find(selector, item),
        Field::Map(item) => find(rest, item),
        Field::Any => Some(&Field::Any),
        Field::TextMap => rest.is_empty().then_some(&Field::Text),
        Field::Text | Field::Number | Field::Bool | Field::Texts => None,
    }
}

fn allows(field: &Field, operator: Operator) -> bool {
    match operator {
        _ if *field == Field::Any => true,
        Operator::Equal => matches!(field, Field::Text | Field::Number | Field::Bool),
        Operator::Matches => matches!(field, Field::Text),
        Operator::In => matches!(field, Field::Text | Field::Texts | Field::TextMap | Field::Map(_)),
        Operator::Empty => !matches!(field, Field::Number | Field::Bool | Field::Struct(_)),
    }
}

fn spelled(operator: Operator, negated: bool) -> &'static str {
    match (operator, negated) {
        (Operator::Equal, false) => "Equal",
        (Operator::Equal, true) => "Not Equal",
        (Operator::In, false) => "In",
        (Operator::In, true) => "Not In",
        (Operator::Empty, false) => "Is Empty",
        (Operator::Empty, true) => "Is Not Empty",
        (Operator::Matches, false) => "Matches",
        (Operator::Matches, true) => "Not Matches",
    }
}

fn coerce(field: &Field, operator: Operator, value: &str) -> Result<(), &'static str> {
    if operator != Operator::Equal {
        return Ok(());
    }
    match field {
        Field::Number if value.parse::<f64>().is_err() => Err("strconv.ParseInt"),
        Field::Bool if parse_bool(value).is_none() => Err("strconv.ParseBool"),
        _ => Ok(()),
    }
}

/// Go's `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

pub(super) fn matches(expression: &Expression, value: &Value) -> bool {
    match expression {
        Expression::And(a, b) => matches(a, value) && matches(b, value),
        Expression::Or(a, b) => matches(a, value) || matches(b, value),
        Expression::Not(inner) => !matches(inner, value),
        Expression::Match { selector, operator, negated, value: wanted, pattern } => {
            any(selector, value, &mut |found| one(*operator, found, wanted, pattern.as_ref()) != *negated)
        }
    }
}

/// Calls `test` on the value the selector names; on a list of structures until one says yes.
fn any(selector: &[String], value: &Value, test: &mut dyn FnMut(&Value) -> bool) -> bool {
    match (selector.split_first(), value) {
        (None, value) => test(value),
        (Some(_), Value::Array(items)) => items.iter().any(|item| any(selector, item, test)),
        (Some((first, rest)), Value::Object(map)) => match map.get(first) {
            Some(inner) => any(rest, inner, test),
            // Left out of the answer, or a key the map does not have: the zero value.
            None => test(&Value::Null),
        },
        (Some(_), _) => test(&Value::Null),
    }
}

fn one(operator: Operator, found: &Value, wanted: &str, pattern: Option<&Pattern>) -> bool {
    match operator {
        Operator::Equal => equal(found, wanted),
        Operator::Matches => found.as_str().is_some_and(|text| pattern.is_some_and(|pattern| pattern.0.is_match(text))),
        Operator::In => match found {
            Value::String(text) => text.contains(wanted),
            Value::Array(items) => items.iter().any(|item| item.as_str() == Some(wanted)),
            Value::Object(map) => map.contains_key(wanted),
            _ => false,
        },
        Operator::Empty => match found {
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => true,
        },
    }
}

fn equal(found: &Value, wanted: &str) -> bool {
    match found {
        Value::String(text) => text == wanted,
        Value::Bool(is) => parse_bool(wanted) == Some(*is),
        Value::Number(number) => number.as_f64() == wanted.parse().ok(),
        // A boolean that is left out when false; a missing text equals nothing, not even the empty one.
        Value::Null => parse_bool(wanted) == Some(false) && wanted.len() > 1,
        _ => false,
    }
}
