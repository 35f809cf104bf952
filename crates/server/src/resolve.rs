//! From a command's words to its row, and what is said of words that name none.

use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::row::{Command, Handler, ServerCommand};
use pinyon_engine::{CommandError, until_nul};
use pinyon_resp::Args;

/// Finds the row to carry out: of a container the subcommand named by the second argument.
pub fn resolve(id: CommandId, args: Args<'_>) -> Result<(CommandId, &'static Command), CommandError> {
    let registry = registry();
    let row = registry.row(id);
    if row.subcommands.is_empty() {
        return Ok((id, row));
    }
    if args.len() < 2 {
        return match row.handler {
            Handler::Container => Err(CommandError::WrongArity(row.name.into())),
            _ => Ok((id, row)),
        };
    }
    let name = args.get(1);
    let unknown = || {
        let mut quoted = shown(name, SHOWN_BYTES).to_vec();
        quoted.extend_from_slice(format!("'. Try {} HELP.", row.name.to_ascii_uppercase()).as_bytes());
        CommandError::quoting("ERR unknown subcommand '", &quoted, "")
    };
    let sub = registry.find_sub(id, name).ok_or_else(unknown)?;
    Ok((sub, registry.row(sub)))
}

/// Bytes of a client's words that an error repeats.
const SHOWN_BYTES: usize = 128;

/// The error for a command that does not exist, with the first of its arguments as Redis shows them.
pub fn unknown_command(args: Args<'_>) -> CommandError {
    let name = args.get(0);
    let mut quoted = shown(name, SHOWN_BYTES).to_vec();
    quoted.extend_from_slice(b"', with args beginning with: ");
    let mut length = 0;
    for arg in args.iter().skip(1) {
        if length >= SHOWN_BYTES {
            break;
        }
        let part = shown(arg, SHOWN_BYTES - length);
        quoted.push(b'\'');
        quoted.extend_from_slice(part);
        quoted.extend_from_slice(b"' ");
        length += part.len() + 3;
    }
    CommandError::quoting("ERR unknown command '", &quoted, "")
}

/// What an error shows of a client's word.
fn shown(word: &[u8], bytes_max: usize) -> &[u8] {
    until_nul(&word[..word.len().min(bytes_max)])
}

/// Whether a client that listens in RESP2 may say this, beside changing what it listens to.
pub fn may_while_listening(row: &Command) -> bool {
    use ServerCommand::{Ping, Quit, Reset};
    matches!(row.handler, Handler::Server(Ping | Quit | Reset))
}

/// What it is told when it says anything else: replies and messages could not be told apart.
pub fn only_listens(id: CommandId) -> CommandError {
    let name = registry().full_name(id);
    let allowed = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
    CommandError::Other(format!("ERR Can't execute '{name}': {allowed}").into())
}

/// Whether a command changes what its connection listens to: its confirmation comes before all messages that it brings.
pub fn is_listening(row: &Command) -> bool {
    use ServerCommand::{Psubscribe, Punsubscribe, Ssubscribe, Subscribe, Sunsubscribe, Unsubscribe};
    matches!(
        row.handler,
        Handler::Server(Psubscribe | Punsubscribe | Ssubscribe | Subscribe | Sunsubscribe | Unsubscribe)
    )
}
