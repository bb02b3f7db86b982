//! `tls ca create`, `tls cert create`: certificates for the agents' own ports.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use ca::PrivateKeyPem;
use ca::agent_tls::{self, AuthorityTerms, Made, Terms};
use clap::{Arg, ArgMatches, Command};

use super::flags::{every, given, list, number, on, rest, switch, text};
use super::{Failure, Outcome, Output, open_error};

const CA_DAYS: u32 = 1825;
const CERT_DAYS: u32 = 365;
const DOMAIN: &str = "consul";
/// Consul's limit of certificates of one kind in one directory.
const MAX_FILES: u32 = 10_000;
const READABLE: u32 = 0o644;
const SECRET: u32 = 0o600;
const SERVER_WARNING: &str = "\
==> WARNING: Server Certificates grants authority to become a
    server and access all state in the cluster including root keys
    and all ACL tokens. Do not distribute them to production hosts
    that are not server nodes. Store them as securely as CA keys.
";

pub fn command() -> Command {
    let ca = Command::new("ca")
        .about("Certificate authorities for agents")
        .long_about("Makes a certificate authority for agents' certificates.\n\n    $ consul tls ca create")
        .subcommand(
            Command::new("create")
                .about("Make a certificate authority")
                .long_about("Writes <domain>-agent-ca.pem and <domain>-agent-ca-key.pem into this directory.")
                .args(ca_flags())
                .arg(rest("")),
        );
    let cert = Command::new("cert")
        .about("Certificates of agents")
        .long_about("Makes certificates for agents and their clients.\n\n    $ consul tls cert create -server")
        .subcommand(
            Command::new("create")
                .about("Make a certificate")
                .long_about(
                    "Signs a certificate with an authority made by `tls ca create`, and writes it and its key into \
                     this directory.\n\n    $ consul tls cert create -server\n    $ consul tls cert create -client",
                )
                .args(cert_flags())
                .arg(rest("")),
        );
    Command::new("tls")
        .about("Make certificates for agents")
        .long_about(
            "Makes certificates for the agents' own ports.\n\n    $ consul tls ca create\n    \
             $ consul tls cert create -server",
        )
        .subcommand(ca)
        .subcommand(cert)
}

fn ca_flags() -> [Arg; 6] {
    [
        list("additional-name-constraint", "value", "With -name-constraint: a further domain it may sign for."),
        text("cluster-id", "string", "The cluster whose trust domain it stands for (newer versions)."),
        text("common-name", "string", "Its name. Default: Consul Agent CA and its serial number (newer versions)."),
        number("days", "How long it is valid. Default: 1825."),
        text("domain", "string", "The cluster's domain. Default: consul."),
        switch("name-constraint", "Let it sign for localhost and the domain only."),
    ]
}

fn cert_flags() -> [Arg; 11] {
    [
        list("additional-dnsname", "value", "A further name, beside localhost."),
        list("additional-ipaddress", "value", "A further address, beside 127.0.0.1."),
        text("ca", "string", "The authority's certificate. Default: #DOMAIN#-agent-ca.pem."),
        switch("cli", "For a command line."),
        switch("client", "For a client agent."),
        number("days", "How long it is valid. Default: 365."),
        text("dc", "string", "The datacenter. Default: dc1."),
        text("domain", "string", "The cluster's domain. Default: consul."),
        text("key", "string", "The authority's key. Default: #DOMAIN#-agent-ca-key.pem."),
        text("node", "string", "With -server: the node's name, for <node>.server.<datacenter>.<domain>."),
        switch("server", "For a server."),
    ]
}

/// `tls ca create` and `tls cert create`.
pub fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand().map(|(group, matches)| (group, matches.subcommand())) {
        Some(("ca", Some((_, matches)))) => create_ca(matches),
        Some(("cert", Some((_, matches)))) => create_cert(matches),
        // The tree has no other command.
        _ => Err(Failure::new("tls: no such command")),
    }
}

fn create_ca(matches: &ArgMatches) -> Outcome {
    let domain = given(matches, "domain").unwrap_or(DOMAIN);
    let (certificate, key) = (format!("{domain}-agent-ca.pem"), format!("{domain}-agent-ca-key.pem"));
    for file in [&certificate, &key] {
        if Path::new(file).exists() {
            return Err(Failure::new(format!("{file} already exists.")));
        }
    }
    let mut permitted_domains = Vec::new();
    if on(matches, "name-constraint") {
        permitted_domains = every(matches, "additional-name-constraint");
        permitted_domains.extend([domain.to_owned(), "localhost".to_owned()]);
    }
    let terms = AuthorityTerms {
        days: days(matches, CA_DAYS)?,
        common_name: given(matches, "common-name").unwrap_or_default().to_owned(),
        cluster_id: given(matches, "cluster-id").unwrap_or_default().to_owned(),
        permitted_domains,
    };
    let made = agent_tls::authority(&terms, SystemTime::now()).map_err(|error| Failure::new(error.to_string()))?;
    let mut out = Output::default();
    save(&made, &certificate, &key, &mut out)?;
    Ok(out)
}

