//! A blocking connection to a server, for what the harness itself asks: COMMAND INFO, CONFIG GET, INFO, DBSIZE, BGSAVE.
//! Never used for load. RESP2 only; memcached gets one command, `version`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A reply of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A simple or a bulk string.
    Text(String),
    Integer(i64),
    Null,
    Error(String),
    Array(Vec<Reply>),
}

impl Reply {
    pub fn text(&self) -> Option<&str> {
        match self {
            Reply::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// One connection to 127.0.0.1.
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects, or fails within two seconds. Replies may take up to `patience`.
    pub fn connect(port: u16, patience: Duration) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(2))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Client { reader: BufReader::new(stream) })
    }

    /// Sends one command and waits for its reply.
    pub fn call(&mut self, words: &[&str]) -> io::Result<Reply> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        self.reader.get_mut().write_all(&bytes)?;
        self.read()
    }

    /// The value of a field of `INFO section`.
    pub fn info(&mut self, section: &str, field: &str) -> io::Result<Option<String>> {
        let reply = self.call(&["INFO", section])?;
        let text = reply.text().unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(value.map(|value| value.trim().to_owned()))
    }

    /// What memcached says its version is.
    pub fn memcached_version(&mut self) -> io::Result<String> {
        self.reader.get_mut().write_all(b"version\r\n")?;
        let line = self.line()?;
        let version = line.strip_prefix("VERSION ").map(str::to_owned);
        version.ok_or_else(|| io::Error::other(format!("memcached said {line:?}")))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn read(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).unwrap_or(("", ""));
        let odd = || io::Error::other(format!("not RESP2: {line:?}"));
        let length = || rest.parse::<i64>().map_err(|_| odd());
        match kind {
            "+" => Ok(Reply::Text(rest.to_owned())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => Ok(Reply::Integer(length()?)),
            "$" | "*" if length()? < 0 => Ok(Reply::Null),
            "$" => {
                let mut body = vec![0; length()? as usize + 2];
                self.reader.read_exact(&mut body)?;
                body.truncate(body.len() - 2);
                Ok(Reply::Text(String::from_utf8_lossy(&body).into_owned()))
            }
            "*" => (0..length()?).map(|_| self.read()).collect::<io::Result<_>>().map(Reply::Array),
            _ => Err(odd()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn replies_of_all_shapes_are_read() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut asked = [0; 23];
            stream.read_exact(&mut asked).expect("a command");
            stream.write_all(b"*5\r\n+OK\r\n:-7\r\n$3\r\na\nb\r\n$-1\r\n*1\r\n-ERR no\r\n").expect("sent");
            asked
        });
        let mut client = Client::connect(port, Duration::from_secs(5)).expect("connected");
        let reply = client.call(&["GET", "some"]).expect("a reply");
        assert_eq!(&server.join().expect("no panic"), b"*2\r\n$3\r\nGET\r\n$4\r\nsome\r\n");
        let expected = vec![
            Reply::Text("OK".to_owned()),
            Reply::Integer(-7),
            Reply::Text("a\nb".to_owned()),
            Reply::Null,
            Reply::Array(vec![Reply::Error("ERR no".to_owned())]),
        ];
        assert_eq!(reply, Reply::Array(expected));
    }
}
