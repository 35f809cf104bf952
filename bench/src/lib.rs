//! Pinyon's benchmark: the load generator, and what the programs around it share with it.
//!
//! `load` is the generator itself, which the binary `pinyon-bench` runs. It speaks to any server of the Redis protocol and of
//! memcached's text protocol, and knows nothing of Pinyon. `peers` is the harness around it, the binary `pinyon-peers`: it runs
//! workloads against Pinyon and its peers in turn and makes a report of that. Nothing of this is built into the server.
#![deny(unsafe_code)]

pub mod load;
pub mod peers;
