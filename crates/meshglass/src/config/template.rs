//! Templates in addresses, `{{ GetPrivateIP }}`: the functions of go-sockaddr that configurations use.
//!
//! A template is a source of addresses and filters behind it, joined by `|`.

use std::cmp::Ordering;
use std::net::IpAddr;

use api::policy::Network;
use regex_lite::Regex;

use super::interfaces::InterfaceAddress;

/// What RFC 6890 sets apart: addresses that are not for the Internet at large.
const SET_APART: [&str; 18] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
    "2001:db8::/32",
];
const PRIVATE: [&str; 3] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

/// Replaces every `{{ … }}` of a text.
pub(super) fn expand(text: &str, interfaces: &[InterfaceAddress]) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, behind) = after.split_once("}}").ok_or_else(|| "a \"{{\" without \"}}\"".to_owned())?;
        out.push_str(before);
        out.push_str(&pipeline(inside.trim_matches('-').trim(), interfaces)?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// What a stage hands to the next one.
enum Flow {
    Addresses(Vec<InterfaceAddress>),
    Text(String),
}

fn pipeline(text: &str, interfaces: &[InterfaceAddress]) -> Result<String, String> {
    let mut stages = split(text)?.into_iter();
    let first = stages.next().filter(|words| !words.is_empty()).ok_or_else(|| "an empty template".to_owned())?;
    let mut flow = source(&first, interfaces)?;
    for words in stages {
        flow = match flow {
            Flow::Addresses(list) => stage(&words, list)?,
            Flow::Text(_) => return Err(format!("{:?} needs addresses, and gets a text", words.join(" "))),
        };
    }
    match flow {
        Flow::Text(text) => Ok(text),
        Flow::Addresses(_) => Err("a list of interfaces is no address; end with attr or join".to_owned()),
    }
}

/// Stages of words; quotation marks of both kinds hold words together.
fn split(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut stages = vec![Vec::new()];
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let last = stages.len() - 1;
        if c == '|' {
            stages.push(Vec::new());
            rest = &rest[1..];
        } else if c == '"' || c == '`' {
            let (word, behind) =
                rest[1..].split_once(c).ok_or_else(|| "a quotation mark without its end".to_owned())?;
            stages[last].push(word.replace("\\\\", "\\"));
            rest = behind;
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || c == '|').unwrap_or(rest.len());
            stages[last].push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(stages)
}

fn source(words: &[String], interfaces: &[InterfaceAddress]) -> Result<Flow, String> {
    let argument = || words.get(1).map(String::as_str).ok_or_else(|| format!("{} needs a name", words[0]));
    let of = |keep: &dyn Fn(&InterfaceAddress) -> bool| {
        let mut list: Vec<_> = interfaces.iter().filter(|one| keep(one)).cloned().collect();
        list.sort_by(usual_order);
        list
    };
    let private = |one: &InterfaceAddress| one.up && forwardable(one) && in_any(&SET_APART, one.address);
    let public = |one: &InterfaceAddress| one.up && forwardable(one) && !in_any(&SET_APART, one.address);
    Ok(match words[0].as_str() {
        "GetPrivateIP" => first_of(of(&private)),
        "GetPrivateIPs" => Flow::Text(join(&of(&private), "address", " ")?),
        "GetPublicIP" => first_of(of(&public)),
        "GetPublicIPs" => Flow::Text(join(&of(&public), "address", " ")?),
        "GetInterfaceIP" => {
            let name = regex(argument()?)?;
            first_of(of(&|one| name.is_match(&one.name) && forwardable(one)))
        }
        "GetInterfaceIPs" => {
            let name = regex(argument()?)?;
            Flow::Text(join(&of(&|one| name.is_match(&one.name)), "address", " ")?)
        }
        "GetAllInterfaces" => Flow::Addresses(interfaces.to_vec()),
        "GetDefaultInterfaces" => Flow::Addresses(of(&|one| one.default)),
        "GetPrivateInterfaces" => Flow::Addresses(of(&private)),
        "GetPublicInterfaces" => Flow::Addresses(of(&public)),
        other => return Err(format!("function {other:?} not defined")),
    })
}

fn stage(words: &[String], mut list: Vec<InterfaceAddress>) -> Result<Flow, String> {
    let argument = |at: usize| words.get(at).map(String::as_str).unwrap_or_default();
    let count = || argument(1).parse::<usize>().map_err(|_| format!("{} needs a number", argument(0)));
    match argument(0) {
        "include" | "exclude" => {
            let included = argument(0) == "include";
            let wanted = selector(argument(1), argument(2))?;
            list.retain(|one| wanted(one) == included);
        }
        "sort" => {
            let orders: Vec<_> = argument(1).split(',').map(str::trim).map(order).collect::<Result<_, _>>()?;
            list.sort_by(|a, b| orders.iter().map(|o| o(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal));
        }
        "limit" => list.truncate(count()?),
        "offset" => drop(list.drain(..count()?.min(list.len()))),
        "reverse" => list.reverse(),
        "unique" => {
            let key = argument(1);
            let mut seen: Vec<String> = Vec::new();
            for one in std::mem::take(&mut list) {
                let value = attribute(&one, key)?;
                if !seen.contains(&value) {
                    seen.push(value);
                    list.push(one);
                }
            }
        }
        "attr" => {
            return list
                .first()
                .map_or(Ok(Flow::Text(String::new())), |one| attribute(one, argument(1)).map(Flow::Text));
        }
        "join" => return join(&list, argument(1), argument(2)).map(Flow::Text),
        other => return Err(format!("function {other:?} not defined")),
    }
    Ok(Flow::Addresses(list))
}

type Selector = Box<dyn Fn(&InterfaceAddress) -> bool>;

fn selector(what: &str, value: &str) -> Result<Selector, String> {
    let unknown = || format!("unknown value {value:?} of {what:?}");
    Ok(match what.to_ascii_lowercase().as_str() {
        "name" => {
            let name = regex(value)?;
            Box::new(move |one| name.is_match(&one.name))
        }
        "address" => {
            let address = regex(value)?;
            Box::new(move |one| address.is_match(&one.address.to_string()))
        }
        "network" => {
            let network = Network::parse(value).ok_or_else(unknown)?;
            Box::new(move |one| network.contains(one.address))
        }
        "type" => match value.to_ascii_lowercase().as_str() {
            "ip" => Box::new(|_| true),
            "ipv4" => Box::new(|one| one.address.is_ipv4()),
            "ipv6" => Box::new(|one| one.address.is_ipv6()),
            _ => return Err(unknown()),
        },
        "size" => {
            let bits: u8 = value.trim_start_matches('/').parse().map_err(|_| unknown())?;
            Box::new(move |one| one.bits == bits)
        }
        "flag" | "flags" => flag(value).ok_or_else(unknown)?,
        "rfc" => match value {
            "1918" => Box::new(|one| in_any(&PRIVATE, one.address)),
            "6890" => Box::new(|one| in_any(&SET_APART, one.address)),
            _ => return Err(unknown()),
        },
        _ => return Err(format!("unknown selector {what:?}")),
    })
}

/// Several flags, joined by `|`, must all be there.
fn flag(value: &str) -> Option<Selector> {
    let one = |name: &str| -> Option<fn(&InterfaceAddress) -> bool> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "up" => |one| one.up,
            "loopback" => |one| one.loopback,
            "forwardable" => forwardable,
            "global unicast" | "globalunicast" => |one| !one.loopback && !link_local(one.address),
            "link-local unicast" => |one| link_local(one.address),
            "unspecified" => |one| one.address.is_unspecified(),
            "multicast" => |one| one.address.is_multicast(),
            _ => return None,
        })
    };
    let all: Vec<_> = value.split('|').map(one).collect::<Option<_>>()?;
    Some(Box::new(move |address| all.iter().all(|flag| flag(address))))
}

