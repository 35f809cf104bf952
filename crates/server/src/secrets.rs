//! Arguments that are for the command alone: passwords. MONITOR and the slow log show something else in their place.

use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_resp::Args;

use crate::config::directives;

/// What is shown instead.
pub const REDACTED: &[u8] = b"(redacted)";

/// The positions of the arguments that may not be shown.
pub fn secret_args(id: CommandId, args: Args<'_>) -> Vec<usize> {
    match registry().full_name(id) {
        "auth" => (1..args.len()).collect(),
        "hello" => hello_secrets(args),
        "config|set" => (2..args.len().saturating_sub(1))
            .step_by(2)
            .filter(|&at| is_secret(args.get(at)))
            .map(|at| at + 1)
            .collect(),
        _ => Vec::new(),
    }
}

/// The users and passwords among HELLO's options, which are walked through as HELLO does: a client may be named "auth".
fn hello_secrets(args: Args<'_>) -> Vec<usize> {
    let mut secrets = Vec::new();
    let mut at = 2;
    while at < args.len() {
        if args.get(at).eq_ignore_ascii_case(b"auth") {
            secrets.extend(at + 1..args.len().min(at + 3));
            at += 3;
        } else {
            at += 2;
        }
    }
    secrets
}

fn is_secret(directive: &[u8]) -> bool {
    std::str::from_utf8(directive).ok().and_then(directives::find).is_some_and(|row| row.secret)
}

#[cfg(test)]
mod tests {
    use pinyon_resp::Span;

    use super::*;

    fn of(name: &str, words: &[&str]) -> Vec<usize> {
        let id = registry().find_full(name.as_bytes()).unwrap();
        let bytes = words.concat();
        let mut start = 0;
        let spans: Vec<Span> = words
            .iter()
            .map(|word| {
                let span = Span { start, len: word.len() as u32 };
                start += span.len;
                span
            })
            .collect();
        secret_args(id, Args { bytes: bytes.as_bytes(), spans: &spans })
    }

    #[test]
    fn passwords_and_nothing_else() {
        assert_eq!(of("auth", &["AUTH", "x"]), [1]);
        assert_eq!(of("auth", &["AUTH", "default", "x"]), [1, 2]);
        assert_eq!(of("hello", &["HELLO", "3", "AUTH", "default", "x", "SETNAME", "me"]), [3, 4]);
        assert_eq!(of("hello", &["HELLO", "3", "SETNAME", "auth", "AUTH", "default", "x"]), [5, 6]);
        assert_eq!(of("hello", &["HELLO", "3", "auth"]), []);
        assert_eq!(of("hello", &["HELLO"]), []);
        assert_eq!(of("config|set", &["config", "set", "port", "1", "RequirePass", "x", "requirepass"]), [5]);
        assert_eq!(of("set", &["set", "auth", "x"]), []);
    }
}
