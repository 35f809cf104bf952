//! What tests need and the server does not: a blocking client, servers spawned for one test, and the differential harness
//! that compares Pinyon with redis-server call by call. Nothing of this is built into the server.
#![forbid(unsafe_code)]

mod client;
pub mod crash;
pub mod differential;
mod random;
pub mod serializability;
mod server;
mod value;

pub use client::{Address, Client};
pub use random::Random;
pub use server::{Program, Server, ServerOptions, StartError, free_port};
pub use value::{Malformed, Value};
