//! One connection as its thread sees it: what it has to say, and which replies it waits for.

use std::collections::VecDeque;

use crate::load::reply::Replies;

/// What a connection is for, and whether it can be used now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Sends requests.
    Asking,
    /// Only counts what is published.
    Listening,
    /// Not open: to be, or never again.
    Closed,
}

#[derive(Debug)]
pub struct Connection {
    pub role: Role,
    /// The number of its node.
    pub node: u16,
    /// Bytes that are not sent yet.
    pub out: Vec<u8>,
    pub replies: Replies,
    /// Replies that belong to the handshake.
    pub greeting: u32,
    /// Requests under way.
    pub outstanding: u32,
    /// When the batch under way was sent (closed loop), in nanoseconds of the run's clock; with `greeting`, when the connection
    /// was begun.
    pub sent_ns: u64,
    /// When each request under way was due (open loop).
    pub due_ns: VecDeque<u64>,
    /// The command of each request under way, where there are several.
    pub commands: VecDeque<u16>,
    /// Replies since it was opened.
    pub answered: u64,
    /// It is on the list of those with bytes to send.
    pub is_dirty: bool,
    /// It is on the list of those with room for a request (open loop).
    pub is_free: bool,
}

impl Connection {
    pub fn new(role: Role, node: u16, memcached: bool) -> Connection {
        Connection {
            role,
            node,
            out: Vec::new(),
            replies: Replies::new(memcached),
            greeting: 0,
            outstanding: 0,
            sent_ns: 0,
            due_ns: VecDeque::new(),
            commands: VecDeque::new(),
            answered: 0,
            is_dirty: false,
            is_free: false,
        }
    }

    /// Forgets everything that concerned the connection before: another one takes its place. Its buffers stay.
    pub fn renew(&mut self, memcached: bool) {
        self.out.clear();
        self.replies = Replies::new(memcached);
        self.greeting = 0;
        self.outstanding = 0;
        self.due_ns.clear();
        self.commands.clear();
        self.answered = 0;
    }
}
