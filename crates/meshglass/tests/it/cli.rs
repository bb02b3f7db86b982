//! The program as a client: real processes against an agent of this process.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use meshglass::assemble::{Mesh, Options};
use meshglass::logging;

/// Runs the program with these words, and `stdin` on its standard input.
fn run(address: SocketAddr, words: &[&str], stdin: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meshglass"))
        .args(words)
        .env_clear()
        .env("CONSUL_HTTP_ADDR", address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Words, standard input, exit code, standard output, standard error.
type Case = (&'static str, &'static str, i32, &'static str, &'static str);

const STORY: &[Case] = &[
    ("catalog datacenters", "", 0, "dc1\n", ""),
    ("services register -name web -port 8080 -tag v1", "", 0, "Registered service: web\n", ""),
    ("catalog services -tags", "", 0, "web      v1\n", ""),
    ("catalog nodes -service nobody", "", 0, "", "No nodes match the given query - try expanding your search.\n"),
    ("members -status left", "", 2, "", ""),
    (
        "config write -",
        "kind = \"proxy-defaults\" name = \"global\" config { protocol = \"http\" }",
        0,
        "Config entry written: proxy-defaults/global\n",
        "",
    ),
    ("config list -kind proxy-defaults", "", 0, "global\n", ""),
    (
        "config write -cas -modify-index 1 -",
        "kind = \"proxy-defaults\"",
        1,
        "",
        "Config entry not updated: proxy-defaults/global\n",
    ),
    (
        "config write -",
        "kind = \"nope\"",
        1,
        "",
        "Failed to decode config entry input: invalid config entry kind: nope\n\
         -:1:8: invalid config entry kind: nope\n",
    ),
    ("intention create web db", "", 0, "Created: web => db (allow)\n", ""),
    ("intention create -deny * db", "", 0, "Created: * => db (deny)\n", ""),
    ("intention check web db", "", 0, "Allowed\n", ""),
    ("intention check api db", "", 1, "Denied\n", ""),
    ("intention check api", "", 2, "", "Error: command requires exactly two arguments: src and dst\n"),
    ("intention match db", "", 0, "web => db (allow)\n* => db (deny)\n", ""),
    ("intention create -replace -deny web db", "", 0, "", ""),
    ("intention check web db", "", 1, "Denied\n", ""),
    ("intention delete web db", "", 0, "Intention deleted.\n", ""),
    ("intention delete web db", "", 1, "", "Error: Intention with source \"web\" and destination \"db\" not found.\n"),
    ("services deregister -id web", "", 0, "Deregistered service: web\n", ""),
    ("kv get x", "", 1, "", "Error! No key exists at: x\n"),
    ("kv put x y", "", 0, "Success! Data written to: x\n", ""),
    ("kv get x", "", 0, "y\n", ""),
    ("peering list", "", 1, "", "meshglass: \"peering\" is not available yet\n"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_story_is_told_in_consul_s_words() {
    let node = model::Node {
        node: "n1".to_owned(),
        address: "127.0.0.1".to_owned(),
        datacenter: "dc1".to_owned(),
        ..model::Node::default()
    };
    let mut options = Options::new(agent::Config::new(node), logging::silent());
    options.http = vec![api::listen::Endpoint::Tcp("127.0.0.1:0".parse().unwrap())];
    let mesh = Mesh::start(options).await.unwrap();
    let address = mesh.http_addr().unwrap();
    tokio::task::spawn_blocking(move || {
        for (words, stdin, code, stdout, stderr) in STORY {
            let given: Vec<&str> = words.split(' ').collect();
            let said = run(address, &given, stdin);
            assert_eq!(said, (*code, (*stdout).to_owned(), (*stderr).to_owned()), "{words}");
        }
        let (code, stdout, stderr) = run(address, &["nope"], "");
        assert_eq!((code, stdout.as_str()), (127, ""));
        assert!(stderr.starts_with("Usage: meshglass [--version] [--help] <command> [<args>]\n"), "{stderr}");
    })
    .await
    .unwrap();
    mesh.stop().await;
}

#[test]
fn an_agent_that_is_not_there_is_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, _, stderr) = run(nobody, &["members"], "");
    assert_eq!(code, 1);
    assert_eq!(
        stderr,
        format!(
            "Error retrieving members: Get \"http://{nobody}/v1/agent/members?segment=_all\": \
             dial tcp {nobody}: connect: connection refused\n"
        )
    );
}
