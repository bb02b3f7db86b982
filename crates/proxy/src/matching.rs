//! A route's conditions, made ready to be asked by every request.

use std::borrow::Cow;

use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderMap, Method};
use plan::{FieldMatch, Match, PathMatch, TextMatch};
use regex_lite::Regex;

/// A condition that cannot be made ready (a pattern that is none) holds for no request: the planner has said so.
pub(crate) struct Matcher {
    path: Text,
    any_path: bool,
    ignore_case: bool,
    methods: Vec<Method>,
    headers: Vec<Field<HeaderName>>,
    query: Vec<Field<String>>,
}

struct Field<N> {
    name: N,
    text: Text,
    invert: bool,
}

enum Text {
    Present,
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Regex(Regex),
    Never,
}

impl Text {
    fn new(from: &TextMatch) -> Self {
        match from {
            TextMatch::Present => Self::Present,
            TextMatch::Exact(text) => Self::Exact(text.clone()),
            TextMatch::Prefix(text) => Self::Prefix(text.clone()),
            TextMatch::Suffix(text) => Self::Suffix(text.clone()),
            TextMatch::Contains(text) => Self::Contains(text.clone()),
            TextMatch::Regex(pattern) => Self::regex(pattern),
        }
    }

    /// The whole text must match, as in Envoy.
    fn regex(pattern: &str) -> Self {
        Regex::new(&format!("^(?:{pattern})$")).map_or(Self::Never, Self::Regex)
    }

    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => value == text,
            Self::Prefix(text) => value.starts_with(text),
            Self::Suffix(text) => value.ends_with(text),
            Self::Contains(text) => value.contains(text),
            Self::Regex(regex) => regex.is_match(value),
            Self::Never => false,
        }
    }

    fn holds_ignoring_case(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => value.eq_ignore_ascii_case(text),
            Self::Prefix(text) => value.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text)),
            other => other.holds(value),
        }
    }
}

impl Matcher {
    pub fn new(from: &Match) -> Self {
        let path = match &from.path {
            PathMatch::Any => Text::Present,
            PathMatch::Exact(path) => Text::Exact(path.clone()),
            PathMatch::Prefix(path) => Text::Prefix(path.clone()),
            PathMatch::Regex(pattern) => Text::regex(pattern),
        };
        Self {
            path,
            any_path: from.path == PathMatch::Any,
            ignore_case: from.ignore_case,
            methods: from.methods.iter().filter_map(|name| Method::from_bytes(name.as_bytes()).ok()).collect(),
            headers: from.headers.iter().filter_map(|field| named(field, |n| n.parse().ok())).collect(),
            query: from.query.iter().filter_map(|field| named(field, |n| Some(n.to_owned()))).collect(),
        }
    }

    pub fn takes(&self, parts: &Parts) -> bool {
        self.takes_path(parts.uri.path())
            && (self.methods.is_empty() || self.methods.contains(&parts.method))
            && self.headers.iter().all(|field| field.holds(header(&parts.headers, &field.name).as_deref()))
            && self.query.iter().all(|field| field.holds(parameter(parts.uri.query(), &field.name).as_deref()))
    }

    fn takes_path(&self, path: &str) -> bool {
        match (self.any_path, self.ignore_case) {
            (true, _) => true,
            (false, true) => self.path.holds_ignoring_case(path),
            (false, false) => self.path.holds(path),
        }
    }

    /// The path with what matched replaced.
    pub fn rewritten(&self, path: &str, rewrite: &str) -> String {
        match &self.path {
            Text::Prefix(prefix) => format!("{rewrite}{}", path.get(prefix.len()..).unwrap_or_default()),
            _ => rewrite.to_owned(),
        }
    }
}

fn named<N>(field: &FieldMatch, name: impl Fn(&str) -> Option<N>) -> Option<Field<N>> {
    Some(Field { name: name(&field.name)?, text: Text::new(&field.is), invert: field.invert })
}

impl<N> Field<N> {
    /// What is not there fulfils no condition about its value, turned round or not: Envoy's rule.
    fn holds(&self, value: Option<&str>) -> bool {
        match value {
            Some(value) => self.text.holds(value) != self.invert,
            None => self.invert && matches!(self.text, Text::Present),
        }
    }
}

/// A header that is there several times is one list (RFC 9110 §5.3).
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = values.next()?;
    Some(values.fold(first, |all, next| Cow::Owned(format!("{all},{next}"))))
}

