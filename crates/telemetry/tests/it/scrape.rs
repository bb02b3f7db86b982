use std::io::Read as _;
use std::net::TcpListener;

use flate2::read::GzDecoder;
use telemetry::{SinkConfig, Sinks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::web;

fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

async fn get(address: &str, path: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end + 4..].to_vec())
}

#[tokio::test]
async fn metrics_are_at_their_path_and_nowhere_else() {
    let (registry, _recorder) = web();
    let address = free();
    let config = SinkConfig { prometheus_bind_addr: Some(address.clone()), ..SinkConfig::default() };
    let (_sinks, warnings) = Sinks::start(registry, config).await;
    assert!(warnings.is_empty(), "{warnings:?}");
    let (head, body) = get(&address, "/metrics", "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let text = String::from_utf8(body).unwrap();
    assert!(text.ends_with('\n'));
    let class = "envoy_cluster_upstream_rq_xx{envoy_response_code_class=\"2\",local_cluster=\"web\",\
        consul_source_service=\"web\",consul_source_namespace=\"default\",consul_source_partition=\"default\",\
        consul_source_datacenter=\"dc1\",envoy_cluster_name=\"api\",consul_destination_custom_hash=\"\",\
        consul_destination_service_subset=\"\",consul_destination_service=\"api\",\
        consul_destination_namespace=\"default\",consul_destination_partition=\"\",\
        consul_destination_datacenter=\"dc1\",consul_destination_routing_type=\"internal\",\
        consul_destination_trust_domain=\"11111111-2222-3333-4444-555555555555\",\
        consul_destination_target=\"api.default.dc1\",\
        consul_destination_full_target=\"api.default.dc1.internal.11111111-2222-3333-4444-555555555555\"} 9\n";
    assert!(text.contains(class), "{text}");
    for path in ["/", "/stats", "/metrics/", "/ready"] {
        assert!(get(&address, path, "").await.0.starts_with("HTTP/1.1 404"), "{path}");
    }
    let (head, zipped) = get(&address, "/metrics", "Accept-Encoding: gzip;q=1.0\r\n").await;
    assert!(head.to_lowercase().contains("content-encoding: gzip"), "{head}");
    let mut unzipped = String::new();
    GzDecoder::new(zipped.as_slice()).read_to_string(&mut unzipped).unwrap();
    assert!(unzipped.contains(class));
}

#[tokio::test]
async fn envoys_stats_pages_are_there_when_asked_for() {
    let (registry, _recorder) = web();
    let address = free();
    let config = SinkConfig { stats_bind_addr: Some(address.clone()), ..SinkConfig::default() };
    let (_sinks, warnings) = Sinks::start(registry.clone(), config).await;
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(get(&address, "/ready", "").await.1, b"LIVE\n");
    let stats = String::from_utf8(get(&address, "/stats", "").await.1).unwrap();
    assert!(stats.contains("\ncluster.local_app.upstream_rq_2xx: 8\n"), "{stats}");
    assert!(get(&address, "/stats/prometheus", "").await.1.starts_with(b"# HELP"));
    assert!(get(&address, "/stats?format=prometheus", "").await.1.starts_with(b"# HELP"));
    registry.set_live(false);
    let (head, body) = get(&address, "/ready", "").await;
    assert!(head.starts_with("HTTP/1.1 503") && body == b"DRAINING\n", "{head}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_a_warning_and_served_once_free() {
    let (registry, _recorder) = web();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = SinkConfig { prometheus_bind_addr: Some(address.clone()), ..SinkConfig::default() };
    let (mut sinks, warnings) = Sinks::start(registry, config).await;
    assert!(warnings.len() == 1 && warnings[0].contains(&address), "{warnings:?}");
    drop(taken);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while TcpStream::connect(&address).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "never served");
        tokio::task::yield_now().await;
    }
    assert!(get(&address, "/metrics", "").await.0.starts_with("HTTP/1.1 200"));
    let bad = SinkConfig { prometheus_bind_addr: Some("nonsense".into()), ..SinkConfig::default() };
    let warnings = sinks.apply(bad).await;
    assert!(warnings.len() == 1 && warnings[0].contains("nonsense"), "{warnings:?}");
    assert!(TcpStream::connect(&address).await.is_err(), "the old address is let go");
}
