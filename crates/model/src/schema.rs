//! Shapes of blocks that are kept as JSON in Consul's canonical keys (CamelCase), as tables: a reader that knows the
//! table checks a block, corrects the weak parts and gives the canonical form.

use serde_json::Value as Json;

use crate::decode::{Decoder, ProblemKind, join};
use crate::format_duration;
use crate::hcl::{Node, Value};
use crate::service::OpaqueMap;

pub(crate) enum Shape {
    Text,
    Bool,
    /// A whole number between two limits.
    Integer(i64, i64),
    Number,
    Duration,
    Texts,
    Integers(i64, i64),
    TextMap,
    /// A block whose keys are kept as written.
    OpaqueMap,
    /// Kept as written, whatever it is.
    Opaque,
    Block(&'static [Field]),
    Blocks(&'static [Field]),
    /// A map from names that users choose to blocks.
    Named(&'static [Field]),
    /// Understood and dropped: indexes that a client sends back.
    Ignored,
}

/// The key in CamelCase and what stands under it.
pub(crate) struct Field(pub &'static str, pub Shape);

pub(crate) const PORT: Shape = Shape::Integer(0, u16::MAX as i64);
pub(crate) const COUNT: Shape = Shape::Integer(0, u32::MAX as i64);

/// Neither case nor underscores count in a key.
fn find<'a>(fields: &'a [Field], key: &str) -> Option<&'a Field> {
    let letters = || key.bytes().filter(|b| *b != b'_').map(|b| b.to_ascii_lowercase());
    fields.iter().find(|field| letters().eq(field.0.bytes().map(|b| b.to_ascii_lowercase())))
}

pub(crate) fn canonical(decoder: &mut Decoder, node: &Node, fields: &[Field], path: &str) -> OpaqueMap {
    let mut out = OpaqueMap::new();
    let Some(object) = decoder.block(node, path) else {
        return out;
    };
    for entry in &object.entries {
        let Some(Field(key, shape)) = find(fields, &entry.key) else {
            let kind = ProblemKind::UnknownKey { key: entry.key.clone() };
            decoder.problem(entry.at, &join(path, &entry.key), kind);
            continue;
        };
        if entry.node.value == Value::Null {
            continue;
        }
        if let Some(value) = value(decoder, &entry.node, shape, &join(path, key)) {
            out.insert((*key).to_owned(), value);
        }
    }
    out
}

fn value(decoder: &mut Decoder, node: &Node, shape: &Shape, path: &str) -> Option<Json> {
    Some(match shape {
        Shape::Text => Json::String(decoder.text(node, path)?),
        Shape::Bool => Json::Bool(decoder.boolean(node, path)?),
        Shape::Integer(low, high) => Json::from(decoder.integer(node, path, *low, *high)?),
        Shape::Number => number(decoder.number(node, path)?),
        Shape::Duration => Json::String(format_duration(decoder.duration(node, path)?)),
        Shape::Texts => Json::from(decoder.texts(node, path)),
        Shape::Integers(low, high) => {
            let items = decoder.items(node, path);
            items.iter().filter_map(|(item, path)| decoder.integer(item, path, *low, *high)).map(Json::from).collect()
        }
        Shape::TextMap => {
            Json::Object(decoder.text_map(node, path).into_iter().map(|(k, v)| (k, Json::String(v))).collect())
        }
        Shape::OpaqueMap => Json::Object(decoder.opaque(node, path)),
        Shape::Opaque => match &node.value {
            Value::List(items) if items.len() == 1 && matches!(items[0].value, Value::Object(_)) => items[0].to_json(),
            _ => node.to_json(),
        },
        Shape::Block(fields) => Json::Object(canonical(decoder, node, fields, path)),
        Shape::Blocks(fields) => {
            let items = decoder.items(node, path);
            items.iter().map(|(item, path)| Json::Object(canonical(decoder, item, fields, path))).collect()
        }
        Shape::Named(fields) => {
            let object = decoder.block(node, path)?;
            let named = |entry: &crate::hcl::Entry| {
                let body = canonical(decoder, &entry.node, fields, &format!("{path}[{}]", entry.key));
                (entry.key.clone(), Json::Object(body))
            };
            Json::Object(object.entries.iter().map(named).collect())
        }
        Shape::Ignored => return None,
    })
}

/// Go prints 50.0 as 50.
fn number(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() < 9e15 { Json::from(number as i64) } else { Json::from(number) }
}

pub(crate) const EXPOSE: &[Field] = &[
    Field("Checks", Shape::Bool),
    Field(
        "Paths",
        Shape::Blocks(&[
            Field("ListenerPort", PORT),
            Field("Path", Shape::Text),
            Field("LocalPathPort", PORT),
            Field("Protocol", Shape::Text),
            Field("ParsedFromCheck", Shape::Bool),
        ]),
    ),
];

pub(crate) const MESH_GATEWAY: &[Field] = &[Field("Mode", Shape::Text)];
