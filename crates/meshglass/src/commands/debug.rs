//! `debug`: what an agent knows of itself and does meanwhile, as files for somebody who is to help.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{ArgMatches, Command};
use client::Query;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::archive::Writer;
use super::connection::Api;
use super::flags::{arguments, duration, every, given, list, rest, state, switch, text, with_agent};
use super::terminal::{Interrupts, complain, say};
use super::{Failure, Outcome, Output, api, json as layout};

const DURATION: Duration = Duration::from_secs(2 * 60);
const INTERVAL: Duration = Duration::from_secs(30);
const LEAST_DURATION: Duration = Duration::from_secs(10);
const LEAST_INTERVAL: Duration = Duration::from_secs(5);
/// A log of one interval is cut here.
const LOG_LIMIT_BYTES: usize = 64 << 20;
const ALL: [&str; 6] = ["metrics", "logs", "pprof", "host", "agent", "cluster"];
/// Asked for once: name, file, path.
const STATIC: [(&str, &str, &str); 3] = [
    ("agent", "agent.json", "/v1/agent/self"),
    ("host", "host.json", "/v1/agent/host"),
    ("cluster", "cluster.json", "/v1/agent/members?wan=1"),
];

pub fn command() -> Command {
    with_agent(Command::new("debug"))
        .about("Record what an agent does, for help with it")
        .long_about(
            "Records for a while what the agent says of itself, its host, its cluster, its metrics and its log, and \
             packs it into one file. Profiles are left out.\n\n    $ consul debug -duration 1m",
        )
        .arg(switch("archive", "Pack all into one file. Default: true."))
        .arg(list("capture", "value", "What to record: metrics, logs, host, agent or cluster. Default: all."))
        .arg(text("duration", "duration", "How long to record, 10s at least. Default: 2m."))
        .arg(text("interval", "duration", "How often to look, 5s at least. Default: 30s."))
        .arg(text("output", "string", "The file (without .tar.gz) or directory. Default: consul-debug-<time>."))
        .arg(rest(""))
}

struct Capture {
    api: Api,
    output: PathBuf,
    targets: Vec<String>,
    interval: Duration,
    duration: Duration,
    archive: bool,
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    let extra = arguments(matches).len();
    if extra > 0 {
        return Err(Failure::new("==> debug: Too many arguments provided, expected 0"));
    }
    let (capture, own) = prepare(matches).await?;
    let mut interrupts = Interrupts::listen()?;
    announce(&capture, &own);
    let failed = |what: &str, error: &io::Error| Failure::new(format!("==> {what} failed: {error}"));
    fs::create_dir_all(&capture.output).map_err(|e| failed("Capture", &e))?;
    capture.static_parts().await.map_err(|e| failed("Static capture", &e))?;
    let stopped = tokio::select! {
        done = capture.intervals() => { done.map_err(|e| failed("Capture", &e))?; false }
        () = interrupts.next() => true,
    };
    if stopped {
        complain("==> Interrupted, saving what was captured");
    }
    capture.index(&own).map_err(|e| failed("Writing the index", &e))?;
    if !capture.archive {
        return Ok(Output::line(format!("    Saved debug directory: {}", capture.output.display())));
    }
    let file = capture.pack().map_err(|e| failed("Archive creation", &e))?;
    Ok(Output::line(format!("    Saved debug archive: {}", file.display())))
}

/// Judges the flags and asks the agent who it is.
async fn prepare(matches: &ArgMatches) -> Result<(Capture, Value), Failure> {
    let failed = |why: String| Failure::new(format!("==> Capture validation failed: {why}"));
    let (length, interval) = (duration(matches, "duration", DURATION)?, duration(matches, "interval", INTERVAL)?);
    judge(length, interval).map_err(failed)?;
    let output = match given(matches, "output") {
        Some(output) => PathBuf::from(output),
        None => PathBuf::from(format!("consul-debug-{}", now())),
    };
    let mut targets = every(matches, "capture");
    if targets.is_empty() {
        targets = ALL.iter().map(|target| (*target).to_owned()).collect();
    }
    if let Some(unknown) = targets.iter().find(|target| !ALL.contains(&target.as_str())) {
        return Err(failed(format!("unknown capture target: {unknown}, expected one of {}", ALL.join(", "))));
    }
    let api = api(matches)?;
    let own = api.client.get::<Value>("/v1/agent/self", &api.query()).await.map_err(|error| {
        failed(format!("error querying target agent: {error}. verify connectivity and agent address"))
    })?;
    if output.exists() {
        return Err(failed(format!("output directory already exists: {}", output.display())));
    }
    let archive = state(matches, "archive") != Some(false);
    let capture = Capture { api, output, targets, interval, duration: length, archive };
    if archive && capture.archive_file().exists() {
        return Err(failed(format!("archive file already exists: {}", capture.archive_file().display())));
    }
    Ok((capture, own.value))
}

fn judge(length: Duration, interval: Duration) -> Result<(), String> {
    let text = model::format_duration;
    if length < LEAST_DURATION {
        return Err(format!("duration must be longer than {}", text(LEAST_DURATION)));
    }
    if interval < LEAST_INTERVAL {
        // Consul names the least duration here; scripts read that text.
        return Err(format!("interval must be longer than {}", text(LEAST_DURATION)));
    }
    if length < interval {
        return Err(format!("duration ({}) must be longer than interval ({})", text(length), text(interval)));
    }
    Ok(())
}

