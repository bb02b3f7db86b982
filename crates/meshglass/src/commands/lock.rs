//! `lock`: runs a program while a lock, or one of several places, is held.

use std::process::Stdio;
use std::time::Duration;

use agent::{Program, exit_error};
use clap::{ArgMatches, Command};
use client::lock::{Contention, Lock, LockError};
use client::semaphore::Semaphore;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use super::flags::{arguments, given, number, on, rest, state, switch, text, with_server};
use super::terminal::{Interrupts, complain, say};
use super::{Failure, Outcome, Output, agent_name, api};

/// How long a child may take to end after it was told to.
const GRACE: Duration = Duration::from_secs(5);
/// What `-child-exit-code` makes of a child's failure.
const CHILD_FAILED: u8 = 2;
const MONITOR_RETRIES: i64 = 3;

pub fn command() -> Command {
    with_server(Command::new("lock"))
        .about("Run a program while a lock is held")
        .long_about(
            "Takes a lock below the prefix in the key-value store, runs a program, and gives the lock back. With -n \
             up to that many holders run at once. When the lock is lost, or this program is told to end, the child \
             gets SIGTERM, and SIGKILL five seconds later.\n\n    $ consul lock jobs/nightly ./backup.sh",
        )
        .arg(switch("child-exit-code", "Exit with 2 when the child failed."))
        .arg(number("monitor-retry", "Failed looks at a held lock in a row after which it counts as lost. Default: 3."))
        .arg(number("n", "How many may hold it at once. Default: 1."))
        .arg(text("name", "string", "The name of the session. Default: one that tells the command and the prefix."))
        .arg(switch("pass-stdin", "Give the child this program's standard input."))
        .arg(switch("shell", "Run the command in a shell, that of SHELL if it is set. Default: true."))
        .arg(text("timeout", "duration", "Give up when it could not be had for this long. Default: wait for ever."))
        .arg(text("try", "duration", "The same, under its old name."))
        .arg(switch("verbose", "Tell every step."))
        .arg(rest("prefix child..."))
}

/// What is asked for, judged.
struct Job {
    prefix: String,
    program: Program,
    name: String,
    limit: u64,
    patience: Option<Duration>,
    retries: u32,
    pass_stdin: bool,
    child_exit_code: bool,
    verbose: bool,
}

impl Job {
    fn read(matches: &ArgMatches) -> Result<Self, Failure> {
        let arguments = arguments(matches);
        let [prefix, child @ ..] = arguments.as_slice() else { return Err(incomplete()) };
        if child.is_empty() {
            return Err(incomplete());
        }
        let limit = matches.get_one::<i64>("n").copied().unwrap_or(1);
        let limit = u64::try_from(limit).ok().filter(|limit| *limit > 0);
        let limit = limit.ok_or_else(|| Failure::new("Lock holder limit must be positive"))?;
        let patience = match patience(matches, "timeout")? {
            None => patience(matches, "try")?,
            given => given,
        };
        let retries = matches.get_one::<i64>("monitor-retry").copied().unwrap_or(MONITOR_RETRIES);
        let retries = u32::try_from(retries).map_err(|_| Failure::new("Number for 'monitor-retry' must be >= 0"))?;
        let words = child.join(" ");
        let kind = if limit == 1 { "lock" } else { "semaphore" };
        let prefix = prefix.strip_prefix('/').unwrap_or(prefix).to_owned();
        let name = format!("Consul {kind} for '{words}' at '{prefix}'");
        Ok(Self {
            name: given(matches, "name").map_or(name, str::to_owned),
            program: match state(matches, "shell") {
                Some(false) => Program::Direct(child.to_vec()),
                _ => Program::Shell(words),
            },
            prefix,
            limit,
            patience,
            retries,
            pass_stdin: on(matches, "pass-stdin"),
            child_exit_code: on(matches, "child-exit-code"),
            verbose: on(matches, "verbose"),
        })
    }

    fn tell(&self, text: impl std::fmt::Display) {
        if self.verbose {
            say(text);
        }
    }
}

fn incomplete() -> Failure {
    Failure::new("Key prefix and child command must be specified")
}

/// `0s` is the same as none.
fn patience(matches: &ArgMatches, flag: &str) -> Result<Option<Duration>, Failure> {
    let Some(text) = given(matches, flag) else { return Ok(None) };
    let bad = || Failure::usage(format!("invalid value \"{text}\" for flag -{flag}: parse error"));
    let duration = model::parse_duration(text.trim_start_matches('-')).map_err(|_| bad())?;
    if text.starts_with('-') && !duration.is_zero() {
        return Err(Failure::new("Timeout must be positive"));
    }
    Ok(Some(duration).filter(|duration| !duration.is_zero()))
}

/// Either kind.
enum Held {
    Lock(Lock),
    Semaphore(Semaphore),
}

impl Held {
    async fn acquire(&mut self, stop: impl Future<Output = ()>) -> Result<bool, LockError> {
        match self {
            Self::Lock(lock) => lock.acquire(stop).await,
            Self::Semaphore(semaphore) => semaphore.acquire(stop).await,
        }
    }

    async fn lost(&self) {
        match self {
            Self::Lock(lock) => lock.lost().await,
            Self::Semaphore(semaphore) => semaphore.lost().await,
        }
    }

    async fn release(&mut self) -> Result<(), LockError> {
        match self {
            Self::Lock(lock) => lock.release().await,
            Self::Semaphore(semaphore) => semaphore.release().await,
        }
    }

