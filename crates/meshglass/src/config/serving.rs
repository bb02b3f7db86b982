//! How ports are served: `http_config`, `limits`, `tls`, `dns_config`.

use std::path::PathBuf;
use std::time::Duration;

use api::listen::Limits;
use api::policy::{Network, Policy, Waits};
use api::tls::TlsSettings;
use http::{HeaderName, HeaderValue};
use model::parse_duration;

use super::meant::{Dns, Soa};
use super::reading::Reading;

const DOMAIN: &str = "consul.";
const RECURSOR_TIMEOUT: Duration = Duration::from_secs(2);
/// Ten years.
const MAX_STALE: Duration = Duration::from_secs(87600 * 3600);
const UDP_ANSWER_LIMIT: i64 = 3;
/// As Go's TLS calls them; the first column is every version's, the rest TLS 1.2's.
const CIPHER_SUITES: [&str; 15] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
];

impl Reading {
    pub fn policy(&mut self) -> Policy {
        let path = "http_config.allow_write_http_from";
        let mut allow_write_from = Vec::new();
        for text in self.texts(path) {
            match Network::parse(&text) {
                Some(network) => allow_write_from.push(network),
                None => self.complain(path, format!("allow_write_http_from: invalid cidr: {text}")),
            }
        }
        let path = "http_config.response_headers";
        let mut response_headers = Vec::new();
        for (name, value) in self.map(path) {
            match (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str())) {
                (Ok(name), Ok(value)) => response_headers.push((name, value)),
                _ => self.complain(path, format!("{path}: {name:?} = {value:?} is no HTTP header")),
            }
        }
        let default = Waits::default();
        let waits = Waits {
            default: self.some_duration("default_query_time").unwrap_or(default.default),
            longest: self.some_duration("max_query_time").unwrap_or(default.longest),
        };
        let block_endpoints = self.texts("http_config.block_endpoints");
        Policy { response_headers, block_endpoints, allow_write_from, waits }
    }

    pub fn limits(&mut self) -> Limits {
        let default = Limits::default();
        let given = self.number("limits.http_max_conns_per_client").map(|n| usize::try_from(n).unwrap_or(0));
        let header_bytes = self.count("http_config.max_header_bytes", 0);
        let handshake = self.duration("limits.https_handshake_timeout", default.handshake_timeout);
        Limits {
            connections_per_client: given.unwrap_or(default.connections_per_client),
            connections_of_loopback: given.unwrap_or(default.connections_of_loopback),
            header_bytes: match usize::try_from(header_bytes) {
                Ok(0) | Err(_) => default.header_bytes,
                Ok(bytes) => bytes,
            },
            // Zero is no limit in Consul; a handshake that takes an hour is none.
            handshake_timeout: if handshake.is_zero() { Duration::from_secs(3600) } else { handshake },
        }
    }

    /// `tls.https` over `tls.defaults`.
    pub fn https_tls(&mut self) -> TlsSettings {
        let path = |read: &Self, name: &str| {
            let own = read.full_text(&format!("tls.https.{name}"));
            own.or_else(|| read.full_text(&format!("tls.defaults.{name}")))
        };
        let file = |read: &Self, name: &str| path(read, name).map(PathBuf::from);
        let verify = self.boolean("tls.https.verify_incoming").or(self.boolean("tls.defaults.verify_incoming"));
        let version = path(self, "tls_min_version").unwrap_or_default();
        let only_tls13 = self.only_tls13(&version);
        let suites = path(self, "tls_cipher_suites").unwrap_or_default();
        TlsSettings {
            ca_file: file(self, "ca_file"),
            ca_path: file(self, "ca_path"),
            cert_file: file(self, "cert_file"),
            key_file: file(self, "key_file"),
            verify_incoming: verify.unwrap_or_default(),
            only_tls13,
            cipher_suites: self.cipher_suites(&suites),
        }
    }

    /// The names of Consul 1.8 and those since 1.12.
    fn only_tls13(&mut self, version: &str) -> bool {
        let path = ["tls.https.tls_min_version", "tls.defaults.tls_min_version"]
            .into_iter()
            .find(|path| self.full_text(path).is_some())
            .unwrap_or_default();
        match version.to_ascii_lowercase().as_str() {
            "" | "tls12" | "tlsv1_2" | "tls_auto" => {}
            "tls13" | "tlsv1_3" => return true,
            "tls10" | "tls11" | "tlsv1_0" | "tlsv1_1" => {
                self.note(
                    path,
                    &format!("tls_min_version = {version:?}: TLS 1.2 is the oldest version that is spoken"),
                );
            }
            _ => self.complain(
                path,
                format!("tls_min_version: no such TLS version: {version:?}, expected TLSv1_2 or TLSv1_3"),
            ),
        }
        false
    }

    fn cipher_suites(&mut self, text: &str) -> Vec<String> {
        let path = ["tls.https.tls_cipher_suites", "tls.defaults.tls_cipher_suites"]
            .into_iter()
            .find(|path| self.full_text(path).is_some())
            .unwrap_or_default();
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).filter(|n| !n.is_empty()).collect();
        for name in &names {
            if !CIPHER_SUITES.contains(&name.as_str()) {
                self.complain(
                    path,
                    format!("tls_cipher_suites: invalid tls cipher suites: unsupported cipher {name:?}"),
                );
            } else if name.contains("_CBC_") {
                self.note(path, &format!("tls_cipher_suites: {name} is not spoken: it has known weaknesses"));
            }
        }
        names
    }

    pub fn dns(&mut self) -> Dns {
        let strategy = self.full_text("dns_config.recursor_strategy").unwrap_or_else(|| "sequential".to_owned());
        if !["sequential", "random"].contains(&strategy.as_str()) {
            let text = format!("dns_config.recursor_strategy: expected sequential or random, got {strategy:?}");
            self.complain("dns_config.recursor_strategy", text);
        }
        let ttl = |text: &String| parse_duration(text).unwrap_or_default();
        let service_ttl =
            self.map("dns_config.service_ttl").iter().map(|(name, text)| (name.clone(), ttl(text))).collect();
        let limit = |read: &mut Self, name: &str, default| {
            usize::try_from(read.count(&format!("dns_config.{name}"), default)).unwrap_or(usize::MAX)
        };
        let seconds = |read: &mut Self, name: &str, default| {
            u32::try_from(read.count(&format!("dns_config.soa.{name}"), default)).unwrap_or(u32::MAX)
        };
        Dns {
            domain: self.full_text("domain").unwrap_or_else(|| DOMAIN.to_owned()),
            alt_domain: self.text("alt_domain"),
            recursors: self.texts("recursors"),
            recursor_strategy: strategy,
            recursor_timeout: self.duration("dns_config.recursor_timeout", RECURSOR_TIMEOUT),
            allow_stale: self.boolean("dns_config.allow_stale").unwrap_or(true),
            max_stale: self.duration("dns_config.max_stale", MAX_STALE),
            node_ttl: self.duration("dns_config.node_ttl", Duration::ZERO),
            service_ttl,
            only_passing: self.on("dns_config.only_passing"),
            udp_answer_limit: limit(self, "udp_answer_limit", UDP_ANSWER_LIMIT),
            a_record_limit: limit(self, "a_record_limit", 0),
            enable_truncate: self.on("dns_config.enable_truncate"),
            disable_compression: self.on("dns_config.disable_compression"),
            node_meta_txt: self.boolean("dns_config.enable_additional_node_meta_txt").unwrap_or(true),
            use_cache: self.on("dns_config.use_cache"),
            cache_max_age: self.duration("dns_config.cache_max_age", Duration::ZERO),
            soa: Soa {
                refresh: seconds(self, "refresh", 3600),
                retry: seconds(self, "retry", 600),
                expire: seconds(self, "expire", 86400),
                min_ttl: seconds(self, "min_ttl", 0),
            },
        }
    }
}
