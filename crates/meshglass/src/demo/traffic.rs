//! `traffic`: users who look at the page, send a picture and fetch the result, and who count exactly what they got.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::call::Upstream;

const USERS: u32 = 5;
/// Requests per second of all users together, unless asked otherwise.
pub const DEFAULT_RATE: f64 = 40.0;
/// Different pictures: small enough that the cache is hit, large enough that it is missed.
const PICTURES: u32 = 400;

/// What the users got, exactly.
#[derive(Debug, Default)]
pub struct Totals {
    /// By status class, index 1 to 5; 0 is no answer at all.
    classes: [AtomicU64; 6],
}

impl Totals {
    fn count(&self, status: u16) {
        self.classes[usize::from(status / 100).min(5)].fetch_add(1, Ordering::Relaxed);
    }

    pub fn requests(&self) -> u64 {
        self.classes.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }

    pub fn line(&self) -> String {
        let n = |class: usize| self.classes[class].load(Ordering::Relaxed);
        let total = self.requests();
        format!("{total} requests: {} 2xx, {} 4xx, {} 5xx, {} without an answer", n(2), n(4), n(5), n(0))
    }
}

/// The users of one demo. They end after the request they are in, so that every request sent is counted.
pub struct Users {
    pub totals: Arc<Totals>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Users {
    pub fn start(port: u16, rate: f64) -> Self {
        let (totals, stop) = (Arc::<Totals>::default(), Arc::<AtomicBool>::default());
        let pause = Duration::from_secs_f64(f64::from(USERS) / rate.max(0.1));
        let tasks = (0..USERS)
            .map(|_| tokio::spawn(browse(Upstream::new(port), pause, totals.clone(), stop.clone())))
            .collect();
        Self { totals, stop, tasks }
    }

    pub async fn stop(self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let _ = task.await;
        }
        self.totals.line()
    }
}

async fn browse(ingress: Upstream, pause: Duration, totals: Arc<Totals>, stop: Arc<AtomicBool>) {
    let mut key = None;
    let mut pace = tokio::time::interval(pause);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for step in 0u32.. {
        pace.tick().await;
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let picture = Bytes::from(format!("https://pictures.example/{}.jpg", fastrand::u32(..PICTURES)));
        let (method, path, body) = match (step % 4, &key) {
            (0, _) => (Method::GET, "/".to_owned(), Bytes::new()),
            (1, _) => (Method::GET, "/assets/app.js".to_owned(), Bytes::new()),
            (3, Some(key)) => (Method::GET, format!("/api/cache/{key}"), Bytes::new()),
            _ => (Method::POST, "/api/".to_owned(), picture),
        };
        let posted = method == Method::POST;
        match ingress.send(method, &path, &HeaderMap::new(), body).await {
            Ok(answer) => {
                totals.count(answer.status().as_u16());
                if posted && answer.status().is_success() {
                    key = String::from_utf8(answer.into_body().to_vec()).ok();
                }
            }
            Err(_) => totals.count(0),
        }
    }
}
