//! What a job gives back: an answer now, or one that follows the operations that it began.
//!
//! The program on top writes no `async`: it says by closures what becomes of an operation's result.

use std::future::Future;
use std::pin::Pin;

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// A job's answer, on its way to the core.
pub struct Answer<M>(pub(super) Inner<M>);

pub(super) enum Inner<M> {
    Now(M),
    Later(Boxed<M>),
}

impl<M> Answer<M> {
    /// An answer that is there already.
    pub fn now(mail: M) -> Answer<M> {
        Answer(Inner::Now(mail))
    }
}

/// An operation that has begun, and what it will give.
#[must_use = "what is not waited for may not happen"]
pub struct Pending<T>(Boxed<T>);

impl<T: 'static> Pending<T> {
    pub(super) fn new(future: impl Future<Output = T> + 'static) -> Pending<T> {
        Pending(Box::pin(future))
    }

    /// A result that is there already.
    pub fn ready(result: T) -> Pending<T> {
        Pending::new(std::future::ready(result))
    }

    /// Ends the job: makes its answer out of the operation's result, on the executor's thread.
    pub fn then<M: 'static>(self, answer: impl FnOnce(T) -> M + 'static) -> Answer<M> {
        Answer(Inner::Later(Box::pin(async move { answer(self.0.await) })))
    }

    /// Goes on with another operation.
    pub fn and<U: 'static>(self, next: impl FnOnce(T) -> Pending<U> + 'static) -> Pending<U> {
        Pending::new(async move { next(self.0.await).0.await })
    }

    pub(super) async fn wait(self) -> T {
        self.0.await
    }
}
