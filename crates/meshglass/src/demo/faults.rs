//! Faults that can be switched on in the demo's applications: `errors:emojify-cache#1:30%`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use model::{format_duration, parse_duration};

/// More switches than this are a script gone wrong.
const FAULTS_LIMIT: usize = 64;
/// A request that hangs is let go after this, so that a forgotten switch does not keep connections for ever.
const HANG_LIMIT: Duration = Duration::from_secs(60);
const GRAMMAR: &str = "expected errors:<service>[#<instance>]:<percent>%, latency:<service>[#<instance>]:<duration> or \
                       hang:<service>[#<instance>][:<percent>%], for example errors:emojify-cache#1:30%";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// This share of the requests, 0 to 1, fails.
    Errors(f64),
    Latency(Duration),
    /// This share of the requests gets no answer while the switch is on.
    Hang(f64),
}

/// One switch.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub kind: Kind,
    pub service: String,
    /// From 1; none: every instance.
    pub instance: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("fault {0:?}: {GRAMMAR}")]
    Grammar(String),
    #[error("fault {spec:?}: there is no {target}; there are {known}")]
    Target { spec: String, target: String, known: String },
    #[error("more than {FAULTS_LIMIT} faults")]
    TooMany,
}

impl Fault {
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Errors(_) => "errors",
            Kind::Latency(_) => "latency",
            Kind::Hang(_) => "hang",
        }
    }

    pub fn target(&self) -> String {
        self.instance.map_or_else(|| self.service.clone(), |n| format!("{}#{n}", self.service))
    }

    pub fn value(&self) -> String {
        match self.kind {
            Kind::Errors(share) | Kind::Hang(share) => format!("{}%", (share * 1000.0).round() / 10.0),
            Kind::Latency(delay) => format_duration(delay),
        }
    }

    fn hits(&self, service: &str, instance: usize) -> bool {
        self.service == service && self.instance.is_none_or(|n| n == instance)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind_name(), self.target(), self.value())
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(spec: &str) -> Result<Self, FaultError> {
        let bad = || FaultError::Grammar(spec.to_owned());
        let mut parts = spec.splitn(3, ':');
        let (kind, target, value) = (parts.next(), parts.next(), parts.next());
        let target = target.filter(|target| !target.is_empty()).ok_or_else(bad)?;
        let (service, instance) = match target.split_once('#') {
            Some((service, n)) => (service, Some(n.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?)),
            None => (target, None),
        };
        let kind = match (kind, value) {
            (Some("errors"), Some(percent)) => Kind::Errors(share(percent).ok_or_else(bad)?),
            (Some("latency"), Some(delay)) => Kind::Latency(parse_duration(delay).map_err(|_| bad())?),
            (Some("hang"), percent) => Kind::Hang(share(percent.unwrap_or("100%")).ok_or_else(bad)?),
            _ => return Err(bad()),
        };
        Ok(Self { kind, service: service.to_owned(), instance })
    }
}

fn share(percent: &str) -> Option<f64> {
    let number: f64 = percent.strip_suffix('%')?.parse().ok()?;
    (0.0..=100.0).contains(&number).then_some(number / 100.0)
}

