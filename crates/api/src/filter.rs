//! `?filter=`: the expressions of go-bexpr, checked against what an answer has and evaluated on its JSON.

mod evaluate;
mod parse;

use serde::Serialize;
use serde_json::Value;

use crate::error::Error;
use parse::Expression;

pub(crate) use evaluate::parse_bool;

/// What a selector may name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Field {
    Text,
    Number,
    Bool,
    Texts,
    /// User keys to texts.
    TextMap,
    Struct(&'static [(&'static str, Field)]),
    List(&'static Field),
    /// User keys to values of one kind.
    Map(&'static Field),
    /// Whatever there is: things of many kinds in one list.
    Any,
}

/// A checked expression; the empty text is one that keeps everything.
#[derive(Debug)]
pub struct Filter(Option<Expression>);

/// An expression longer than this is refused: nobody writes it by hand, and it is parsed by recursion.
const LENGTH_LIMIT_BYTES: usize = 8 << 10;

impl Filter {
    /// Newer Consul answers a bad expression with 400, 1.8 did with 500; the text is the same.
    pub fn parse(text: &str, fields: &'static Field) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Ok(Self(None));
        }
        let refused = |why| Error::Invalid(format!("Failed to create boolean expression evaluator: {why}"));
        if text.len() > LENGTH_LIMIT_BYTES {
            return Err(refused(format!("the expression is longer than {LENGTH_LIMIT_BYTES} bytes")));
        }
        let mut expression = parse::parse(text).map_err(refused)?;
        evaluate::check(&mut expression, fields).map_err(refused)?;
        Ok(Self(Some(expression)))
    }

    /// The items that match.
    pub fn keep<T: Serialize>(&self, items: Vec<T>) -> Result<Vec<T>, Error> {
        let Some(expression) = &self.0 else { return Ok(items) };
        let mut kept = Vec::with_capacity(items.len());
        for item in items {
            let value = serde_json::to_value(&item).map_err(|e| Error::Refused(format!("filtering: {e}")))?;
            if evaluate::matches(expression, &value) {
                kept.push(item);
            }
        }
        Ok(kept)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub fn matches(&self, value: &Value) -> bool {
        self.0.as_ref().is_none_or(|expression| evaluate::matches(expression, value))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    const CHECK: Field = Field::Struct(&[("Status", Field::Text)]);
    const SERVICE: Field = Field::Struct(&[
        ("Service", Field::Text),
        ("Port", Field::Number),
        ("Native", Field::Bool),
        ("Tags", Field::Texts),
        ("Meta", Field::TextMap),
    ]);
    const ENTRY: Field = Field::Struct(&[("Service", SERVICE), ("Checks", Field::List(&CHECK))]);

    fn matches(text: &str) -> bool {
        let value = json!({"Service": {"Service": "web", "Port": 80, "Tags": ["v1", "blue"],
                "Meta": {"a-b": "c", "k": "v"}},
            "Checks": [{"Status": "passing"}, {"Status": "critical"}]});
        Filter::parse(text, &ENTRY).unwrap().matches(&value)
    }

    #[test]
    fn what_bexpr_says_yes_and_no_to() {
        for yes in [
            "",
            "Service.Service == web",
            "Service.Service==\"web\" and Service.Port == 80",
            "Service.Port != 81 or Service.Port == 1",
            "not Service.Port == 81",
            "not (Service.Port == 81 or Service.Port == 82)",
            "v1 in Service.Tags",
            "Service.Tags contains \"blue\"",
            "Service.Tags not contains green",
            "green not in Service.Tags",
            "Service.Tags is not empty",
            "Service.Meta[\"a-b\"] == c",
            "\"/Service/Meta/a-b\" == c",
            "blue in \"/Service/Tags\"",
            "Service.Meta.k matches `^v.*$`",
            "Service.Service not matches \"^db\"",
            "Service.Meta.none != x",
            "Service.Meta contains k",
            "Checks.Status == critical",
            "Checks.Status == passing",
            "Checks is not empty",
            "Service.Native == false",
            "Service.Service contains eb",
        ] {
            assert!(matches(yes), "{yes}");
        }
        for no in [
            "Service.Service == db",
            "Service.Meta.none == x",
            "Service.Tags is empty",
            "Checks.Status == warning",
            "Service.Service == web and not Service.Port == 80",
            "Service.Native == true",
        ] {
            assert!(!matches(no), "{no}");
        }
    }

    #[test]
    fn bad_expressions_are_refused_and_say_why() {
        for (text, why) in [
            ("Service.Bogus == 1", "Selector \"Service.Bogus\" is not valid"),
            (
                "Service.Port == x",
                "Failed to coerce value \"x\" for selector \"Service.Port\": \
                 strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                "Service.Native == maybe",
                "Failed to coerce value \"maybe\" for selector \"Service.Native\": \
                 strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            ("1 in Service.Port", "Invalid match operator \"In\" for selector \"Service.Port\""),
            ("Service.Port is empty", "Invalid match operator \"Is Empty\" for selector \"Service.Port\""),
        ] {
            let error = Filter::parse(text, &ENTRY).unwrap_err().to_string();
            assert_eq!(error, format!("Failed to create boolean expression evaluator: {why}"), "{text}");
        }
        for text in [
            "Service.Port ==",
            "Service.Port",
            "(",
            "Service.Port == 1 and",
            "Service.Service == \"x",
            "==",
            "a b",
            "Service.Service matches \"(\"",
        ] {
            assert!(Filter::parse(text, &ENTRY).is_err(), "{text}");
        }
        assert!(Filter::parse(&"(".repeat(LENGTH_LIMIT_BYTES), &ENTRY).is_err());
    }
}

#[cfg(test)]
mod properties;
