//! The arguments of one command: spans of the bytes they were received in.

/// Where one argument lies, from the first byte of its command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    #[inline]
    fn of(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        &bytes[start..start + self.len as usize]
    }
}

/// The arguments of one command; the first is its name.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    pub bytes: &'a [u8],
    pub spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Number of arguments, the name included.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // A command has a name.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Argument `i`, the name being 0. Panics when there are not so many.
    #[inline]
    pub fn get(&self, i: usize) -> &'a [u8] {
        self.spans[i].of(self.bytes)
    }

    /// All arguments in order, from the name on.
    #[inline]
    pub fn iter(&self) -> ArgsIter<'a> {
        ArgsIter { bytes: self.bytes, spans: self.spans.iter() }
    }

    /// The arguments from `first` on (as many as there are left, perhaps none).
    #[inline]
    pub fn from(&self, first: usize) -> Args<'a> {
        Args { bytes: self.bytes, spans: self.spans.get(first..).unwrap_or_default() }
    }

    /// The arguments of a range. Panics when there are not so many.
    pub fn range(&self, range: std::ops::Range<usize>) -> Args<'a> {
        Args { bytes: self.bytes, spans: &self.spans[range] }
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    #[inline]
    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

/// Iterates over arguments.
#[derive(Clone, Debug)]
pub struct ArgsIter<'a> {
    bytes: &'a [u8],
    spans: std::slice::Iter<'a, Span>,
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.spans.next().map(|span| span.of(self.bytes))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}

impl DoubleEndedIterator for ArgsIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.spans.next_back().map(|span| span.of(self.bytes))
    }
}
