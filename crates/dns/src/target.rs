//! What a name below our domain asks for.

use crate::config::Config;
use crate::name;
use crate::request::kind;
use crate::view::Lookup;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Instances {
        lookup: Lookup,
        tag: Option<String>,
    },
    Node(String),
    Query(String),
    /// An address in hexadecimal digits, as it stands in the targets of SRV records.
    Address(String),
    /// No name that could ever be.
    Nothing,
}

/// `prefix` is the name without our domain, in lower case.
pub fn of(prefix: &[u8], asked: u16, config: &Config) -> Target {
    let mut labels = Vec::with_capacity(8);
    for label in name::labels(prefix) {
        match std::str::from_utf8(label) {
            // A dot inside of a label is not the dot between two.
            Ok(text) if !text.contains('.') => labels.push(text),
            _ => return Target::Nothing,
        }
    }
    for (i, label) in labels.iter().enumerate().rev() {
        let (parts, suffix) = (&labels[..i], &labels[i + 1..]);
        match *label {
            "addr" => return address(parts),
            "service" | "connect" | "ingress" | "node" | "query" if !is_here(suffix, config) => {
                return Target::Nothing;
            }
            "service" => return service(parts),
            "connect" => return last(parts, Lookup::Connect),
            "ingress" => return last(parts, Lookup::Ingress),
            "node" => return joined(parts, Target::Node),
            "query" => return joined(parts, Target::Query),
            // RFC 2782 names need no word that says what they are.
            label if asked == kind::SRV && label.starts_with('_') => {
                return if is_here(suffix, config) { service(&labels[..=i]) } else { Target::Nothing };
            }
            _ => {}
        }
    }
    Target::Nothing
}

/// Whether the labels behind the kind mean this datacenter: nothing, its name, or pairs as newer versions write them
/// (`dc1.dc`, `default.ns.default.ap.dc1.dc`). There are no peers and no partitions but the default one.
fn is_here(suffix: &[&str], config: &Config) -> bool {
    let here = |name: &str| name.eq_ignore_ascii_case(&config.datacenter);
    match suffix {
        [] => true,
        [datacenter] => here(datacenter),
        pairs if pairs.len().is_multiple_of(2) => pairs.chunks(2).all(|pair| match pair[1] {
            "dc" => here(pair[0]),
            "ns" | "ap" => pair[0] == "default",
            _ => false,
        }),
        _ => false,
    }
}

fn service(parts: &[&str]) -> Target {
    let (name, tag) = match parts {
        [] => return Target::Nothing,
        [name, tag] if name.starts_with('_') && tag.starts_with('_') => {
            // `_tcp` is what every resolver of SRV names asks for: no tag.
            (&name[1..], Some(&tag[1..]).filter(|tag| *tag != "tcp").map(str::to_owned))
        }
        // A tag may hold dots.
        [tag @ .., name] => (*name, (!tag.is_empty()).then(|| tag.join("."))),
    };
    Target::Instances { lookup: Lookup::Service(name.to_owned()), tag: tag.filter(|tag| !tag.is_empty()) }
}

fn last(parts: &[&str], lookup: fn(String) -> Lookup) -> Target {
    match parts.last() {
        Some(name) => Target::Instances { lookup: lookup((*name).to_owned()), tag: None },
        None => Target::Nothing,
    }
}

fn joined(parts: &[&str], target: fn(String) -> Target) -> Target {
    if parts.is_empty() { Target::Nothing } else { target(parts.join(".")) }
}

fn address(parts: &[&str]) -> Target {
    match parts {
        [digits] => Target::Address((*digits).to_owned()),
        _ => Target::Nothing,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::name::Name;

    fn asked(text: &str, kind: u16) -> Target {
        let config = Config::new(Name::parse("consul").unwrap(), "dc1");
        let name = Name::parse(text).unwrap();
        of(&name.wire()[..name.wire().len() - 1], kind, &config)
    }

    fn service(name: &str, tag: Option<&str>) -> Target {
        Target::Instances { lookup: Lookup::Service(name.to_owned()), tag: tag.map(str::to_owned) }
    }

    #[test]
    fn names_of_services() {
        for (text, wanted) in [
            ("db.service", service("db", None)),
            ("db.service.dc1", service("db", None)),
            ("db.service.dc1.dc", service("db", None)),
            ("db.service.default.ns.default.ap.dc1.dc", service("db", None)),
            ("a.b.db.service", service("db", Some("a.b"))),
            ("_db._tcp.service", service("db", None)),
            ("_db._v1.service", service("db", Some("v1"))),
            ("db.service.dc9", Target::Nothing),
            ("db.service.dc9.dc", Target::Nothing),
            ("db.service.other.ns", Target::Nothing),
            ("db.service.cluster-01.peer", Target::Nothing),
            ("db.virtual", Target::Nothing),
            ("service", Target::Nothing),
            ("_db._tcp", Target::Nothing),
        ] {
            assert_eq!(asked(text, kind::A), wanted, "{text}");
        }
        assert_eq!(asked("_db._tcp", kind::SRV), service("db", None));
        assert_eq!(asked("_db._v1.dc1", kind::SRV), service("db", Some("v1")));
        assert_eq!(asked("_db._v1.dc9", kind::SRV), Target::Nothing);
    }

    #[test]
    fn the_other_kinds() {
        assert_eq!(asked("a.b.node.dc1", kind::A), Target::Node("a.b".to_owned()));
        assert_eq!(asked("a.b.query", kind::A), Target::Query("a.b".to_owned()));
        assert_eq!(asked("0a.addr.anything", kind::A), Target::Address("0a".to_owned()));
        assert_eq!(asked("x.0a.addr", kind::A), Target::Nothing);
        let connect = Target::Instances { lookup: Lookup::Connect("db".to_owned()), tag: None };
        assert_eq!(asked("x.db.connect", kind::A), connect);
    }

    #[test]
    fn a_dot_in_a_label_parts_nothing() {
        let config = Config::new(Name::parse("consul").unwrap(), "dc1");
        assert_eq!(of(b"\x03a.b\x04node", kind::A, &config), Target::Nothing);
        assert_eq!(of(b"\x02\xFF\xFE\x04node", kind::A, &config), Target::Nothing);
    }
}
