//! One database of a shard.

use std::collections::HashMap;

use pinyon_base::Millis;

use super::value::Body;

#[derive(Default)]
pub(super) struct Db {
    pub(super) map: HashMap<Vec<u8>, Item>,
}

pub(super) struct Item {
    pub(super) body: Body,
    pub(super) deadline: Option<Millis>,
    pub(super) access: u32,
}
