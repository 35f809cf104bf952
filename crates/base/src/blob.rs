//! Large string values, shared by reference between the table and the replies that carry them.

/// A large string value. Cloning it copies a pointer; nobody changes the bytes while they are shared.
pub type Blob = std::sync::Arc<Vec<u8>>;
