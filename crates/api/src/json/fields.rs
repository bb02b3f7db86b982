//! Objects read field by field, the way Go's decoder reads them into a struct: names in any case, `null` as nothing,
//! mistakes named by the struct's field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::decode::kind;

pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// What Go's texts call the struct.
    place: &'static str,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(map: &'a Map<String, Value>, place: &'static str) -> Self {
        Self { map, place }
    }

    /// An object inside this one, called `place` in texts; none when it is left out.
    pub(crate) fn object(&self, name: &str, of: &str, place: &'static str) -> Result<Option<Self>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self::new(map, place))),
            Some(other) => Err(self.wrong(name, other, of)),
        }
    }

    /// Refuses a name that is none of these.
    pub(crate) fn refuse_unknown(&self, known: &[&str]) -> Result<(), String> {
        let unknown = self.map.keys().find(|key| !known.iter().any(|name| name.eq_ignore_ascii_case(key)));
        unknown.map_or(Ok(()), |key| Err(format!("json: unknown field {key:?}")))
    }

    /// Whether the field is given, `null` included.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.keys().any(|key| key.eq_ignore_ascii_case(name))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        let (_, value) = self.map.iter().rfind(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value).filter(|value| !value.is_null())
    }

    /// Empty when left out.
    pub(crate) fn text(&self, name: &str) -> Result<&'a str, String> {
        match self.get(name) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(self.wrong(name, other, "string")),
        }
    }

    /// 0 when left out.
    pub(crate) fn uint(&self, name: &str) -> Result<u64, String> {
        match self.get(name) {
            None => Ok(0),
            Some(Value::Number(number)) => number.as_u64().ok_or_else(|| {
                format!(
                    "json: cannot unmarshal number {number} into Go struct field {}.{name} of type uint64",
                    self.place
                )
            }),
            Some(other) => Err(self.wrong(name, other, "uint64")),
        }
    }

    /// Empty when left out.
    pub(crate) fn list(&self, name: &str, of: &str) -> Result<&'a [Value], String> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => Err(self.wrong(name, other, &format!("[]{of}"))),
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let text = |item: &Value| match item {
            Value::String(text) => Ok(text.clone()),
            Value::Null => Ok(String::new()),
            other => Err(self.wrong(name, other, "string")),
        };
        self.list(name, "string")?.iter().map(text).collect()
    }

    /// Empty when left out.
    pub(crate) fn text_map(&self, name: &str) -> Result<BTreeMap<String, String>, String> {
        let map = match self.get(name) {
            None => return Ok(BTreeMap::new()),
            Some(Value::Object(map)) => map,
            Some(other) => return Err(self.wrong(name, other, "map[string]string")),
        };
        let text = |(key, value): (&String, &Value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            Value::Null => Ok((key.clone(), String::new())),
            other => Err(self.wrong(name, other, "string")),
        };
        map.iter().map(text).collect()
    }

    pub(crate) fn wrong(&self, name: &str, value: &Value, wanted: &str) -> String {
        let (found, place) = (kind(value), self.place);
        format!("json: cannot unmarshal {found} into Go struct field {place}.{name} of type {wanted}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_complains_as_go_does() {
        let value = serde_json::json!({"name": "a", "NUMBER": 7, "List": ["x", null], "Nothing": null, "Low": -1});
        let Value::Object(map) = &value else { panic!("an object") };
        let fields = Fields::new(map, "Thing");
        assert_eq!((fields.text("Name"), fields.uint("Number")), (Ok("a"), Ok(7)));
        assert_eq!(fields.texts("List"), Ok(vec!["x".to_owned(), String::new()]));
        assert_eq!((fields.text("Nothing"), fields.has("nothing")), (Ok(""), true));
        for (complaint, words) in [
            (
                fields.text("Number").err(),
                "json: cannot unmarshal number into Go struct field Thing.Number of type string",
            ),
            (
                fields.uint("Low").err(),
                "json: cannot unmarshal number -1 into Go struct field Thing.Low of type uint64",
            ),
            (
                fields.texts("Name").err(),
                "json: cannot unmarshal string into Go struct field Thing.Name of type []string",
            ),
            (fields.refuse_unknown(&["Name", "Number", "List", "Nothing"]).err(), "json: unknown field \"Low\""),
        ] {
            assert_eq!(complaint.as_deref(), Some(words));
        }
    }
}