type Order = fn(&InterfaceAddress, &InterfaceAddress) -> Ordering;

fn order(text: &str) -> Result<Order, String> {
    Ok(match text {
        "address" | "+address" => |a, b| a.address.cmp(&b.address),
        "-address" => |a, b| b.address.cmp(&a.address),
        "default" | "+default" => |a, b| b.default.cmp(&a.default),
        "-default" => |a, b| a.default.cmp(&b.default),
        "name" | "+name" => |a, b| a.name.cmp(&b.name),
        "-name" => |a, b| b.name.cmp(&a.name),
        "private" | "+private" => |a, b| in_any(&PRIVATE, b.address).cmp(&in_any(&PRIVATE, a.address)),
        "-private" => |a, b| in_any(&PRIVATE, a.address).cmp(&in_any(&PRIVATE, b.address)),
        // A network with a longer prefix is the smaller one.
        "size" | "+size" => |a, b| b.bits.cmp(&a.bits),
        "-size" => |a, b| a.bits.cmp(&b.bits),
        "type" | "+type" => |a, b| a.address.is_ipv6().cmp(&b.address.is_ipv6()),
        "-type" => |a, b| b.address.is_ipv6().cmp(&a.address.is_ipv6()),
        other => return Err(format!("unknown order {other:?}")),
    })
}

/// The way to everywhere first, IPv4 before IPv6, small networks before large ones.
fn usual_order(a: &InterfaceAddress, b: &InterfaceAddress) -> Ordering {
    let key = |one: &InterfaceAddress| (one.address.is_ipv6(), !one.default, u8::MAX - one.bits);
    key(a).cmp(&key(b))
}

