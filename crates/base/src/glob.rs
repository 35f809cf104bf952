//! Glob patterns as KEYS, SCAN MATCH and CONFIG GET take them.
//!
//! `?` is any byte, `*` any bytes, `[abc]`, `[a-z]` and `[^a]` one of a set, `\` takes the next byte literally. What is
//! malformed is taken as leniently as Redis does: an unclosed `[` ends with the pattern, a final `\` is itself.
//!
//! Each element but `*` consumes one byte, so it is enough to go back to the last `*` on a mismatch: the time is at most
//! pattern times text, never exponential.

/// Whether the whole of `s` matches `pattern`; `nocase` ignores the case of ASCII letters.
pub fn glob_match(pattern: &[u8], s: &[u8], nocase: bool) -> bool {
    if pattern == b"*" {
        return true;
    }
    if s.is_empty() {
        // Redis does not look at the pattern of an empty text: "**" does not match it, though "*" alone does.
        return pattern.is_empty();
    }
    let mut p = 0;
    let mut at = 0;
    // After the last star seen: where the pattern goes on, and the text position to try next.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if at == s.len() {
            return pattern[p..].iter().all(|c| *c == b'*');
        }
        if pattern.get(p) == Some(&b'*') {
            while pattern.get(p) == Some(&b'*') {
                p += 1;
            }
            if p == pattern.len() {
                return true;
            }
            retry = Some((p, at + 1));
            continue;
        }
        if let Some(next) = element(&pattern[p..], s[at], nocase) {
            p += next;
            at += 1;
        } else if let Some((after_star, next_at)) = retry {
            p = after_star;
            at = next_at;
            retry = Some((after_star, next_at + 1));
        } else {
            return false;
        }
    }
}

/// Matches one byte with the pattern's first element, which is not a star. Returns the element's length if it matches.
#[inline]
fn element(pattern: &[u8], c: u8, nocase: bool) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => set(rest, c, nocase).map(|length| length + 1),
        [b'\\', literal, ..] => same(*literal, c, nocase).then_some(2),
        [literal, ..] => same(*literal, c, nocase).then_some(1),
    }
}

/// A set after its `[`. Returns the length up to and with the `]` if the byte is in the set.
fn set(pattern: &[u8], c: u8, nocase: bool) -> Option<usize> {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    let length = loop {
        match &pattern[at..] {
            [] => break at,
            [b'\\', literal, ..] => {
                // Escaped members keep their case even when the rest ignores it.
                found |= *literal == c;
                at += 2;
            }
            [b']', ..] => break at + 1,
            [from, b'-', to, ..] => {
                found |= in_range(*from, *to, c, nocase);
                at += 3;
            }
            [literal, ..] => {
                found |= same(*literal, c, nocase);
                at += 1;
            }
        }
    };
    (found != negated).then_some(length)
}

/// Bytes compare as signed here, as C's `char` does on x86: `[a-\xff]` is not what it seems in Redis either.
fn in_range(from: u8, to: u8, c: u8, nocase: bool) -> bool {
    let (from, to) = if (from as i8) > to as i8 { (to, from) } else { (from, to) };
    let fold = |b: u8| if nocase { b.to_ascii_lowercase() } else { b } as i8;
    (fold(from)..=fold(to)).contains(&fold(c))
}

#[inline]
fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || (nocase && a.eq_ignore_ascii_case(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What matches is compared with redis-server in tests/samples.rs; KEYS cannot show these.
    #[test]
    fn nocase_ignores_the_case_of_letters_but_not_of_escaped_members() {
        assert!(glob_match(b"MaxMem*", b"maxmemory", true));
        assert!(!glob_match(b"MaxMem*", b"maxmemory", false));
        assert!(glob_match(b"[A-C]x", b"bX", true));
        assert!(glob_match(b"[^A-C]x", b"dX", true));
        assert!(!glob_match(b"[\\B]", b"b", true));
    }

    #[test]
    fn the_empty_text_matches_only_nothing_and_a_lone_star() {
        assert!(glob_match(b"*", b"", false));
        assert!(glob_match(b"", b"", false));
        assert!(!glob_match(b"**", b"", false));
        assert!(!glob_match(b"", b"a", false));
    }

    /// Matching each star against every suffix takes 2^30 steps here.
    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = b"*a".repeat(2000);
        let text = b"a".repeat(1999);
        assert!(!glob_match(&pattern, &text, false));
        let pattern = [b"a*".repeat(30).as_slice(), b"b"].concat();
        assert!(!glob_match(&pattern, &b"a".repeat(5000), false));
    }
}
