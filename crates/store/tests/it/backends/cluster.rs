//! An etcd of one member, and what only a cluster can do to us.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use store::{Backend, Batch, Change, Etcd, Key, Store};

use super::facts::kv;
use super::place::TempDir;

/// A port that no program is given by chance.
const NOBODY: &str = "http://127.0.0.1:9";
const START_LIMIT: Duration = Duration::from_secs(20);

pub struct Cluster {
    folder: TempDir,
    client: String,
    peer: String,
    server: Child,
}

impl Cluster {
    pub fn start() -> Option<Self> {
        let folder = TempDir::new();
        let [client, peer] = free_ports().map(|port| format!("http://127.0.0.1:{port}"));
        let server = match run(&folder, &client, &peer) {
            Ok(server) => server,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "CI must have etcd: {error}");
                eprintln!("\n*** NOT RUN: no etcd (apt-get install etcd-server): {error}\n");
                return None;
            }
        };
        let cluster = Self { folder, client, peer, server };
        cluster.wait();
        Some(cluster)
    }

    pub fn open(&self) -> Etcd {
        // The first endpoint is nobody: the next one is asked.
        Etcd::new(&[NOBODY.to_owned(), self.client.clone()], "mesh").unwrap()
    }

    fn wait(&self) {
        let address = self.client.strip_prefix("http://").unwrap();
        let deadline = Instant::now() + START_LIMIT;
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "etcd does not listen on {address}");
            std::thread::yield_now();
        }
    }

    fn restart(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        self.server = run(&self.folder, &self.client, &self.peer).unwrap();
        self.wait();
    }

    /// etcd's own client: a second opinion on what is in there.
    fn etcdctl(&self, args: &[&str]) -> Option<String> {
        let done = Command::new("etcdctl")
            .args(["--endpoints", &self.client])
            .args(args)
            .env("ETCDCTL_API", "3")
            .output()
            .ok()?;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Some(String::from_utf8(done.stdout).unwrap())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn run(folder: &TempDir, client: &str, peer: &str) -> std::io::Result<Child> {
    let data = folder.path().join("etcd");
    Command::new("etcd")
        .args(["--name", "one", "--data-dir"])
        .arg(data)
        .args(["--listen-client-urls", client, "--advertise-client-urls", client])
        .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer])
        .arg(format!("--initial-cluster=one={peer}"))
        .args(["--logger", "zap", "--log-outputs", "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn put(key: &str) -> Batch {
    Batch { puts: vec![kv(key, b"v")], ..Batch::default() }
}

async fn committed(backend: &Etcd, key: &str) -> u64 {
    // A cluster that has just started may not have its leader yet.
    let deadline = Instant::now() + START_LIMIT;
    loop {
        match backend.commit(put(key)).await {
            Ok(index) => return index,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_survives_a_restart_of_etcd() {
    let Some(mut cluster) = Cluster::start() else { return };
    let backend = cluster.open();
    let first = committed(&backend, "a").await;
    let mut changes = backend.follow(first).await.unwrap();
    cluster.restart();
    let second = committed(&backend, "b").await;
    let mut arrived = Vec::new();
    assert!(changes.next(&mut arrived).await);
    assert!(matches!(&arrived[0], Change::Batch(index, batch) if *index == second && batch.puts.len() == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_past_that_is_compacted_is_replaced_by_everything() {
    let Some(cluster) = Cluster::start() else { return };
    let backend = cluster.open();
    let first = committed(&backend, "a").await;
    for n in 0..5 {
        committed(&backend, &format!("b{n}")).await;
    }
    let last = backend.commit(Batch { deletes: vec![Key::Kv("a".into())], ..Batch::default() }).await.unwrap();
    if cluster.etcdctl(&["compact", &last.to_string()]).is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must have etcdctl");
        return eprintln!("\n*** NOT RUN: no etcdctl (apt-get install etcd-client)\n");
    }
    let mut changes = backend.follow(first).await.unwrap();
    let mut arrived = Vec::new();
    assert!(changes.next(&mut arrived).await);
    let Change::Snapshot(snapshot) = &arrived[0] else { panic!("{arrived:?}") };
    assert_eq!((snapshot.index(), snapshot.len()), (last, 5));
    arrived.clear();
    let next = committed(&backend, "c").await;
    assert!(changes.next(&mut arrived).await);
    assert!(matches!(&arrived[0], Change::Batch(index, _) if *index == next));
    // The names are readable for people, and all of them lie under the prefix.
    let all = cluster.etcdctl(&["get", "", "--from-key", "--keys-only"]).unwrap();
    let names: Vec<_> = all.lines().filter(|line| !line.is_empty()).collect();
    assert!(names.contains(&r#"mesh/facts/{"Kv":"c"}"#), "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("mesh/")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_one_cluster_see_each_others_writes_and_names() {
    let Some(cluster) = Cluster::start() else { return };
    committed(&cluster.open(), "ready").await;
    let (one, two) = (Store::open(cluster.open()).await.unwrap(), Store::open(cluster.open()).await.unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..40 {
        let store = if n % 2 == 0 { one.clone() } else { two.clone() };
        writers.spawn(async move { store.next_serial().await.map(|(_, serial)| serial) });
    }
    let mut serials: Vec<u64> = writers.join_all().await.into_iter().map(Result::unwrap).collect();
    serials.sort_unstable();
    assert_eq!(serials, (1..=40).collect::<Vec<_>>(), "each number is given once");
    let index = one.state().index().max(two.state().index());
    let state = two.block(&[store::Topic::CaConfig], 0, Duration::ZERO).await;
    assert!(state.index() <= index);
    one.grant("session", Duration::from_secs(2)).await.unwrap();
    assert!(two.keep_alive("session").await.unwrap(), "any server keeps any name alive");
    let (by_one, by_two) = tokio::join!(one.expired(), two.expired());
    assert!(by_one.contains("session") && by_two.contains("session"), "every server is told");
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_told_by_its_name() {
    let backend = Etcd::new(&[NOBODY.to_owned()], "mesh").unwrap();
    let error = backend.load().await.unwrap_err().to_string();
    assert!(error.contains(NOBODY) && error.contains("refused"), "{error}");
    assert!(Etcd::new(&["etcd:2379".to_owned()], "mesh").is_err());
    assert!(Etcd::new(&[], "mesh").is_err());
}
