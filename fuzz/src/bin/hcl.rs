//! HCL files: the reader, definitions and config entries.

use std::process::ExitCode;

use meshglass_fuzz::{Places, check_message, corpus, run};
use model::hcl::{self, Format};
use model::{decode_config_entry_hcl, decode_definitions};

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "=",
    ",",
    "\"",
    "${",
    "\\",
    "\\u00e9",
    "<<EOF\n",
    "<<-E\n  ",
    "\nEOF\n",
    "#",
    "//",
    "/*",
    "*/",
    "0x",
    "-",
    "1e9",
    "true",
    "a = 1\n",
    "a \"b\" {",
    "service {",
    "services {",
    "name = ",
    "connect {",
    "sidecar_service {",
    "proxy {",
    "upstreams {",
    "destination_name = ",
    "local_bind_port = ",
    "check {",
    "checks = [",
    "ttl = ",
    "interval = ",
    "config {",
    "kind = \"service-router\"\n",
    "kind = \"proxy-defaults\"\n",
    "routes = [",
    "meta {",
    "[[",
    "]]",
    "\r\n",
    "é",
    "\u{feff}",
    "\0",
    ":",
];

fn main() -> ExitCode {
    let mut seeds = corpus("hcl");
    for text in [
        "kind = \"service-router\" name = \"w\"\nroutes = [{ match { http { path_prefix = \"/\" \
         methods = [\"GET\"] } } }]",
        "kind = \"service-resolver\" name = \"w\" subsets { v1 { filter = \"x\" } } \
         failover { \"*\" { datacenters = [\"d\"] } }",
        "Kind = \"service-defaults\" Name = \"w\" Expose { Paths = [{ Path = \"/\" ListenerPort = 1 }] }",
    ] {
        seeds.push(text.as_bytes().to_vec());
    }
    run("hcl", &seeds, WORDS, check)
}

fn check(input: &[u8]) -> Result<(), String> {
    let places = Places::of(input);
    match hcl::parse(input) {
        Err(error) => {
            places.check(error.at)?;
            check_message(&format!("FILE:{error}"))?;
        }
        Ok(document) => {
            places.check_tree(&document.root)?;
            document.warnings.iter().try_for_each(|warning| places.check(warning.at))?;
            same_after_printing(&document)?;
        }
    }
    if let Err(error) = decode_definitions(Format::Hcl, input) {
        error.in_file("FILE").lines().try_for_each(check_message)?;
    }
    if let Err(error) = decode_config_entry_hcl("FILE", input) {
        error.to_string().lines().try_for_each(check_message)?;
    }
    Ok(())
}

/// The tree printed as JSON, which is HCL too, is the same tree.
fn same_after_printing(document: &hcl::Document) -> Result<(), String> {
    let json = document.root.to_json();
    let again = hcl::parse(json.to_string().as_bytes()).map_err(|error| format!("own print is refused: {error}"))?;
    if again.root.to_json() == json { Ok(()) } else { Err(format!("printed and read again: {json}")) }
}
