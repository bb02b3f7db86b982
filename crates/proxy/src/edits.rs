//! Header edits, made ready to be applied to every message.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use plan::HeaderEdits;

/// Names and values that HTTP does not know are left out; the planner has said so.
#[derive(Default)]
pub(crate) struct Edits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl Edits {
    pub fn new(from: &HeaderEdits) -> Self {
        let pair = |(name, value): (&String, &String)| {
            Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
        };
        Self {
            remove: from.remove.iter().filter_map(|name| name.parse().ok()).collect(),
            set: from.set.iter().filter_map(pair).collect(),
            add: from.add.iter().filter_map(pair).collect(),
        }
    }

    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn removed_then_set_then_added() {
        let edits = Edits::new(&HeaderEdits {
            remove: vec!["X-Gone".into(), "not a name".into()],
            set: [("x-set".to_owned(), "1".to_owned()), ("x-gone".to_owned(), "back".to_owned())].into(),
            add: [("x-set".to_owned(), "2".to_owned()), ("x-bad".to_owned(), "\n".to_owned())].into(),
        });
        let mut headers = HeaderMap::new();
        headers.insert("x-gone", HeaderValue::from_static("old"));
        headers.insert("x-set", HeaderValue::from_static("0"));
        edits.apply(&mut headers);
        assert_eq!(headers["x-gone"], "back");
        assert_eq!(headers.get_all("x-set").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert!(!headers.contains_key("x-bad"));
    }
}
