//! `traffic`: users who look at the page, send a picture and fetch the result, and who count exactly what they got.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::call::Upstream;

const USERS: u32 = 5;
/// Requests per second of all users together, unless asked otherwise.
pub const DEFAULT_RATE: f64 = 40.0;
/// One machine's demo; more is a load test, and there are tools for that.
pub const MAX_RATE: f64 = 5000.0;
/// Pictures everybody sends: after a while they are all in the cache. Every other picture is a new one.
const POPULAR: u32 = 50;
/// Requests one user may wait for at once; past that a user clicks no more until something answers.
const IN_FLIGHT_LIMIT: usize = 32;

/// What the users got, exactly.
#[derive(Debug, Default)]
pub struct Totals {
    /// By status class, index 1 to 5; 0 is no answer at all.
    classes: [AtomicU64; 6],
}

impl Totals {
    /// `None`: no answer at all.
    pub fn count_answer(&self, status: Option<StatusCode>) {
        let class = status.map_or(0, |status| usize::from(status.as_u16() / 100).min(5));
        self.classes[class].fetch_add(1, Ordering::Relaxed);
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

/// The users of one demo. They end after the requests they are in, so that every request sent is counted.
pub struct Users {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Users {
    pub fn start(ingress: &Upstream, rate: f64, totals: &Arc<Totals>) -> Self {
        let stop = watch::Sender::new(false);
        let pause = Duration::from_secs_f64(f64::from(USERS) / rate);
        let mut tasks = JoinSet::new();
        for _ in 0..USERS {
            tasks.spawn(browse(ingress.clone(), pause, totals.clone(), stop.subscribe()));
        }
        Self { stop, tasks }
    }

    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.tasks.join_all().await;
    }
}

/// One click of a user.
struct Step {
    method: Method,
    path: String,
    body: Bytes,
}

fn step(number: u32, key: Option<&str>) -> Step {
    let get = |path: &str| Step { method: Method::GET, path: path.to_owned(), body: Bytes::new() };
    match (number % 4, key) {
        (0, _) => get("/"),
        (1, _) => get("/assets/app.js"),
        (3, Some(key)) => get(&format!("/api/cache/{key}")),
        _ => {
            let new = fastrand::bool();
            let picture = if new { fastrand::u32(POPULAR..) } else { fastrand::u32(..POPULAR) };
            let body = Bytes::from(format!("https://pictures.example/{picture}.jpg"));
            Step { method: Method::POST, path: "/api/".to_owned(), body }
        }
    }
}

async fn browse(ingress: Upstream, pause: Duration, totals: Arc<Totals>, mut stop: watch::Receiver<bool>) {
    // A user does not click in step with the others.
    let mut pace = tokio::time::interval_at(tokio::time::Instant::now() + pause.mul_f64(fastrand::f64()), pause);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut key: Option<String> = None;
    let mut clicks: JoinSet<Option<String>> = JoinSet::new();
    for number in 0_u32.. {
        tokio::select! {
            _ = pace.tick() => {}
            _ = stop.changed() => break,
        }
        while let Some(done) = clicks.try_join_next() {
            key = done.ok().flatten().or(key);
        }
        if clicks.len() < IN_FLIGHT_LIMIT {
            clicks.spawn(click(ingress.clone(), step(number, key.as_deref()), totals.clone()));
        }
    }
    while clicks.join_next().await.is_some() {}
}

/// Sends one request and counts its answer; gives the key of a picture that was posted.
async fn click(ingress: Upstream, step: Step, totals: Arc<Totals>) -> Option<String> {
    let posted = step.method == Method::POST;
    let answer = ingress.send(step.method, &step.path, &HeaderMap::new(), step.body).await.ok();
    totals.count_answer(answer.as_ref().map(|answer| answer.status()));
    let answer = answer.filter(|answer| posted && answer.status().is_success())?;
    String::from_utf8(answer.into_body().to_vec()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::demo::apps::{App, Instance, serve};
    use crate::demo::faults::Switchboard;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn every_request_that_was_sent_is_counted_also_while_stopping() {
        let faults = Switchboard::new(vec![("emojify-website", 1)]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let instance = Instance { service: "emojify-website", number: 1, faults: faults.clone() };
        let server = tokio::spawn(serve(listener, instance, App::Website));
        let totals = Arc::<Totals>::default();
        faults.switch_on("hang:emojify-website:20%").unwrap();
        let users = Users::start(&Upstream::new(port), 2000.0, &totals);
        tokio::time::timeout(Duration::from_secs(20), async {
            while totals.requests() < 100 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        faults.switch_off("");
        users.stop().await;
        // The website knows its two pages; what is posted or fetched elsewhere is 404, and nothing stays unanswered.
        let line = totals.line();
        assert!(line.ends_with(" 0 5xx, 0 without an answer"), "{line}");
        server.abort();
    }
}
