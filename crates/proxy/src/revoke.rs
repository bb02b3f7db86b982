//! Tells everything open on a connection that its caller is no longer allowed.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::answer::Failure;

/// One per inbound connection. Waiting costs a slot in a list; no lock, no allocation once the list has grown.
#[derive(Default)]
pub(crate) struct Revocation {
    /// How often the connection was revoked: only what was open before a revocation ends by it.
    epoch: Cell<u64>,
    why: RefCell<Option<Rc<Failure>>>,
    waiting: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

impl Revocation {
    pub fn revoke(&self, why: Rc<Failure>) {
        self.epoch.set(self.epoch.get() + 1);
        *self.why.borrow_mut() = Some(why);
        let wakers: Vec<Waker> = self.waiting.borrow().iter().flatten().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    pub fn watch(self: &Rc<Self>) -> Watch {
        Watch { revocation: self.clone(), epoch: self.epoch.get(), slot: None }
    }
}

/// Resolves when the caller is no longer allowed.
pub(crate) struct Watch {
    revocation: Rc<Revocation>,
    epoch: u64,
    slot: Option<usize>,
}

impl Watch {
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Rc<Failure>> {
        let revocation = &self.revocation;
        if revocation.epoch.get() != self.epoch
            && let Some(why) = revocation.why.borrow().as_ref()
        {
            return Poll::Ready(why.clone());
        }
        let mut waiting = revocation.waiting.borrow_mut();
        let slot = *self.slot.get_or_insert_with(|| {
            revocation.free.borrow_mut().pop().unwrap_or_else(|| {
                waiting.push(None);
                waiting.len() - 1
            })
        });
        match &mut waiting[slot] {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Future for Watch {
    type Output = Rc<Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Rc<Failure>> {
        Watch::poll(&mut self, cx)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.revocation.waiting.borrow_mut()[slot] = None;
            self.revocation.free.borrow_mut().push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Kind;

    #[test]
    fn ends_what_was_open_and_nothing_begun_later() {
        let revocation = Rc::new(Revocation::default());
        let cx = &mut Context::from_waker(Waker::noop());
        let (mut first, mut second) = (revocation.watch(), revocation.watch());
        assert!(first.poll(cx).is_pending() && second.poll(cx).is_pending());
        drop(second);
        revocation.revoke(Rc::new(Failure::new(Kind::Denied, "now denied")));
        assert!(first.poll(cx).is_ready());
        assert!(revocation.watch().poll(cx).is_pending());
        drop(first);
        assert_eq!(revocation.waiting.borrow().len(), 2, "slots are used again");
    }
}