#[allow(clippy::needless_pass_by_value)]
fn first_of(list: Vec<InterfaceAddress>) -> Flow {
    Flow::Text(list.first().map(|one| one.address.to_string()).unwrap_or_default())
}

fn join(list: &[InterfaceAddress], what: &str, between: &str) -> Result<String, String> {
    let values: Vec<String> = list.iter().map(|one| attribute(one, what)).collect::<Result<_, _>>()?;
    Ok(values.join(between))
}

fn attribute(one: &InterfaceAddress, what: &str) -> Result<String, String> {
    Ok(match what.to_ascii_lowercase().as_str() {
        "address" | "host" => one.address.to_string(),
        "name" => one.name.clone(),
        "size" | "mask" => one.bits.to_string(),
        "string" | "network" => format!("{}/{}", one.address, one.bits),
        "type" => if one.address.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
        _ => return Err(format!("unknown attribute {what:?}")),
    })
}

fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("{text:?}: {error}"))
}

fn in_any(networks: &[&str], address: IpAddr) -> bool {
    networks.iter().filter_map(|text| Network::parse(text)).any(|network| network.contains(address))
}

fn forwardable(one: &InterfaceAddress) -> bool {
    !(one.loopback || link_local(one.address) || one.address.is_multicast() || one.address.is_unspecified())
}

fn link_local(address: IpAddr) -> bool {
    in_any(&["169.254.0.0/16", "fe80::/10"], address)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn machine() -> Vec<InterfaceAddress> {
        let one = |name: &str, network: &str| {
            let (address, bits) = network.split_once('/').unwrap();
            let (address, bits) = (address.parse().unwrap(), bits.parse().unwrap());
            let (loopback, default) = (name == "lo", name == "eth1");
            InterfaceAddress { name: name.to_owned(), address, bits, up: true, loopback, default }
        };
        vec![
            one("lo", "127.0.0.1/8"),
            one("lo", "::1/128"),
            one("eth0", "10.0.0.5/16"),
            one("eth0", "fe80::1/64"),
            one("eth1", "192.168.7.2/24"),
            one("eth1", "fd00::2/64"),
            one("ppp0", "8.8.1.1/32"),
        ]
    }

    #[test]
    fn the_templates_people_write_give_their_addresses() {
        for (template, address) in [
            ("{{ GetPrivateIP }}", "192.168.7.2"),
            ("{{GetPrivateIPs}}", "192.168.7.2 10.0.0.5 fd00::2"),
            ("{{ GetPublicIP }}", "8.8.1.1"),
            ("{{ GetInterfaceIP \"eth0\" }}", "10.0.0.5"),
            ("{{ GetInterfaceIP `eth1` }} 127.0.0.1", "192.168.7.2 127.0.0.1"),
            ("{{ GetInterfaceIP \"nope\" }}", ""),
            ("{{ GetInterfaceIP \"lo\" }}", ""),
            ("{{ GetInterfaceIPs \"lo\" }}", "127.0.0.1 ::1"),
            ("{{ GetPrivateInterfaces | include \"network\" \"10.0.0.0/8\" | attr \"address\" }}", "10.0.0.5"),
            ("{{ GetDefaultInterfaces | exclude \"type\" \"IPv6\" | attr \"address\" }}", "192.168.7.2"),
            (
                "{{ GetAllInterfaces | include \"name\" \"^eth\" | include \"flags\" \"forwardable|up\" | \
                 exclude \"type\" \"ipv6\" | sort \"-address\" | join \"address\" \" \" }}",
                "192.168.7.2 10.0.0.5",
            ),
            ("{{ GetAllInterfaces | include \"rfc\" \"1918\" | sort \"+size\" | limit 1 | attr \"name\" }}", "eth1"),
            ("{{ GetAllInterfaces | unique \"name\" | offset 1 | join \"name\" \",\" }}", "eth0,eth1,ppp0"),
            ("no template", "no template"),
        ] {
            assert_eq!(expand(template, &machine()).as_deref(), Ok(address), "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_said() {
        for (template, words) in [
            ("{{ GetBogus }}", "function \"GetBogus\" not defined"),
            ("{{ GetPrivateIP", "without"),
            ("{{ }}", "empty"),
            ("{{ GetAllInterfaces }}", "end with attr or join"),
            ("{{ GetPrivateIP | join \"address\" \" \" }}", "needs addresses"),
            ("{{ GetAllInterfaces | include \"colour\" \"red\" }}", "colour"),
            ("{{ GetInterfaceIP }}", "needs a name"),
            ("{{ GetAllInterfaces | attr \"x\" }}", "unknown attribute"),
        ] {
            let error = expand(template, &machine()).unwrap_err();
            assert!(error.contains(words), "{template}: {error}");
        }
    }
}
