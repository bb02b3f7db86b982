//! What does a program say? Its exit code decides: 0 passes, 1 warns, everything else is critical.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use model::Status;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::output::Tail;

/// For programs that name no timeout.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long output is still read after the program's end: what it left running may hold the pipe for ever.
const DRAIN: Duration = Duration::from_secs(1);

/// Programs of checks that run at the same time, on this machine or in its containers. Others wait for their turn: an
/// agent that starts with a thousand of them must not start a thousand at once.
pub(super) static TURNS: Semaphore = Semaphore::const_new(64);

pub(super) async fn probe(args: &[String], limit: Duration, output: usize) -> (Status, String) {
    // Waiting is not the program's fault: its time has not begun. The turns are never closed.
    let _turn = TURNS.acquire().await;
    let mut tail = Tail::new(output);
    match tokio::time::timeout(limit, run(args, &mut tail)).await {
        Ok(Ok(status)) => (status, tail.captioned()),
        Ok(Err(why)) => (Status::Critical, why),
        Err(_) => {
            let limit = model::format_duration(limit);
            (Status::Critical, format!("Timed out ({limit}) running check\n\n{}", tail.captioned()))
        }
    }
}

/// What an exit code means, of a container's programs too. One that was killed has none.
pub(super) fn verdict(code: Option<i64>) -> Status {
    match code {
        Some(0) => Status::Passing,
        Some(1) => Status::Warning,
        _ => Status::Critical,
    }
}

async fn run(args: &[String], tail: &mut Tail) -> Result<Status, String> {
    let (mut child, mut output) = start(args)?;
    let mut buffer = [0; 4096];
    let ended = loop {
        tokio::select! {
            read = output.read(&mut buffer) => match read {
                Ok(count @ 1..) => tail.push(&buffer[..count]),
                Ok(0) | Err(_) => break child.0.wait().await,
            },
            ended = child.0.wait() => {
                let rest = async {
                    while let Ok(count @ 1..) = output.read(&mut buffer).await {
                        tail.push(&buffer[..count]);
                    }
                };
                let _ = tokio::time::timeout(DRAIN, rest).await;
                break ended;
            }
        }
    };
    let ended = ended.map_err(|error| error.to_string())?;
    Ok(verdict(ended.code().map(i64::from)))
}

/// Both outputs go into one pipe, so that their lines stay in order.
fn start(args: &[String]) -> Result<(Group, Receiver), String> {
    let (program, rest) = args.split_first().ok_or("no program to run")?;
    let failed = |error: std::io::Error| start_error(program, &error);
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    Ok((Group(child), Receiver::from_owned_fd(reader.into()).map_err(failed)?))
}

/// In the words of Go's `os/exec`.
fn start_error(program: &str, error: &std::io::Error) -> String {
    let why = match error.kind() {
        ErrorKind::NotFound if !program.is_empty() && !program.contains('/') => {
            return format!("exec: {program:?}: executable file not found in $PATH");
        }
        ErrorKind::NotFound => "no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    format!("fork/exec {program}: {why}")
}

/// A running program and what it started: all of it ends when nobody waits for it any more.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // No id: it has ended and was waited for, and its number may be another's by now.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn sh(script: &str, limit: Duration) -> (Status, String) {
        probe(&["sh".to_owned(), "-c".to_owned(), script.to_owned()], limit, 20).await
    }

    #[tokio::test]
    async fn the_exit_code_decides_and_the_output_is_told() {
        let long = Duration::from_secs(10);
        for (script, status, output) in [
            ("echo out; echo err >&2", Status::Passing, "out\nerr\n"),
            ("echo w; exit 1", Status::Warning, "w\n"),
            ("exit 2", Status::Critical, ""),
            ("kill -9 $$", Status::Critical, ""),
            ("seq 1 30", Status::Passing, "Captured 20 of 81 bytes\n...\n4\n25\n26\n27\n28\n29\n30\n"),
        ] {
            assert_eq!(sh(script, long).await, (status, output.to_owned()), "{script}");
        }
        for (program, text) in [
            ("/nonexistent", "fork/exec /nonexistent: no such file or directory"),
            ("nonexistent-prog", "exec: \"nonexistent-prog\": executable file not found in $PATH"),
            ("", "fork/exec : no such file or directory"),
            ("/", "fork/exec /: permission denied"),
        ] {
            assert_eq!(probe(&[program.to_owned()], long, 20).await, (Status::Critical, text.to_owned()));
        }
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_ends_with_all_it_started() {
        let folder = std::env::temp_dir().join(format!("meshglass-script-{}", uuid::Uuid::new_v4()));
        let script = format!("echo begin; sh -c 'sleep 1; touch {}'; true", folder.display());
        let (status, output) = sh(&script, Duration::from_millis(300)).await;
        assert_eq!((status, output.as_str()), (Status::Critical, "Timed out (300ms) running check\n\nbegin\n"));
        // The grandchild would have left its mark by then.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_does_not_hold_its_verdict_up() {
        let start = std::time::Instant::now();
        let (status, output) = sh("sleep 8 & echo done", Duration::from_secs(10)).await;
        assert_eq!((status, output.as_str()), (Status::Passing, "done\n"));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}
