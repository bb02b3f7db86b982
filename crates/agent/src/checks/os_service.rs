//! What does the operating system say of a service of its own? systemd is asked by its command line tool.

use std::process::Stdio;
use std::time::Duration;

use model::Status;
use tokio::process::Command;

pub(super) async fn probe(name: &str, limit: Duration) -> (Status, String) {
    match tokio::time::timeout(limit, ask(name)).await {
        Ok(Ok(answer)) => judge(name, &answer),
        Ok(Err(why)) => (Status::Critical, why),
        Err(_) => {
            let limit = model::format_duration(limit);
            (Status::Critical, format!("Timed out ({limit}) running check"))
        }
    }
}

async fn ask(name: &str) -> Result<String, String> {
    let command = Command::new("systemctl")
        .args(["show", "--property=LoadState", "--property=ActiveState", "--", name])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let done = command.await.map_err(|error| format!("asking systemctl about service {name:?}: {error}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("asking systemctl about service {name:?}: {}", said.trim()))
}

/// On the way up or down is a warning: it is neither there nor gone.
fn judge(name: &str, answer: &str) -> (Status, String) {
    let value = |key: &str| {
        let line = answer.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default()
    };
    match (value("LoadState"), value("ActiveState")) {
        ("not-found", _) => (Status::Critical, format!("Service {name:?} was not found")),
        (_, "active") => (Status::Passing, format!("Service {name:?} is healthy")),
        (_, state @ ("activating" | "deactivating" | "reloading" | "maintenance" | "refreshing")) => {
            (Status::Warning, format!("Service {name:?} is {state}"))
        }
        (_, "") => (Status::Critical, format!("systemctl did not say what service {name:?} is")),
        (_, state) => (Status::Critical, format!("Service {name:?} is {state}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_systemd() {
        for (answer, status, output) in [
            ("LoadState=loaded\nActiveState=active\n", Status::Passing, "Service \"x\" is healthy"),
            ("LoadState=loaded\nActiveState=activating\n", Status::Warning, "Service \"x\" is activating"),
            ("ActiveState=failed\nLoadState=loaded\n", Status::Critical, "Service \"x\" is failed"),
            ("LoadState=not-found\nActiveState=inactive\n", Status::Critical, "Service \"x\" was not found"),
            ("", Status::Critical, "systemctl did not say what service \"x\" is"),
        ] {
            assert_eq!(judge("x", answer), (status, output.to_owned()), "{answer}");
        }
    }
}
