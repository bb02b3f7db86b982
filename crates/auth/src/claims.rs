//! What a signed token says, judged: time, issuer, audience; and what of it is of interest.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::Proven;
use crate::error::Error;

pub(crate) type Claims = Map<String, Value>;

/// What must hold of every token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// Empty: any.
    pub issuer: String,
    /// Empty: any.
    pub audiences: Vec<String>,
    /// Seconds.
    pub expiration_leeway: i64,
    pub not_before_leeway: i64,
    pub clock_skew: i64,
}

impl Expected {
    pub fn check(&self, claims: &Claims, now: i64) -> Result<(), Error> {
        if !self.issuer.is_empty() && claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(Error::Claims("square/go-jose/jwt: validation failed, invalid issuer claim (iss)"));
        }
        self.check_time(claims, now)?;
        let audiences = match claims.get("aud") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let bound = |audience: &&str| self.audiences.iter().any(|bound| bound == audience);
        if !self.audiences.is_empty() && !audiences.iter().any(bound) {
            return Err(Error::Claims("aud claim does not match any bound audience"));
        }
        Ok(())
    }

    /// A token that says only one of its times lives for a few minutes around it.
    fn check_time(&self, claims: &Claims, now: i64) -> Result<(), Error> {
        let time = |name: &str| match claims.get(name) {
            Some(Value::Number(number)) => number.as_i64().or_else(|| number.as_f64().map(|at| at as i64)).unwrap_or(0),
            _ => 0,
        };
        let (issued, mut not_before, mut expires) = (time("iat"), time("nbf"), time("exp"));
        if issued == 0 && not_before == 0 && expires == 0 {
            return Err(Error::Timeless);
        }
        if expires == 0 {
            expires = issued.max(not_before).saturating_add(self.expiration_leeway);
        }
        if not_before == 0 {
            not_before = if issued != 0 { issued } else { expires.saturating_sub(self.not_before_leeway) };
        }
        if now.saturating_add(self.clock_skew) < not_before {
            return Err(Error::Claims("square/go-jose/jwt: validation failed, token not valid yet (nbf)"));
        }
        if now.saturating_sub(self.clock_skew) > expires {
            return Err(Error::Claims("square/go-jose/jwt: validation failed, token is expired (exp)"));
        }
        if now.saturating_add(self.clock_skew) < issued {
            return Err(Error::Claims("square/go-jose/jwt: validation field, token issued in the future (iat)"));
        }
        Ok(())
    }
}

/// Claim to name. A claim that begins with `/` is a path into the claims (RFC 6901).
#[derive(Debug, Clone, Default)]
pub(crate) struct Mappings {
    pub values: BTreeMap<String, String>,
    pub lists: BTreeMap<String, String>,
}

impl Mappings {
    pub fn apply(&self, claims: Claims) -> Result<Proven, Error> {
        let claims = Value::Object(claims);
        let mut values = BTreeMap::new();
        for (claim, name) in &self.values {
            if let Some(value) = find(&claims, claim) {
                values.insert(name.clone(), text(claim, value)?);
            }
        }
        let mut lists = BTreeMap::new();
        for (claim, name) in &self.lists {
            if let Some(value) = find(&claims, claim) {
                lists.insert(name.clone(), list(claim, value)?);
            }
        }
        let mut variables = self.variables();
        variables.extend(values.iter().map(|(name, value)| (format!("value.{name}"), value.clone())));
        Ok(Proven { selectable: json!({ "value": values, "list": lists }), variables })
    }

    /// Every name, with nothing.
    pub fn variables(&self) -> BTreeMap<String, String> {
        self.values.values().map(|name| (format!("value.{name}"), String::new())).collect()
    }
}

fn find<'a>(claims: &'a Value, claim: &str) -> Option<&'a Value> {
    let found = if claim.starts_with('/') { claims.pointer(claim) } else { claims.get(claim) };
    found.filter(|value| !value.is_null())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(is) => Some(is.to_string()),
        // 5.0 is told as 5.
        Value::Number(number) => Some(
            number
                .as_f64()
                .filter(|n| n.fract() == 0.0 && n.abs() < 9e15)
                .map_or_else(|| number.to_string(), |whole| format!("{whole:.0}")),
        ),
        _ => None,
    }
}

fn text(claim: &str, value: &Value) -> Result<String, Error> {
    scalar(value).ok_or_else(|| {
        let kind = if value.is_array() { "[]interface {}" } else { "map[string]interface {}" };
        Error::Mapping(format!("error converting claim '{claim}' to string from unknown type {kind}"))
    })
}

/// One value is a list of one.
fn list(claim: &str, value: &Value) -> Result<Vec<String>, Error> {
    let refused = || Error::Mapping(format!("{claim:?} list claim could not be converted to string list"));
    match value {
        Value::Array(items) => items.iter().map(|item| scalar(item).ok_or_else(refused)).collect(),
        value => Ok(vec![scalar(value).ok_or_else(refused)?]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: i64 = 1_000_000;

    fn expected() -> Expected {
        Expected {
            issuer: "me".into(),
            audiences: vec!["consul".into()],
            expiration_leeway: 150,
            not_before_leeway: 150,
            clock_skew: 60,
        }
    }

    fn judge(more: &Value) -> Result<(), String> {
        let mut claims = json!({"iss": "me", "aud": ["x", "consul"]});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        expected().check(claims.as_object().unwrap(), NOW).map_err(|error| error.to_string())
    }

    #[test]
    fn time_is_judged_with_leeway() {
        judge(&json!({"iat": NOW})).unwrap();
        judge(&json!({"iat": NOW - 150 - 59})).unwrap();
        assert!(judge(&json!({"iat": NOW - 150 - 61})).unwrap_err().contains("expired"));
        judge(&json!({"exp": NOW + 200})).unwrap();
        // Without an issue time it is not good yet when its end is far.
        assert!(judge(&json!({"exp": NOW + 600})).unwrap_err().contains("not valid yet"));
        assert!(judge(&json!({"nbf": NOW + 61})).unwrap_err().contains("not valid yet"));
        assert!(judge(&json!({"iat": NOW + 61, "nbf": NOW})).unwrap_err().contains("in the future"));
        assert!(judge(&json!({})).unwrap_err().starts_with("no issue time"));
        assert!(judge(&json!({"exp": i64::MAX, "nbf": i64::MIN})).is_ok());
    }

    #[test]
    fn issuer_and_audience_must_be_the_bound_ones() {
        assert!(judge(&json!({"iat": NOW, "iss": "you"})).unwrap_err().contains("(iss)"));
        assert!(judge(&json!({"iat": NOW, "aud": "other"})).unwrap_err().contains("bound audience"));
        assert!(judge(&json!({"iat": NOW, "aud": null})).is_err());
        judge(&json!({"iat": NOW, "aud": "consul"})).unwrap();
    }

    #[test]
    fn claims_are_mapped_by_name_and_by_path() {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let mappings = Mappings {
            values: map(&[("sub", "name"), ("/a/b", "deep"), ("none", "none")]),
            lists: map(&[("groups", "grps")]),
        };
        let claims = json!({"sub": "web", "a": {"b": 5.0}, "groups": "foo"});
        let proven = mappings.apply(claims.as_object().unwrap().clone()).unwrap();
        assert_eq!(proven.selectable, json!({"value": {"name": "web", "deep": "5"}, "list": {"grps": ["foo"]}}));
        assert_eq!(proven.variables["value.name"], "web");
        assert_eq!(proven.variables["value.none"], "");
        let bad = json!({"groups": {"a": 1}});
        assert!(mappings.apply(bad.as_object().unwrap().clone()).is_err());
    }
}