fn version(own: &Value) -> &str {
    own["Config"]["Version"].as_str().unwrap_or_default()
}

fn announce(capture: &Capture, own: &Value) {
    let output = if capture.archive { capture.archive_file() } else { capture.output.clone() };
    say("==> Starting debugger and capturing static information...");
    say(format!("     Agent Version: '{}'", version(own)));
    say(format!("          Interval: '{}'", model::format_duration(capture.interval)));
    say(format!("          Duration: '{}'", model::format_duration(capture.duration)));
    say(format!("            Output: '{}'", output.display()));
    say(format!("           Capture: '{}'", capture.targets.join(", ")));
    if capture.wants("pprof") {
        complain("==> Profiles are left out: this program has none of Go's runtime");
    }
}

impl Capture {
    fn wants(&self, target: &str) -> bool {
        self.targets.iter().any(|wanted| wanted == target)
    }

    fn archive_file(&self) -> PathBuf {
        let mut name = self.output.clone().into_os_string();
        name.push(".tar.gz");
        name.into()
    }

    async fn static_parts(&self) -> io::Result<()> {
        for (target, file, path) in STATIC.iter().filter(|(target, ..)| self.wants(target)) {
            match self.api.client.get_raw(path, &Query::default()).await {
                Ok(answer) => fs::write(self.output.join(file), layout::indent(&answer.text(), "\t"))?,
                // What one agent cannot tell must not keep the rest from being recorded.
                Err(error) => complain(format!("==> Not captured: {target}: {error}")),
            }
        }
        Ok(())
    }

    async fn intervals(&self) -> io::Result<()> {
        if !self.wants("metrics") && !self.wants("logs") {
            return Ok(());
        }
        let started = Instant::now();
        say(format!("==> Beginning capture interval {} (0)", stamp()));
        let mut count = 0;
        loop {
            let directory = self.output.join(now().to_string());
            fs::create_dir_all(&directory)?;
            self.one(&directory).await?;
            count += 1;
            say(format!("==> Capture successful {} ({count})", stamp()));
            if started.elapsed() >= self.duration {
                return Ok(());
            }
        }
    }

    /// The metrics at the beginning of an interval, and the log of all of it.
    async fn one(&self, directory: &Path) -> io::Result<()> {
        let until = tokio::time::Instant::now() + self.interval;
        if self.wants("metrics") {
            match self.api.client.get_raw("/v1/agent/metrics", &Query::default()).await {
                Ok(answer) => fs::write(directory.join("metrics.json"), layout::indent(&answer.text(), "\t"))?,
                Err(error) => complain(format!("==> Not captured: metrics: {error}")),
            }
        }
        if self.wants("logs") {
            fs::write(directory.join("consul.log"), self.log(until).await)?;
        }
        tokio::time::sleep_until(until).await;
        Ok(())
    }

    async fn log(&self, until: tokio::time::Instant) -> Vec<u8> {
        let mut log = Vec::new();
        let query = Query::default().with("loglevel", "DEBUG");
        let follow = async {
            let mut pieces = self.api.client.follow("/v1/agent/monitor", &query).await?;
            while let Some(piece) = pieces.next().await? {
                log.extend_from_slice(&piece);
                if log.len() > LOG_LIMIT_BYTES {
                    break;
                }
            }
            Ok::<(), client::Error>(())
        };
        // The end of the interval is the log's ordinary end.
        if let Ok(Err(error)) = tokio::time::timeout_at(until, follow).await {
            complain(format!("==> Not captured: logs: {error}"));
        }
        log
    }

    fn index(&self, own: &Value) -> io::Result<()> {
        let text = |duration| json!(model::format_duration(duration)).to_string();
        let index = format!(
            "{{\"Version\":1,\"AgentVersion\":{},\"Interval\":{},\"Duration\":{},\"Targets\":{}}}",
            json!(version(own)),
            text(self.interval),
            text(self.duration),
            json!(self.targets)
        );
        fs::write(self.output.join("index.json"), layout::indent(&index, "\t"))
    }

    /// Packs the directory and takes it away.
    fn pack(&self) -> io::Result<PathBuf> {
        let file = self.archive_file();
        let name = self.output.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut writer = Writer::new(fs::File::create(&file)?, now());
        add(&mut writer, &self.output, &name)?;
        writer.finish()?.sync_all()?;
        fs::remove_dir_all(&self.output)?;
        Ok(file)
    }
}

fn add(writer: &mut Writer<fs::File>, directory: &Path, name: &str) -> io::Result<()> {
    writer.directory(name)?;
    let mut entries: Vec<_> = fs::read_dir(directory)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            add(writer, &entry.path(), &name)?;
        } else {
            writer.file(&name, &fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// `2026-11-25 15:49:54 +0000 UTC`
fn stamp() -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second] +0000 UTC");
    OffsetDateTime::now_utc().format(&format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_judged_in_consul_s_words() {
        let seconds = Duration::from_secs;
        assert_eq!(judge(seconds(10), seconds(5)), Ok(()));
        for (length, interval, said) in [
            (1, 5, "duration must be longer than 10s"),
            (10, 1, "interval must be longer than 10s"),
            (10, 30, "duration (10s) must be longer than interval (30s)"),
        ] {
            assert_eq!(judge(seconds(length), seconds(interval)), Err(said.to_owned()));
        }
    }
}
