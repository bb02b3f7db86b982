//! Programs that an agent or a command starts for somebody: handlers, locked children, remote commands.

use std::io;
use std::process::{ExitStatus, Stdio};

use tokio::process::Command;

/// What is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A line for the user's shell.
    Shell(String),
    /// The program's name and its arguments.
    Direct(Vec<String>),
}

impl Program {
    /// Ready to be started, with nothing on its standard input.
    pub fn command(&self) -> io::Result<Command> {
        let mut command = match self {
            Self::Shell(line) => {
                let shell = std::env::var("SHELL").ok().filter(|shell| !shell.is_empty());
                let mut command = Command::new(shell.unwrap_or_else(|| "/bin/sh".to_owned()));
                command.args(["-c", line]);
                command
            }
            Self::Direct(words) => {
                let [program, arguments @ ..] = words.as_slice() else {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "need an executable to run"));
                };
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
        };
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// Why it did not start, in the words that Consul's users know.
    pub fn start_error(&self, error: &io::Error) -> String {
        let name = match self {
            Self::Shell(_) => std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned()),
            Self::Direct(words) => words.first().cloned().unwrap_or_default(),
        };
        match (error.kind(), name.contains('/')) {
            (io::ErrorKind::NotFound, false) => format!("exec: \"{name}\": executable file not found in $PATH"),
            (io::ErrorKind::NotFound, true) => format!("fork/exec {name}: no such file or directory"),
            (io::ErrorKind::PermissionDenied, _) => format!("fork/exec {name}: permission denied"),
            _ => error.to_string(),
        }
    }
}

/// `exit status 3`, `signal: killed`; `None` when all went well.
pub fn exit_error(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit status {code}")),
        (None, Some(2)) => Some("signal: interrupt".to_owned()),
        (None, Some(9)) => Some("signal: killed".to_owned()),
        (None, Some(15)) => Some("signal: terminated".to_owned()),
        (None, signal) => Some(format!("signal: {}", signal.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_program_tells_how_it_ended() {
        let ended = Program::Shell("exit 3".to_owned()).command().unwrap().status().await.unwrap();
        assert_eq!(exit_error(ended).as_deref(), Some("exit status 3"));
        let ended = Program::Direct(vec!["true".to_owned()]).command().unwrap().status().await.unwrap();
        assert_eq!(exit_error(ended), None);
        let missing = Program::Direct(vec!["no-such-program".to_owned()]);
        let error = missing.command().unwrap().status().await.unwrap_err();
        assert_eq!(missing.start_error(&error), "exec: \"no-such-program\": executable file not found in $PATH");
        assert!(Program::Direct(Vec::new()).command().is_err());
    }
}
