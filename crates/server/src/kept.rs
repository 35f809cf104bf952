//! Arguments kept beyond the call that brought them.

use pinyon_resp::{Args, Span};

/// A command's arguments in one piece of memory of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Kept {
    pub(crate) fn new<'a>(args: impl Iterator<Item = &'a [u8]>) -> Kept {
        let mut kept = Kept::default();
        for arg in args {
            kept.spans.push(Span { start: kept.bytes.len() as u32, len: arg.len() as u32 });
            kept.bytes.extend_from_slice(arg);
        }
        kept
    }

    pub(crate) fn args(&self) -> Args<'_> {
        Args { bytes: &self.bytes, spans: &self.spans }
    }
}
