//! What a backup asks of a running server: where its store is, and to seal an epoch and make it durable.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::ToolError;

/// A sync on a slow disk takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

pub struct Server {
    name: String,
    stream: BufReader<Box<dyn Stream>>,
}

impl Server {
    /// `address`: HOST:PORT, or the path of a unix socket.
    pub fn connect(address: &str, password: Option<&str>) -> Result<Server, ToolError> {
        let failed = |error: std::io::Error| ToolError::Server(address.to_owned(), error.to_string());
        let stream: Box<dyn Stream> = if Path::new(address).exists() {
            let stream = UnixStream::connect(address).map_err(failed)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
            Box::new(stream)
        } else {
            let stream = TcpStream::connect(address).map_err(failed)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
            Box::new(stream)
        };
        let mut server = Server { name: address.to_owned(), stream: BufReader::new(stream) };
        if let Some(password) = password {
            server.call(&["AUTH", password])?;
        }
        Ok(server)
    }

    /// The folder of its store.
    pub fn folder(&mut self) -> Result<PathBuf, ToolError> {
        let dir = self.setting("dir")?;
        Ok(Path::new(&dir).join(self.setting("appenddirname")?))
    }

    /// Has what was written so far sealed in an epoch, and made durable on all shards.
    pub fn seal(&mut self) -> Result<(), ToolError> {
        let words = self.call(&["WAITAOF", "1", "0", "0"])?;
        if words.first().map(String::as_str) == Some("1") {
            return Ok(());
        }
        Err(self.wrong("it does not confirm that its log is durable"))
    }

    fn setting(&mut self, name: &str) -> Result<String, ToolError> {
        let mut words = self.call(&["CONFIG", "GET", name])?;
        words.pop().ok_or_else(|| self.wrong("it does not say where its store is"))
    }

    fn wrong(&self, what: &str) -> ToolError {
        ToolError::Server(self.name.clone(), what.to_owned())
    }

    /// The words of a reply; an error reply is an error.
    fn call(&mut self, words: &[&str]) -> Result<Vec<String>, ToolError> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        let name = self.name.clone();
        let failed = |error: std::io::Error| ToolError::Server(name.clone(), error.to_string());
        self.stream.get_mut().write_all(request.as_bytes()).map_err(&failed)?;
        let mut reply = Vec::new();
        let mut expected = 1;
        while expected > 0 {
            expected -= 1;
            let mut line = String::new();
            self.stream.read_line(&mut line).map_err(&failed)?;
            let line = line.trim_end();
            let (kind, rest) = line.split_at_checked(1).ok_or_else(|| self.wrong("it hung up"))?;
            let count = rest.parse::<usize>().unwrap_or(0);
            match kind {
                "*" => expected += count,
                "$" => {
                    let mut bytes = vec![0; count + 2];
                    self.stream.read_exact(&mut bytes).map_err(&failed)?;
                    bytes.truncate(count);
                    reply.push(String::from_utf8_lossy(&bytes).into_owned());
                }
                "+" | ":" => reply.push(rest.to_owned()),
                _ => return Err(self.wrong(rest)),
            }
        }
        Ok(reply)
    }
}