/// The first parameter of that name; escapes are compared as they are written, as in Envoy.
pub(crate) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    let mut pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| Cow::Borrowed(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = http::Request::builder().method(method).uri(uri);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn field(name: &str, is: TextMatch, invert: bool) -> FieldMatch {
        FieldMatch { name: name.to_owned(), is, invert }
    }

    #[test]
    fn paths() {
        let takes = |path: PathMatch, ignore_case, uri: &str| {
            Matcher::new(&Match { path, ignore_case, ..Match::default() }).takes(&parts("GET", uri, &[]))
        };
        assert!(takes(PathMatch::Any, false, "/x"));
        assert!(
            takes(PathMatch::Exact("/a".into()), false, "/a?q=1")
                && !takes(PathMatch::Exact("/a".into()), false, "/ab")
        );
        assert!(
            takes(PathMatch::Prefix("/a".into()), false, "/ab") && !takes(PathMatch::Prefix("/a".into()), false, "/A")
        );
        assert!(takes(PathMatch::Prefix("/a".into()), true, "/Ab") && takes(PathMatch::Exact("/a".into()), true, "/A"));
        assert!(takes(PathMatch::Regex("/[0-9]+".into()), false, "/12"));
        assert!(!takes(PathMatch::Regex("/[0-9]+".into()), false, "/12x"), "the whole path");
        assert!(!takes(PathMatch::Regex("(".into()), false, "/"), "what is no pattern takes nothing");
    }

    #[test]
    fn headers_methods_and_parameters() {
        let with = |headers: Vec<FieldMatch>, query: Vec<FieldMatch>, methods: &[&str]| {
            let methods = methods.iter().map(|m| (*m).to_owned()).collect();
            Matcher::new(&Match { headers, query, methods, ..Match::default() })
        };
        let x = |is, invert| with(vec![field("X-V", is, invert)], Vec::new(), &[]);
        let has = |value: &str| parts("GET", "/", &[("x-v", value)]);
        let hasnt = parts("GET", "/", &[]);
        for (is, good, bad) in [
            (TextMatch::Exact("2".into()), "2", "22"),
            (TextMatch::Prefix("2".into()), "22", "12"),
            (TextMatch::Suffix("2".into()), "12", "21"),
            (TextMatch::Contains("2".into()), "123", "13"),
            (TextMatch::Regex("a|b".into()), "b", "ab"),
        ] {
            assert!(x(is.clone(), false).takes(&has(good)) && !x(is.clone(), false).takes(&has(bad)), "{is:?}");
            assert!(!x(is.clone(), true).takes(&has(good)) && x(is.clone(), true).takes(&has(bad)), "not {is:?}");
            assert!(!x(is.clone(), false).takes(&hasnt) && !x(is, true).takes(&hasnt));
        }
        assert!(x(TextMatch::Present, false).takes(&has("")) && !x(TextMatch::Present, false).takes(&hasnt));
        assert!(x(TextMatch::Present, true).takes(&hasnt) && !x(TextMatch::Present, true).takes(&has("")));
        let twice = parts("GET", "/", &[("x-v", "1"), ("x-v", "2")]);
        assert!(x(TextMatch::Exact("1,2".into()), false).takes(&twice));
        let posts = with(Vec::new(), Vec::new(), &["POST", "PUT"]);
        assert!(posts.takes(&parts("PUT", "/", &[])) && !posts.takes(&hasnt));
        let query = with(Vec::new(), vec![field("q", TextMatch::Exact("1".into()), false)], &[]);
        assert!(query.takes(&parts("GET", "/?a=2&q=1", &[])) && !query.takes(&parts("GET", "/?q=2&q=1", &[])));
        let present = with(Vec::new(), vec![field("q", TextMatch::Present, false)], &[]);
        assert!(present.takes(&parts("GET", "/?q", &[])) && !present.takes(&hasnt));
    }

    #[test]
    fn rewriting_replaces_what_matched() {
        let prefix = Matcher::new(&Match { path: PathMatch::Prefix("/old".into()), ..Match::default() });
        assert_eq!(prefix.rewritten("/old/x", "/new"), "/new/x");
        assert_eq!(prefix.rewritten("/old", "/"), "/");
        let exact = Matcher::new(&Match { path: PathMatch::Exact("/old".into()), ..Match::default() });
        assert_eq!(exact.rewritten("/old", "/new"), "/new");
    }
}
