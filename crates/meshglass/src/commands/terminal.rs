//! What a command says while it is at work. A reader that went away (`| head`) is no fault of the command.

use std::io::{IsTerminal as _, Write as _};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// One line on standard output.
pub fn say(line: impl std::fmt::Display) {
    write(format!("{line}\n").as_bytes());
}

/// One line on standard error.
pub fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Bytes on standard output, as they are.
pub fn write(bytes: &[u8]) {
    let mut out = std::io::stdout();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// How far a long task is: one line on standard error that is written over, on a terminal only.
pub struct Progress {
    shown: bool,
}

impl Progress {
    pub fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal() }
    }

    pub fn tell(&self, state: impl std::fmt::Display) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K{state}");
            let _ = std::io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}

/// Being told to end: SIGINT or SIGTERM. From the first one on, the program ends when it has put things in order.
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|e| Failure::new(format!("Error listening for signals: {e}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Green, yellow and red on a terminal, plain elsewhere and where `NO_COLOR` is set.
#[derive(Debug, Clone, Copy)]
pub struct Colours(bool);

impl Colours {
    pub fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some() || std::env::var("TERM").is_ok_and(|term| term == "dumb");
        Self(std::io::stdout().is_terminal() && !unwanted)
    }

    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub fn doubtful(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn paint(self, colour: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