    async fn remove(&self) -> Result<(), LockError> {
        match self {
            Self::Lock(lock) => lock.remove().await,
            Self::Semaphore(semaphore) => semaphore.remove().await,
        }
    }
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    let job = Job::read(matches)?;
    let api = api(matches)?;
    agent_name(&api).await?;
    let mut interrupts = Interrupts::listen()?;
    let contention = Contention {
        session_name: job.name.clone(),
        patience: job.patience,
        monitor_retries: job.retries,
        query: api.query(),
    };
    let mut held = if job.limit == 1 {
        let key = format!("{}/.lock", job.prefix.trim_end_matches('/'));
        let key = key.trim_start_matches('/');
        job.tell(format!("Setting up lock at path: {key}"));
        Held::Lock(Lock::new(&api.client, key, contention))
    } else {
        job.tell(format!("Setting up semaphore (limit {}) at prefix: {}", job.limit, job.prefix));
        let prefix = job.prefix.trim_end_matches('/');
        Held::Semaphore(Semaphore::new(&api.client, prefix, job.limit, contention))
    };
    job.tell("Attempting lock acquisition");
    let acquired = held.acquire(interrupts.next()).await;
    let acquired = acquired.map_err(|e| Failure::new(format!("Lock acquisition failed: {e}")))?;
    if !acquired {
        return Err(Failure::new("Shutdown triggered or timeout during lock acquisition"));
    }
    let failed = hold(&job, &held, &mut interrupts).await;
    give_back(&job, &mut held).await?;
    let code = if failed && job.child_exit_code { CHILD_FAILED } else { 0 };
    Ok(Output { code, ..Output::default() })
}

/// Runs the child while the lock is held; true when it failed.
async fn hold(job: &Job, held: &Held, interrupts: &mut Interrupts) -> bool {
    job.tell("Starting handler");
    let mut child = match start(job) {
        Ok(child) => child,
        Err(why) => {
            complain(format!("Error starting handler: {why}"));
            return true;
        }
    };
    let status = tokio::select! {
        status = child.wait() => Some(status),
        () = held.lost() => {
            job.tell("Lock lost, killing child");
            None
        }
        () = interrupts.next() => {
            job.tell("Shutdown triggered, killing child");
            None
        }
    };
    let ended = status.is_some();
    let status = match status {
        Some(status) => status,
        None => end(job, &mut child).await,
    };
    let error = match status {
        Ok(status) => exit_error(status),
        Err(error) => Some(error.to_string()),
    };
    if let Some(error) = &error {
        complain(format!("Error running handler: {error}"));
    }
    job.tell(if ended { "Child terminated, releasing lock" } else { "Child terminated" });
    error.is_some()
}

fn start(job: &Job) -> Result<Child, String> {
    let mut command = job.program.command().map_err(|error| error.to_string())?;
    command.env("CONSUL_LOCK_HELD", "true").kill_on_drop(true);
    if job.pass_stdin {
        command.stdin(Stdio::inherit());
    }
    command.spawn().map_err(|error| job.program.start_error(&error))
}

/// Asks the child to end, and makes it when it does not.
async fn end(job: &Job, child: &mut Child) -> std::io::Result<std::process::ExitStatus> {
    let id = child.id().unwrap_or_default();
    job.tell(format!("Terminating child pid {id}"));
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
        return status;
    }
    job.tell(format!("Child did not exit after grace period of {}", model::format_duration(GRACE)));
    job.tell(format!("Killing child pid {id}"));
    child.start_kill()?;
    child.wait().await
}

async fn give_back(job: &Job, held: &mut Held) -> Result<(), Failure> {
    held.release().await.map_err(|e| Failure::new(format!("Lock release failed: {e}")))?;
    match held.remove().await {
        Ok(()) => job.tell("Cleanup succeeded"),
        Err(LockError::InUse(_)) => job.tell("Cleanup aborted, lock in use"),
        Err(error) => return Err(Failure::new(format!("Lock cleanup failed: {error}"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(words: &[&str]) -> Result<Job, Failure> {
        let words = std::iter::once("lock").chain(words.iter().copied());
        Job::read(&command().try_get_matches_from(words).unwrap())
    }

    #[test]
    fn a_job_is_judged_before_anything_is_locked() {
        let job = read(&["--n=2", "--try=3s", "/a", "echo", "x"]).unwrap();
        assert_eq!((job.prefix.as_str(), job.limit, job.patience), ("a", 2, Some(Duration::from_secs(3))));
        assert_eq!(job.name, "Consul semaphore for 'echo x' at 'a'");
        assert_eq!(job.program, Program::Shell("echo x".to_owned()));
        let direct = read(&["--shell=false", "a", "echo", "x"]).unwrap();
        assert_eq!(direct.program, Program::Direct(vec!["echo".to_owned(), "x".to_owned()]));
        for (words, said) in [
            (&["a"][..], "Key prefix and child command must be specified"),
            (&["--n=0", "a", "b"], "Lock holder limit must be positive"),
            (&["--try=-1s", "a", "b"], "Timeout must be positive"),
            (&["--timeout=x", "a", "b"], "invalid value \"x\" for flag -timeout: parse error"),
            (&["--monitor-retry=-1", "a", "b"], "Number for 'monitor-retry' must be >= 0"),
        ] {
            assert_eq!(read(words).err().unwrap().text, said);
        }
    }
}
