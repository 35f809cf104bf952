//! One of the two servers that are compared, with its connections.

use std::collections::BTreeSet;
use std::io;

use super::compare::Reply;
use crate::client::encode;
use crate::{Address, Client, Value};

/// A server seen through several connections.
pub(super) struct Side {
    address: Address,
    connections: Vec<Client>,
    /// Its own connection for looking at the data, not part of the comparison of sessions.
    observer: Client,
}

impl Side {
    /// Connects; every second connection speaks RESP3, and they spread over three databases.
    pub fn new(address: Address, connections: usize) -> io::Result<Side> {
        let observer = greeted(&address)?;
        let mut side = Side { address, connections: Vec::new(), observer };
        for i in 0..connections {
            let mut client = greeted(&side.address)?;
            if i % 2 == 1 {
                client.hello3()?;
            }
            client.call(&["SELECT", &(i % 3).to_string()])?;
            side.connections.push(client);
        }
        Ok(side)
    }

    pub fn observer(&mut self) -> &mut Client {
        &mut self.observer
    }

    pub fn send(&mut self, connection: usize, calls: &[Vec<Vec<u8>>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for args in calls {
            encode(args, &mut bytes);
        }
        match self.connections[connection].send_raw(&bytes) {
            // The reply, or its absence, will tell.
            Err(error) if is_closed(&error) => Ok(()),
            sent => sent,
        }
    }

    pub fn receive(&mut self, connection: usize) -> io::Result<Reply> {
        match self.connections[connection].receive_with_bytes() {
            Ok((value, bytes)) => Ok(Reply::Value { value, bytes }),
            Err(error) if is_closed(&error) => Ok(Reply::Closed),
            Err(error) => Err(error),
        }
    }

    pub fn reconnect(&mut self, connection: usize) -> io::Result<()> {
        self.connections[connection] = greeted(&self.address)?;
        Ok(())
    }

    /// Goes on with a SCAN, `first` being the reply to `args`, until the cursor is 0 again. All keys; None when the reply
    /// is not a cursor and keys.
    pub fn sweep(
        &mut self,
        connection: usize,
        args: &[Vec<u8>],
        first: &Value,
    ) -> io::Result<Option<BTreeSet<Vec<u8>>>> {
        /// There are some dozens of keys: more calls than this would go on forever.
        const CALLS_MAX: usize = 100_000;
        let mut keys = BTreeSet::new();
        let mut args = args.to_vec();
        let mut reply = first.clone();
        for _ in 0..CALLS_MAX {
            let Some([cursor, found]) = reply.as_array() else {
                return Ok(None);
            };
            let (Some(cursor), Some(found)) = (cursor.as_bytes(), found.as_array()) else {
                return Ok(None);
            };
            keys.extend(found.iter().map(|key| key.as_bytes().unwrap_or_default().to_vec()));
            if cursor == b"0" {
                return Ok(Some(keys));
            }
            args[1] = cursor.to_vec();
            reply = self.connections[connection].call(&args)?;
        }
        Err(io::Error::other("SCAN does not come to an end"))
    }

    /// How many keys of the selected database are not due.
    pub fn count_keys(&mut self, connection: usize) -> io::Result<usize> {
        Ok(self.connections[connection].call(&["KEYS", "*"])?.as_array().map_or(0, |keys| keys.len()))
    }

    /// How many of the keys in the selected database are this one: 0 or 1.
    pub fn has_key(&mut self, connection: usize, key: &[u8]) -> io::Result<bool> {
        Ok(self.connections[connection].call(&[b"EXISTS", key])? == Value::Int(1))
    }
}

/// A connection that the server has taken up: servers with several threads number connections as they get to them.
fn greeted(address: &Address) -> io::Result<Client> {
    let mut client = Client::connect(address)?;
    client.call(&["PING"])?;
    Ok(client)
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
