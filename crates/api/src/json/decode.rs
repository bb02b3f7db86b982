//! Request bodies into request types: key names in any case, unknown keys refused by name.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::scan::complaint;

/// What a request body may hold: the key names in their one canonical case.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Whatever the type makes of it; keys are kept as written.
    Any,
    Object(&'static [(&'static str, Shape)]),
    List(&'static Shape),
    /// User keys, values of one shape.
    Map(&'static Shape),
}

/// Parses JSON; the error is Go's text.
pub fn parse(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|_| complaint(body))
}

/// The first value of a body; what follows it is left unread, as by Go's streaming decoder.
pub(crate) fn first(body: &[u8]) -> Result<Value, String> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    values.next().and_then(Result::ok).ok_or_else(|| complaint(body))
}

/// Parses and decodes a body whose Go type is called `name` (it stands in the error text).
pub fn decode<T: DeserializeOwned>(body: &[u8], shape: &Shape, name: &str) -> Result<T, String> {
    let value = parse(body)?;
    if !value.is_object() {
        return Err(format!("json: cannot unmarshal {} into Go value of type {name}", kind(&value)));
    }
    shaped(value, shape)
}

/// Decodes a part of a body.
pub(crate) fn shaped<T: DeserializeOwned>(value: Value, shape: &Shape) -> Result<T, String> {
    let value = canonical(value, shape)?;
    serde_json::from_value(value).map_err(|e| format!("json: {e}"))
}

pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// `null` is the zero value everywhere in Go, so the key is left out.
fn canonical(value: Value, shape: &Shape) -> Result<Value, String> {
    match (shape, value) {
        (Shape::Object(fields), Value::Object(map)) => object(map, fields).map(Value::Object),
        (Shape::List(item), Value::Array(list)) => {
            list.into_iter().map(|value| canonical(value, item)).collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        (Shape::Map(item), Value::Object(map)) => {
            let entries = map.into_iter().map(|(key, value)| Ok((key, canonical(value, item)?)));
            entries.collect::<Result<Map<_, _>, String>>().map(Value::Object)
        }
        (_, value) => Ok(value),
    }
}

fn object(map: Map<String, Value>, fields: &[(&'static str, Shape)]) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    for (key, value) in map {
        let Some((name, shape)) = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key)) else {
            return Err(format!("json: unknown field {key:?}"));
        };
        if !value.is_null() {
            out.insert((*name).to_owned(), canonical(value, shape)?);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const INNER: Shape = Shape::Object(&[("Port", Shape::Any)]);
    const SHAPE: Shape =
        Shape::Object(&[("Name", Shape::Any), ("List", Shape::List(&INNER)), ("Map", Shape::Map(&INNER))]);

    fn read(body: &str) -> Result<Value, String> {
        decode(body.as_bytes(), &SHAPE, "structs.Thing")
    }

    #[test]
    fn keys_match_in_any_case_and_unknown_ones_are_named() {
        let value = read(r#"{"name":"x","LIST":[{"pOrT":1}],"map":{"aB":{"port":2}},"NAME":null}"#).unwrap();
        assert_eq!(value, serde_json::json!({"Name":"x","List":[{"Port":1}],"Map":{"aB":{"Port":2}}}));
        assert_eq!(read(r#"{"List":[{"Bogus":1}]}"#).unwrap_err(), "json: unknown field \"Bogus\"");
        assert_eq!(read("[]").unwrap_err(), "json: cannot unmarshal array into Go value of type structs.Thing");
        assert_eq!(read("{").unwrap_err(), "unexpected EOF");
    }
}
