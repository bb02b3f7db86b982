//! Answers that many ask for are encoded once per change, not once per client: a fleet of clients that all watch one
//! service gets the same bytes.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::response::Response;
use bytes::Bytes;

use crate::error::Error;
use crate::json;
use crate::query_options::QueryOptions;
use crate::response;

/// Kept answers, in all forms in which they can be asked for; when there are more, all are forgotten.
const KEPT_LIMIT_BYTES: usize = 32 << 20;
const KEPT_LIMIT: usize = 16_384;
/// An answer that is larger than this would drive out too many others.
const ANSWER_LIMIT_BYTES: usize = 4 << 20;
/// An answer and its other forms take at most about this many times its size.
const FORMS: usize = 3;
/// Parameters that say when, with which headers or in which form to answer, not what.
const BESIDES: [&str; 9] = ["index", "wait", "hash", "pretty", "stale", "consistent", "cached", "dc", "token"];

/// A JSON body in the forms in which it can be asked for. Marks an answer whose form is still to be chosen.
#[derive(Clone)]
pub(crate) struct Encoded(Arc<Forms>);

struct Forms {
    /// In Go's form.
    compact: Bytes,
    pretty: OnceLock<Bytes>,
    zipped: [OnceLock<Bytes>; 2],
}

impl Encoded {
    fn new(compact: &[u8]) -> Self {
        let compact = json::go_form(compact, false).into();
        Self(Arc::new(Forms { compact, pretty: OnceLock::new(), zipped: [OnceLock::new(), OnceLock::new()] }))
    }

    pub(crate) fn plain(&self, pretty: bool) -> &Bytes {
        let forms = &*self.0;
        if !pretty {
            return &forms.compact;
        }
        forms.pretty.get_or_init(|| json::go_form(&forms.compact, true).into())
    }

    pub(crate) fn zipped(&self, pretty: bool) -> &Bytes {
        self.0.zipped[usize::from(pretty)].get_or_init(|| zip(self.plain(pretty)))
    }
}

pub(crate) fn zip(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // A `Vec` takes whatever is written.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}

/// What is asked, and the index of the state that answers it.
pub(crate) struct Asked<'a> {
    pub route: &'static str,
    /// The rest of the path.
    pub name: &'a str,
    pub index: u64,
    /// The answer depends on nothing but the question and the index: neither on who asks nor on other topics.
    pub shared: bool,
}

/// The newest answer to each question.
#[derive(Default)]
pub(crate) struct Answers {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    answers: HashMap<String, (u64, Encoded)>,
    bytes: usize,
}

impl Answers {
    /// 200 with JSON, index and consistency; `make` writes it when nobody has asked since the last change.
    pub(crate) fn give(
        &self,
        options: &QueryOptions,
        asked: &Asked<'_>,
        make: impl FnOnce() -> Result<Vec<u8>, Error>,
    ) -> Result<Response, Error> {
        let question = asked.shared.then(|| question(asked, options));
        let known = question.as_ref().and_then(|question| self.find(question, asked.index));
        let encoded = match known {
            Some(encoded) => encoded,
            None => {
                let encoded = Encoded::new(&make()?);
                if let Some(question) = question {
                    self.keep(question, asked.index, encoded.clone());
                }
                encoded
            }
        };
        Ok(response::consistent(options, asked.index, response::encoded(encoded)))
    }

    fn find(&self, question: &str, index: u64) -> Option<Encoded> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.answers.get(question).filter(|(of, _)| *of == index).map(|(_, encoded)| encoded.clone())
    }

    fn keep(&self, question: String, index: u64, encoded: Encoded) {
        let size = size(&question, &encoded);
        if size > ANSWER_LIMIT_BYTES {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + size > KEPT_LIMIT_BYTES || kept.answers.len() >= KEPT_LIMIT {
            *kept = Kept::default();
        }
        if let Some((old, (_, encoded))) = kept.answers.remove_entry(&question) {
            kept.bytes -= self::size(&old, &encoded);
        }
        kept.bytes += size;
        kept.answers.insert(question, (index, encoded));
    }
}

fn size(question: &str, encoded: &Encoded) -> usize {
    question.len() + FORMS * encoded.plain(false).len()
}

/// The question as a key: route, name and the parameters that change the answer, in the order given.
fn question(asked: &Asked<'_>, options: &QueryOptions) -> String {
    // A byte that no URL holds undecoded parts them.
    let mut key = format!("{}\u{0}{}", asked.route, asked.name.to_lowercase());
    for (name, value) in options.params.pairs().filter(|(name, _)| !BESIDES.contains(name)) {
        key.extend(["\u{0}", name, "\u{1}", value]);
    }
    key
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ask(answers: &Answers, query: &str, index: u64, body: &str) -> String {
        let options = QueryOptions::parse(query).unwrap();
        let asked = Asked { route: "r", name: "Web", index, shared: !query.contains("near") };
        let answer = answers.give(&options, &asked, || Ok(body.as_bytes().to_vec())).unwrap();
        assert_eq!(answer.headers()["x-consul-index"], index.to_string());
        let encoded = answer.extensions().get::<Encoded>().unwrap();
        String::from_utf8(encoded.plain(false).to_vec()).unwrap()
    }

    #[test]
    fn the_same_question_at_the_same_index_is_answered_once() {
        let answers = Answers::default();
        assert_eq!(ask(&answers, "passing&index=4&wait=1s", 7, "[1]"), "[1]");
        assert_eq!(ask(&answers, "passing&stale", 7, "[2]"), "[1]");
        assert_eq!(ask(&answers, "passing=false", 7, "[3]"), "[3]");
        assert_eq!(ask(&answers, "passing", 8, "[4]"), "[4]");
        assert_eq!(ask(&answers, "passing", 8, "[5]"), "[4]");
        assert_eq!(ask(&answers, "passing&near=n", 8, "[6]"), "[6]");
        assert_eq!(ask(&answers, "passing&near=n", 8, "[7]"), "[7]");
        let kept = answers.kept.lock().unwrap();
        let sizes = kept.answers.iter().map(|(question, (_, encoded))| size(question, encoded));
        assert_eq!(kept.bytes, sizes.sum::<usize>());
    }

    #[test]
    fn what_is_kept_has_a_limit() {
        let answers = Answers::default();
        let large = format!("\"{}\"", "x".repeat(1 << 20));
        for number in 0..100 {
            ask(&answers, &format!("filter={number}"), 7, &large);
            let kept = answers.kept.lock().unwrap();
            assert!(kept.bytes <= KEPT_LIMIT_BYTES && !kept.answers.is_empty());
        }
        ask(&answers, "filter=huge", 7, &format!("\"{}\"", "x".repeat(2 << 20)));
        assert!(!answers.kept.lock().unwrap().answers.keys().any(|key| key.contains("huge")));
    }
}
