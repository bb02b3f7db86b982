//! Sessions: created over living checks, ended together with all they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{KvEntry, Session, SessionBehavior, Status, format_duration, parse_duration};

use crate::error::Error;
use crate::fact::{Batch, Fact, Index, Key};
use crate::state::{State, Stored};
use crate::store::Store;

/// The shortest time to live, unless the server's configuration says otherwise.
pub const SESSION_TTL_MIN: Duration = Duration::from_secs(10);
pub const SESSION_TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A session may live this many times its time to live without being renewed: the promise is "not before".
const TTL_GRACE: u32 = 2;
/// A session that could not be ended is tried again after that long.
const RETRY: Duration = Duration::from_secs(1);
const LEASES: &str = "session/";
const UUID_LENGTH: usize = 36;

impl Store {
    /// Writes a new session; its id is the caller's to choose.
    pub async fn create_session(&self, session: Session, ttl_min: Duration) -> Result<Index, Error> {
        let ttl = check_ttl(&session.ttl, ttl_min)?;
        let session = Arc::new(session);
        if !ttl.is_zero() {
            self.grant(&lease(&session.id), ttl * TTL_GRACE).await?;
        }
        let decide = |state: &State| {
            let mut batch = Batch::default();
            let node = state.node(&session.node).ok_or(Error::NoSuchNode)?;
            batch.guard(Key::node(&session.node), node.modify_index);
            for id in session.all_checks() {
                let check = state.check(&session.node, id).ok_or_else(|| Error::NoSuchCheck(id.clone()))?;
                if check.check.status == Status::Critical {
                    return Err(Error::CriticalCheck(id.clone()));
                }
                batch.guard(Key::check(&session.node, id), check.modify_index);
            }
            batch.guard(Key::Session(session.id.as_str().into()), 0);
            batch.puts.push(Fact::Session(session.clone()));
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }

    /// Ends a session. Ending none is no error.
    pub async fn destroy_session(&self, id: &str) -> Result<Index, Error> {
        let id = session_id(id)?;
        let decide = |state: &State| {
            let mut batch = Batch::default();
            if let Some(session) = state.session(&id) {
                end(session, state, &mut batch);
            }
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }

    /// The session's time to live begins anew; none: there is no such session, or its time is over.
    pub async fn renew_session(&self, id: &str) -> Result<Option<Stored<Session>>, Error> {
        let id = session_id(id)?;
        let Some(session) = self.state().session(&id).cloned() else { return Ok(None) };
        let lives = ttl(&session).is_zero() || self.keep_alive(&lease(&id)).await?;
        Ok(lives.then_some(session))
    }

    /// Lets every session live for its whole time from now on: their clocks were those of the last process.
    pub(crate) async fn grant_sessions(&self) -> Result<(), Error> {
        for session in self.state().sessions().filter(|session| !ttl(session).is_zero()) {
            self.grant(&lease(&session.id), ttl(session) * TTL_GRACE).await?;
        }
        Ok(())
    }

    /// Ends a session that should have ended with something else, or frees what it has left locked.
    async fn end_stray(&self, stray: &Session) -> Result<(), Error> {
        let decide = |state: &State| {
            let mut batch = Batch::default();
            match state.session(&stray.id) {
                Some(session) => end(session, state, &mut batch),
                None => let_go(stray, state, &mut batch),
            }
            Ok((batch, ()))
        };
        self.write(decide).await.map(|_| ())
    }
}

/// The names of sessions whose time is over by what a backend says of the living: their end was missed.
pub(crate) fn dead(state: &State, live: &BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
    let names = state.sessions().filter(|session| !ttl(session).is_zero()).map(|session| lease(&session.id).into());
    names.filter(|name| !live.contains(name)).collect()
}

/// The name that lives as long as the session.
fn lease(id: &str) -> String {
    format!("{LEASES}{id}")
}

fn ttl(session: &Session) -> Duration {
    parse_duration(&session.ttl).unwrap_or_default()
}

fn check_ttl(text: &str, min: Duration) -> Result<Duration, Error> {
    if text.is_empty() {
        return Ok(Duration::ZERO);
    }
    let invalid = |why: String| Error::SessionTtl { ttl: text.to_owned(), why };
    let ttl = parse_duration(text).map_err(|why| invalid(why.go_text()))?;
    if ttl.is_zero() || (min..=SESSION_TTL_MAX).contains(&ttl) {
        return Ok(ttl);
    }
    let (min, max) = (format_duration(min), format_duration(SESSION_TTL_MAX));
    Err(Error::SessionTtlRange { nanos: ttl.as_nanos(), min, max })
}

/// The form in which session ids are keys. The texts are those of the database that Consul looks them up in.
pub fn session_id(text: &str) -> Result<String, Error> {
    let bad = |why: String| Err(Error::SessionId(why));
    if text.chars().count() != UUID_LENGTH {
        return bad(format!("UUID must be {UUID_LENGTH} characters"));
    }
    let hyphens = text.matches('-').count();
    if hyphens > 4 {
        return bad(format!("UUID should have maximum of 4 \"-\"; got {hyphens}"));
    }
    match text.chars().find(|c| *c != '-' && !c.is_ascii_hexdigit()) {
        Some(c) => bad(format!("Invalid UUID: encoding/hex: invalid byte: U+{:04X} {c:?}", u32::from(c))),
        None => Ok(text.to_ascii_lowercase()),
    }
}

/// The session that wants a lock.
pub(super) fn known_session<'a>(id: &str, state: &'a State) -> Result<&'a Stored<Session>, Error> {
    if id.is_empty() {
        return Err(Error::MissingSession);
    }
    state.session(&session_id(id)?).ok_or_else(|| Error::NoSuchSession(id.to_owned()))
}

