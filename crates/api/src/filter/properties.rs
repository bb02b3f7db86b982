#![allow(clippy::unwrap_used)]
//! What holds for every expression.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Field, Filter};

const FIELDS: Field = Field::Struct(&[
    ("Name", Field::Text),
    ("Port", Field::Number),
    ("Tags", Field::Texts),
    ("Meta", Field::TextMap),
    ("Native", Field::Bool),
]);

/// A match, and the match that says the opposite.
fn one() -> impl Strategy<Value = (String, String)> {
    let word = || prop::sample::select(vec!["web", "db", "v1", "", "a b"]);
    prop_oneof![
        word().prop_map(|w| (format!("Name == {w:?}"), format!("Name != {w:?}"))),
        (0_u8..4).prop_map(|n| (format!("Port == {n}"), format!("Port != {n}"))),
        word().prop_map(|w| (format!("{w:?} in Tags"), format!("{w:?} not in Tags"))),
        word().prop_map(|w| (format!("Tags contains {w:?}"), format!("Tags not contains {w:?}"))),
        word().prop_map(|w| (format!("Meta.k == {w:?}"), format!("Meta.k != {w:?}"))),
        Just(("Tags is empty".to_owned(), "Tags is not empty".to_owned())),
        Just(("Name matches \"^w\"".to_owned(), "Name not matches \"^w\"".to_owned())),
    ]
}

fn thing() -> impl Strategy<Value = Value> {
    let word = || prop::sample::select(vec!["web", "db", "v1", "", "a b"]);
    let tags = prop::collection::vec(word(), 0..3);
    (word(), 0_u8..4, tags, prop::option::of(word()), any::<bool>()).prop_map(|(name, port, tags, k, native)| {
        let meta = k.map_or(json!({}), |k| json!({ "k": k }));
        json!({"Name": name, "Port": port, "Tags": tags, "Meta": meta, "Native": native})
    })
}

fn says(text: &str, thing: &Value) -> bool {
    Filter::parse(text, &FIELDS).unwrap_or_else(|error| panic!("{text}: {error}")).matches(thing)
}

proptest! {
    #[test]
    fn the_words_mean_what_they_say((a, not_a) in one(), (b, _) in one(), thing in thing()) {
        prop_assert_eq!(says(&not_a, &thing), !says(&a, &thing), "{}", a);
        prop_assert_eq!(says(&format!("not ({a})"), &thing), !says(&a, &thing));
        prop_assert_eq!(says(&format!("{a} and {b}"), &thing), says(&a, &thing) && says(&b, &thing));
        prop_assert_eq!(says(&format!("({a}) or ({b})"), &thing), says(&a, &thing) || says(&b, &thing));
        // `and` binds tighter than `or`.
        let mixed = says(&format!("{a} or {b} and {a}"), &thing);
        prop_assert_eq!(mixed, says(&a, &thing) || (says(&b, &thing) && says(&a, &thing)));
    }

    /// Whatever is asked is answered or refused.
    #[test]
    fn nothing_panics(text in "[A-Za-z0-9 .()\"`!=\\[\\]/-]{0,40}", thing in thing()) {
        if let Ok(filter) = Filter::parse(&text, &FIELDS) {
            filter.matches(&thing);
        }
    }
}