/// The switches of one demo, shared by its applications and its HTTP API.
#[derive(Clone)]
pub struct Switchboard {
    /// Every instance there is, `(service, instance)`.
    targets: Arc<[(&'static str, usize)]>,
    active: Arc<watch::Sender<Vec<Fault>>>,
}

impl Switchboard {
    pub fn new(targets: Vec<(&'static str, usize)>) -> Self {
        Self { targets: targets.into(), active: Arc::default() }
    }

    pub fn targets(&self) -> Vec<String> {
        self.targets.iter().map(|(service, n)| format!("{service}#{n}")).collect()
    }

    pub fn active(&self) -> Vec<Fault> {
        self.active.borrow().clone()
    }

    /// Switches a fault on; one of the same kind and target is replaced.
    pub fn switch_on(&self, spec: &str) -> Result<Fault, FaultError> {
        let fault: Fault = spec.parse()?;
        if !self.targets.iter().any(|(service, n)| fault.hits(service, *n)) {
            let (target, known) = (fault.target(), self.targets().join(", "));
            return Err(FaultError::Target { spec: spec.to_owned(), target, known });
        }
        let mut result = Ok(fault.clone());
        self.active.send_modify(|active| {
            active.retain(|other| other.kind_name() != fault.kind_name() || other.target() != fault.target());
            if active.len() < FAULTS_LIMIT {
                active.push(fault);
            } else {
                result = Err(FaultError::TooMany);
            }
        });
        result
    }

    /// Switches one off, or all when `spec` is empty; says whether there was one. The value need not be given.
    pub fn switch_off(&self, spec: &str) -> bool {
        let mut off = false;
        self.active.send_modify(|active| {
            let before = active.len();
            active.retain(|fault| {
                let short = format!("{}:{}", fault.kind_name(), fault.target());
                !spec.is_empty() && fault.to_string() != spec && short != spec
            });
            off = active.len() < before;
        });
        off
    }

    /// Suffers what is switched on for this instance. True: the request must fail now.
    pub async fn suffer(&self, service: &str, instance: usize) -> bool {
        let mine: Vec<Kind> = self.active().iter().filter(|f| f.hits(service, instance)).map(|f| f.kind).collect();
        let mut fails = false;
        for kind in mine {
            match kind {
                Kind::Errors(share) => fails |= fastrand::f64() < share,
                Kind::Latency(delay) => tokio::time::sleep(delay).await,
                Kind::Hang(share) if fastrand::f64() < share => self.hang(service, instance).await,
                Kind::Hang(_) => {}
            }
        }
        fails
    }

    /// Until the switch is off, or the caller has long gone.
    async fn hang(&self, service: &str, instance: usize) {
        let hangs = |fault: &Fault| matches!(fault.kind, Kind::Hang(_)) && fault.hits(service, instance);
        let mut active = self.active.subscribe();
        let lifted = active.wait_for(|faults| !faults.iter().any(hangs));
        let _ = tokio::time::timeout(HANG_LIMIT, lifted).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_grammar_round_trips_and_names_itself_in_errors() {
        for spec in
            ["errors:emojify-cache#1:30%", "latency:emojify-api:300ms", "hang:emojify-facebox#2:100%", "errors:x:0.5%"]
        {
            assert_eq!(spec.parse::<Fault>().unwrap().to_string(), spec);
        }
        for bad in [
            "",
            "errors",
            "errors:x",
            "errors:x:30",
            "errors:x:130%",
            "errors::5%",
            "errors:x#0:5%",
            "errors:x#a:5%",
            "latency:x:5",
            "latency:x",
            "hang:x:1",
            "hang:x:101%",
            "boom:x:1%",
            "errors:x:nan%",
        ] {
            let error = bad.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains("expected errors:<service>"), "{bad}: {error}");
        }
    }

    #[tokio::test]
    async fn a_switch_hits_its_instance_only_and_can_be_switched_off() {
        let board = Switchboard::new(vec![("a", 1), ("a", 2)]);
        board.switch_on("errors:a#1:50%").unwrap();
        board.switch_on("errors:a#1:100%").unwrap();
        assert_eq!(board.active().len(), 1);
        assert!(board.suffer("a", 1).await);
        assert!(!board.suffer("a", 2).await);
        assert!(matches!(board.switch_on("errors:b:1%"), Err(FaultError::Target { .. })));
        assert!(board.switch_off("errors:a#1"));
        assert!(!board.suffer("a", 1).await);
        assert!(!board.switch_off("errors:a#1"));
        assert_eq!("hang:x".parse::<Fault>().unwrap().to_string(), "hang:x:100%");
    }

    #[tokio::test]
    async fn what_hangs_goes_on_when_the_switch_is_off() {
        let board = Switchboard::new(vec![("a", 1)]);
        board.switch_on("hang:a").unwrap();
        let other = board.clone();
        let mut hung = tokio::spawn(async move { other.suffer("a", 1).await });
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut hung).await.is_err(), "it hangs");
        assert!(board.switch_off(""));
        assert!(!hung.await.unwrap(), "it answers as if nothing had been");
    }
}