/// Ends a session in this batch, with its locks.
pub(super) fn end(session: &Stored<Session>, state: &State, batch: &mut Batch) {
    let key = Key::Session(session.id.as_str().into());
    batch.guard(key.clone(), session.modify_index);
    batch.deletes.push(key);
    super::query::end_with(&session.id, state, batch);
    let_go(session, state, batch);
}

fn let_go(session: &Session, state: &State, batch: &mut Batch) {
    for entry in state.kv_held_by(&session.id) {
        let key = Key::Kv(entry.key.as_str().into());
        batch.guard(key.clone(), entry.modify_index);
        match session.behavior {
            SessionBehavior::Delete => batch.deletes.push(key),
            SessionBehavior::Release => {
                let free = KvEntry { session: String::new(), ..KvEntry::clone(entry) };
                batch.puts.push(Fact::Kv(Arc::new(free)));
            }
        }
    }
}

/// Sessions end with their node and with the checks they live on, in the batch that takes those away.
pub(super) fn end_dependents(state: &State, batch: &mut Batch) {
    let mut ended = BTreeMap::new();
    for_each_dependent(batch, state, |session, _| {
        ended.insert(session.id.clone(), session.clone());
    });
    ended.values().for_each(|session| end(session, state, batch));
}

/// The sessions on nodes and checks that a batch takes away or makes critical.
fn for_each_dependent<'a>(batch: &Batch, state: &'a State, mut each: impl FnMut(&'a Stored<Session>, &'a State)) {
    let mut on_check = |node: &str, check: &str| {
        let hang_on = |session: &&Stored<Session>| session.all_checks().any(|id| id == check);
        state.sessions_of(node).filter(hang_on).for_each(|session| each(session, state));
    };
    for fact in &batch.puts {
        if let Fact::Check(fact) = fact
            && fact.check.status == Status::Critical
        {
            on_check(&fact.check.node, &fact.check.check_id);
        }
    }
    for key in &batch.deletes {
        if let Key::Check { node, id } = key {
            on_check(node, id);
        }
    }
    for key in &batch.deletes {
        if let Key::Node(node) = key {
            state.sessions_of(node).for_each(|session| each(session, state));
        }
    }
}

/// What is left to do for sessions after batches were applied.
#[derive(Default)]
pub(crate) struct Aftermath {
    /// Sessions that should have ended, and sessions that are gone but hold locks. They are left where two writers did
    /// not see each other: one made a check critical while another made a session on it, one ended a session while
    /// another took a lock for it.
    strays: Vec<Arc<Session>>,
    /// Ids of sessions whose time is over.
    expired: Vec<String>,
    /// Sessions that have ended before their time.
    ended: Vec<String>,
}

impl Aftermath {
    /// Most batches are about something else.
    pub(crate) fn is_possible(batch: &Batch) -> bool {
        batch.deletes.iter().any(|key| matches!(key, Key::Session(_) | Key::Check { .. } | Key::Node(_)))
            || batch.puts.iter().any(|fact| matches!(fact, Fact::Session(_) | Fact::Check(_)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.strays.is_empty() && self.expired.is_empty() && self.ended.is_empty()
    }

    /// True: the name was a session's.
    pub(crate) fn take_expired(&mut self, name: &str) -> bool {
        let id = name.strip_prefix(LEASES);
        self.expired.extend(id.map(str::to_owned));
        id.is_some()
    }

    pub(crate) fn look_at(&mut self, batch: &Batch, old: &State, new: &State) {
        for key in &batch.deletes {
            let Key::Session(id) = key else { continue };
            let Some(session) = old.session(id) else { continue };
            if !ttl(session).is_zero() {
                self.ended.push(session.id.clone());
            }
            if new.kv_held_by(id).next().is_some() {
                self.strays.push(session.value.clone());
            }
        }
        for fact in &batch.puts {
            if let Fact::Session(session) = fact
                && !may_live(session, new)
            {
                self.strays.push(session.clone());
            }
        }
        for_each_dependent(batch, new, |session, state| {
            if !may_live(session, state) {
                self.strays.push(session.value.clone());
            }
        });
    }

    pub(crate) async fn settle(self, store: Store) {
        for stray in &self.strays {
            if let Err(error) = store.end_stray(stray).await {
                tracing::warn!(%error, session = stray.id, "ending a session whose checks have failed");
            }
        }
        for id in &self.expired {
            if let Err(error) = store.destroy_session(id).await {
                tracing::warn!(%error, session = id, "ending a session whose time to live is over");
                let _ = store.grant(&lease(id), RETRY).await;
            }
        }
        for id in &self.ended {
            // What is not revoked runs out by itself and finds nothing to end.
            let _ = store.revoke(&lease(id)).await;
        }
    }
}

fn may_live(session: &Session, state: &State) -> bool {
    let mut checks = session.all_checks();
    let alive = |id| state.check(&session.node, id).is_some_and(|fact| fact.check.status != Status::Critical);
    state.node(&session.node).is_some() && checks.all(|id| alive(id))
}