fn create_cert(matches: &ArgMatches) -> Outcome {
    let kinds: Vec<&str> = ["server", "client", "cli"].into_iter().filter(|kind| on(matches, kind)).collect();
    let [kind] = kinds[..] else {
        return Err(Failure::new("Please provide either -server, -client, or -cli"));
    };
    let node = given(matches, "node");
    if node.is_some() && kind != "server" {
        return Err(Failure::new("-node requires -server"));
    }
    let domain = given(matches, "domain").unwrap_or(DOMAIN);
    let datacenter = given(matches, "dc").unwrap_or("dc1");
    let file = |flag, default: &str| given(matches, flag).unwrap_or(default).replace("#DOMAIN#", domain);
    let (ca_file, key_file) = (file("ca", "#DOMAIN#-agent-ca.pem"), file("key", "#DOMAIN#-agent-ca-key.pem"));
    let ca = read("CA", &ca_file)?;
    let ca_key = PrivateKeyPem::new(read("CA key", &key_file)?);
    let terms = Terms {
        days: days(matches, CERT_DAYS)?,
        common_name: format!("{kind}.{datacenter}.{domain}"),
        dns_names: names(matches, kind, node, datacenter, domain),
        addresses: addresses(matches, kind)?,
        purposes: kind != "cli",
    };
    let (certificate, key) = free_names(&format!("{datacenter}-{kind}-{domain}"))?;
    let mut out = Output::text(if kind == "server" { SERVER_WARNING } else { "" });
    out.stdout.push_str(&format!("==> Using {ca_file} and {key_file}\n"));
    let made = agent_tls::certificate(&ca, &ca_key, &terms, SystemTime::now());
    let made = made.map_err(|error| Failure { done: out.stdout.clone(), ..Failure::new(error.to_string()) })?;
    save(&made, &certificate, &key, &mut out)?;
    Ok(out)
}

fn days(matches: &ArgMatches, default: u32) -> Result<u32, Failure> {
    let Some(days) = matches.get_one::<i64>("days").copied() else { return Ok(default) };
    // A century is longer than any certificate should live, and far from the calendar's end.
    u32::try_from(days)
        .ok()
        .filter(|days| (1..=36_500).contains(days))
        .ok_or_else(|| Failure::new(format!("-days must be between 1 and 36500, got {days}")))
}

fn names(matches: &ArgMatches, kind: &str, node: Option<&str>, datacenter: &str, domain: &str) -> Vec<String> {
    let mut names = every(matches, "additional-dnsname");
    names.extend(node.map(|node| format!("{node}.server.{datacenter}.{domain}")));
    names.extend([format!("{kind}.{datacenter}.{domain}"), "localhost".to_owned()]);
    names
}

fn addresses(matches: &ArgMatches, kind: &str) -> Result<Vec<IpAddr>, Failure> {
    let read = |text: &String| {
        text.trim().parse().map_err(|_| Failure::new(format!("invalid -additional-ipaddress: \"{text}\"")))
    };
    let mut addresses: Vec<IpAddr> =
        every(matches, "additional-ipaddress").iter().map(read).collect::<Result<_, _>>()?;
    if kind != "cli" {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    Ok(addresses)
}

/// The first number of which neither the certificate nor the key is there.
fn free_names(prefix: &str) -> Result<(String, String), Failure> {
    for n in 0..MAX_FILES {
        let (certificate, key) = (format!("{prefix}-{n}.pem"), format!("{prefix}-{n}-key.pem"));
        if !Path::new(&certificate).exists() && !Path::new(&key).exists() {
            return Ok((certificate, key));
        }
    }
    Err(Failure::new(format!("could not find a filename that doesn't already exist: {prefix}-<n>.pem")))
}

fn read(what: &str, file: &str) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("Error reading {what}: {}", open_error(file, &error))))
}

/// A file that is there is somebody's: none is ever overwritten.
fn save(made: &Made, certificate: &str, key: &str, out: &mut Output) -> Result<(), Failure> {
    for (file, text, mode) in [(certificate, made.certificate.as_str(), READABLE), (key, made.key.expose(), SECRET)] {
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(file)
            .and_then(|mut open| open.write_all(text.as_bytes()));
        written.map_err(|error| Failure { done: out.stdout.clone(), ..Failure::new(open_error(file, &error)) })?;
        out.stdout.push_str(&format!("==> Saved {file}\n"));
    }
    Ok(())
}
