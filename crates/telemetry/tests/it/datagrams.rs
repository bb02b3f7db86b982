use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::Duration;

use model::Protocol;
use telemetry::{Direction, SinkConfig, Sinks};

use crate::world::{key, ok, web};

const LONG: Duration = Duration::from_secs(3600);

fn receiver() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    (socket, url)
}

/// Everything that is waiting.
fn lines(socket: &UdpSocket) -> Vec<String> {
    let mut out = Vec::new();
    let mut buffer = [0; 65536];
    while let Ok(n) = socket.recv(&mut buffer) {
        assert!(n <= 1432, "a datagram of {n} bytes");
        out.extend(String::from_utf8(buffer[..n].to_vec()).unwrap().lines().map(str::to_owned));
    }
    out
}

#[tokio::test]
async fn dogstatsd_sends_what_changed_with_envoys_tags() {
    let (registry, recorder) = web();
    let (socket, url) = receiver();
    let config = SinkConfig { dogstatsd_url: Some(url), flush_interval: LONG, ..SinkConfig::default() };
    let (mut sinks, warnings) = Sinks::start(registry, config).await;
    assert!(warnings.is_empty(), "{warnings:?}");
    sinks.flush().await;
    let first = lines(&socket);
    let expected = "envoy.cluster.upstream_rq_xx:1|c|#envoy.response_code_class:4,local_cluster:web,\
        consul.source.service:web,consul.source.namespace:default,consul.source.partition:default,\
        consul.source.datacenter:dc1,envoy.cluster_name:local_app";
    assert!(first.iter().any(|line| line == expected), "{first:#?}");
    assert!(first.iter().all(|line| !line.contains(":,") && !line.ends_with(':') && !line.contains(":0|c")));
    let timers: Vec<&String> = first.iter().filter(|l| l.starts_with("envoy.http.downstream_rq_time:")).collect();
    assert!(timers.iter().any(|l| l.contains(":1.") || l.contains("|ms|@0.")), "{timers:#?}");
    let grpc = first.iter().find(|l| l.starts_with("meshglass.requests:") && l.contains("grpc_method:Fail")).unwrap();
    assert!(grpc.contains("grpc_service:helloworld.Greeter") && grpc.contains("grpc_status:14"), "{grpc}");

    let api = recorder.cell(&key(Direction::Outbound, "api", Protocol::Http, "api.default.dc1", "api"));
    (0..1000).for_each(|_| api.record(&ok(20)));
    sinks.flush().await;
    let second = lines(&socket);
    let counts: BTreeMap<&str, &String> = second.iter().map(|l| (l.split(':').next().unwrap(), l)).collect();
    assert!(counts["envoy.cluster.upstream_rq_completed"].contains(":1000|c|"));
    assert!(counts["envoy.cluster.upstream_rq_time"].contains("|ms|@0.001|#"));
    assert!(!counts.contains_key("envoy.tcp.downstream_cx_total"), "nothing happened there");
    assert!(second.len() < 20, "a thousand requests in {} lines: {second:#?}", second.len());
}

#[tokio::test]
async fn statsd_sends_whole_names() {
    let (registry, _recorder) = web();
    let (socket, url) = receiver();
    let config = SinkConfig { statsd_url: Some(url), flush_interval: LONG, ..SinkConfig::default() };
    let (mut sinks, _) = Sinks::start(registry, config).await;
    sinks.flush().await;
    let lines = lines(&socket);
    for expected in [
        "envoy.cluster.local_app.upstream_rq_404:1|c",
        "envoy.cluster.api.default.dc1.internal.11111111-2222-3333-4444-555555555555.consul.upstream_rq_2xx:9|c",
        "envoy.http.upstream.api.default.default.dc1.downstream_rq_total:11|c",
        "envoy.tcp.upstream.db.default.default.dc1.downstream_cx_total:1|c",
        "envoy.listener.127.0.0.1_8003.downstream_cx_total:1|c",
        "envoy.server.live:1|g",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:#?}");
    }
    assert!(lines.iter().all(|line| !line.contains('#')));
}

#[tokio::test]
async fn a_server_that_is_not_there_costs_nothing_but_a_count() {
    let (registry, recorder) = web();
    let (socket, url) = receiver();
    drop(socket);
    let config = SinkConfig { dogstatsd_url: Some(url), flush_interval: LONG, ..SinkConfig::default() };
    let (mut sinks, _) = Sinks::start(registry.clone(), config).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while registry.snapshot().sink_drops == 0 {
        assert!(tokio::time::Instant::now() < deadline, "no loss was counted");
        recorder.listener(Direction::Outbound, "db").cx_total.inc();
        sinks.flush().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_does_too_and_may_come_later() {
    let (registry, recorder) = web();
    let path = std::env::temp_dir().join(format!("meshglass-dog-{}-{}", std::process::id(), fastrand::u64(..)));
    let config = SinkConfig {
        dogstatsd_url: Some(format!("unix://{}", path.display())),
        flush_interval: LONG,
        ..SinkConfig::default()
    };
    let (mut sinks, warnings) = Sinks::start(registry.clone(), config).await;
    assert!(warnings.is_empty(), "{warnings:?}");
    sinks.flush().await;
    assert!(registry.snapshot().sink_drops > 0);
    let server = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    recorder.listener(Direction::Outbound, "db").cx_total.inc();
    sinks.flush().await;
    let mut buffer = [0; 2048];
    let n = server.recv(&mut buffer).unwrap();
    assert!(buffer[..n].starts_with(b"envoy."));
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_bad_url_is_a_warning_that_names_the_setting() {
    let (registry, _recorder) = web();
    let config = SinkConfig {
        statsd_url: Some("$MESHGLASS_NO_SUCH_VARIABLE".into()),
        dogstatsd_url: Some("tcp://127.0.0.1:1".into()),
        ..SinkConfig::default()
    };
    let (_sinks, warnings) = Sinks::start(registry, config).await;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("envoy_statsd_url") && warnings[0].contains("MESHGLASS_NO_SUCH_VARIABLE"));
    assert!(warnings[1].contains("envoy_dogstatsd_url"));
}
