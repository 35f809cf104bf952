//! A client that writes until the server is gone, and what it remembers of it.

use std::time::Instant;

use super::state::{State, now};
use super::step::{Abilities, Maker, Step};
use crate::{Address, Client, Random, Value};

/// Who writes.
pub(super) struct Author {
    pub number: usize,
    pub seed: u64,
    pub abilities: Abilities,
    pub address: Address,
}

/// A step, and when it was sent and acknowledged.
pub(super) struct Told {
    pub step: Step,
    /// One for each operation; none if it was not acknowledged.
    pub replies: Vec<Value>,
    pub sent: Instant,
    pub acknowledged: Option<Instant>,
    /// Unix milliseconds before it was sent and after it was acknowledged, or the server was gone.
    pub took: (i64, i64),
}

/// What a client has done in one life of the server.
pub(super) struct Story {
    pub steps: Vec<Told>,
    /// So many steps were confirmed by WAITAOF.
    pub confirmed: usize,
}

impl Told {
    /// What it makes of the keys.
    pub fn apply(&self, state: &mut State) {
        self.step.apply(state, self.took, &self.replies);
    }
}

impl Story {
    /// So many steps were acknowledged; one more may have been sent.
    pub fn acknowledged(&self) -> usize {
        self.steps.iter().filter(|told| told.acknowledged.is_some()).count()
    }
}

impl Author {
    /// Writes until the connection breaks. An error: the server answered what it must not.
    pub fn write(&self) -> Result<Story, String> {
        let mut story = Story { steps: Vec::new(), confirmed: 0 };
        let Ok(mut client) = Client::connect(&self.address) else { return Ok(story) };
        let mut maker = Maker::new(self.number, Random::new(self.seed), self.abilities);
        let mut dice = Random::new(self.seed ^ 0x5eed);
        loop {
            let step = maker.step(story.steps.len());
            let commands = step.commands();
            let (begin, sent) = (now(), Instant::now());
            let replies = client.pipeline(&commands);
            let acknowledged = replies.is_ok().then(Instant::now);
            let of_each = match replies.as_deref() {
                Ok([.., Value::Array(replies)]) if step.0.len() > 1 => replies.clone(),
                Ok(replies) => replies.to_vec(),
                Err(_) => Vec::new(),
            };
            story.steps.push(Told { step, replies: of_each, sent, acknowledged, took: (begin, now()) });
            let Ok(replies) = replies else { return Ok(story) };
            if let Some(wrong) = replies.iter().find(|reply| is_wrong(reply)) {
                return Err(format!(
                    "client {}, {:?}: {wrong}",
                    self.number,
                    story.steps.last().map(|told| &told.step)
                ));
            }
            if dice.one_in(40) {
                match client.call(&["WAITAOF", "1", "0", "0"]) {
                    Ok(Value::Array(counts)) if counts.first().and_then(Value::as_int) == Some(1) => {
                        story.confirmed = story.steps.len();
                    }
                    Ok(other) => return Err(format!("client {}, WAITAOF 1 0 0: {other}", self.number)),
                    Err(_) => return Ok(story),
                }
            }
        }
    }
}

/// RENAME and COPY may find no key, a group may be there or not; nothing else fails, in an EXEC or alone.
fn is_wrong(reply: &Value) -> bool {
    const ALLOWED: &[&str] = &["no such key", "source and destination objects", "BUSYGROUP", "NOGROUP"];
    match reply {
        Value::Error(text) => !ALLOWED.iter().any(|allowed| text.contains(allowed)),
        Value::Array(replies) => replies.iter().any(is_wrong),
        _ => false,
    }
}
