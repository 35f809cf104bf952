//! Rust source and manifests as text, with what is not code blanked out.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Where a crate lies, from the root: all in one folder, but the load generator.
pub fn path_of(folder: &str) -> String {
    if folder == "bench" { folder.to_owned() } else { format!("crates/{folder}") }
}

/// A Rust file of the workspace.
pub struct Source {
    /// From the root of the repository.
    pub path: String,
    pub text: String,
    /// The text with comments and literals blanked out: same length, same lines.
    pub code: String,
    /// The code without its tests.
    pub product: String,
    /// The file is compiled for tests only.
    is_test: bool,
}

impl Source {
    /// "engine" of `crates/engine/…`, "bench" of `bench/…`.
    pub fn crate_folder(&self) -> Option<&str> {
        self.path
            .strip_prefix("crates/")
            .or(self.path.starts_with("bench/").then_some(self.path.as_str()))?
            .split('/')
            .next()
    }

    /// Whether it is part of what the crate gives to others: not its tests, examples or fuzz targets.
    pub fn is_product_of(&self, folder: &str) -> bool {
        !self.is_test && self.path.starts_with(&format!("{}/src/", path_of(folder)))
    }

    /// The modules and items behind `std::`, those of a group `std::{…}` one by one.
    pub fn imports_of_std(&self) -> impl Iterator<Item = &str> {
        self.product.split("std::").skip(1).flat_map(|rest| {
            let group = rest.strip_prefix('{').and_then(|group| group.split(['}', ';']).next());
            let paths = group.map_or_else(|| vec![rest], |group| group.split(',').collect());
            paths.into_iter().map(first_name).collect::<Vec<_>>()
        })
    }

    /// Lines on which `word` stands as a name of its own, tests left out where the file is no test itself.
    pub fn names<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let code = if self.is_test { &self.code } else { &self.product };
        code.match_indices(word).filter(move |&(at, _)| is_whole(code, at, word)).map(|(at, _)| line_of(code, at))
    }
}

fn first_name(path: &str) -> &str {
    path.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Whether no letter, digit or underscore continues the word at either end.
pub fn is_whole(text: &str, at: usize, word: &str) -> bool {
    let joins = |outer: Option<char>, inner: Option<char>| {
        [outer, inner].iter().all(|c| c.is_some_and(|c| c.is_alphanumeric() || c == '_'))
    };
    !joins(text[..at].chars().next_back(), word.chars().next())
        && !joins(text[at + word.len()..].chars().next(), word.chars().next_back())
}

/// The line that a position lies on, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].bytes().filter(|&byte| byte == b'\n').count() + 1
}

/// All Rust files, tests and fuzz targets included.
pub fn sources() -> Vec<Source> {
    let mut sources: Vec<Source> = all_files()
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .map(|path| {
            let text = fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            let code = blanked(&text);
            let product = without_test_modules(&code);
            let is_test = !path.contains("/src/");
            Source { path, text, code, product, is_test }
        })
        .collect();
    let tests: Vec<String> = sources.iter().flat_map(test_files).collect();
    for source in &mut sources {
        source.is_test = source.is_test || tests.iter().any(|test| source.path.starts_with(test));
    }
    sources
}

/// The files (without their end, so that folders match, too) of the modules that a file declares for tests only.
fn test_files(file: &Source) -> Vec<String> {
    let path = Path::new(&file.path);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let parent = path.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
    let folder = match &*stem {
        "mod" | "lib" | "main" => parent,
        stem => format!("{parent}/{stem}"),
    };
    let modules = file.code.match_indices("#[cfg(test)]").filter_map(|(at, attribute)| {
        let declaration = file.code[at + attribute.len()..].split(['{', ';']).next()?;
        let (_, name) = declaration.rsplit_once("mod ")?;
        file.code[at..].find(';').filter(|end| !file.code[at..at + end].contains('{'))?;
        Some(name.trim().to_owned())
    });
    modules.flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/")]).collect()
}

/// Blanks out modules written in place under `#[cfg(test)]`. Braces in literals are blank already, so they balance.
fn without_test_modules(code: &str) -> String {
    let mut out = code.to_owned();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let Some(open) = code[at..].find(['{', ';']).map(|open| at + open) else { continue };
        if code.as_bytes()[open] == b';' || !code[at..open].contains("mod ") {
            continue;
        }
        let mut depth = 0;
        let close = code[open..].char_indices().find(|&(_, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        let end = close.map_or(code.len(), |(length, _)| open + length + 1);
        let blank: String = code[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        if blank.len() == end - at {
            out.replace_range(at..end, &blank);
        }
    }
    out
}

/// The text with comments and the insides of literals replaced by spaces, byte for byte.
fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = match rest {
            [b'/', b'/', ..] => rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => block_comment(rest),
            [b'"', ..] => quoted(rest),
            [b'r', b'"' | b'#', ..] if !ends_name(&bytes[..at]) => raw_string(rest).unwrap_or(0),
            [b'b' | b'c', b'r', b'"' | b'#', ..] if !ends_name(&bytes[..at]) => {
                raw_string(&rest[1..]).map_or(0, |length| length + 1)
            }
            [b'\'', ..] => char_literal(rest),
            _ => 0,
        };
        for byte in &mut out[at..at + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += length.max(1);
    }
    String::from_utf8(out).expect("literals and comments are whole characters")
}

fn ends_name(before: &[u8]) -> bool {
    before.last().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `r"…"`, `r#"…"#`; None for a raw identifier.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|&&b| b == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = 2 + hashes;
    let found = rest[body..].windows(end.len()).position(|window| window == end);
    Some(found.map_or(rest.len(), |found| body + found + end.len()))
}

/// `'x'`, `'\n'`, `'\u{1f}'`; 0 for a lifetime.
fn char_literal(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest[3..].iter().position(|&b| b == b'\'').map_or(0, |end| end + 4);
    }
    let Some(c) = std::str::from_utf8(&rest[1..rest.len().min(5)]).map_or_else(
        |error| std::str::from_utf8(&rest[1..1 + error.valid_up_to()]).ok().and_then(|text| text.chars().next()),
        |text| text.chars().next(),
    ) else {
        return 0;
    };
    if rest.get(1 + c.len_utf8()) == Some(&b'\'') { c.len_utf8() + 2 } else { 0 }
}

/// Every file that belongs to the repository, from its root.
pub fn all_files() -> Vec<String> {
    const LEFT_OUT: &[&str] = &["target", "artifacts", "corpus", "coverage", "node_modules", "__pycache__"];
    // Papers that a checkout may lie beside, no part of the repository.
    let papers = root().join("shared");
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for path in children(&folder) {
            let name = name(&path);
            if path == papers
                || path.is_symlink()
                || LEFT_OUT.contains(&&*name)
                || (name.starts_with('.') && name != ".ci")
            {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(inside) = path.strip_prefix(root()) {
                files.push(inside.to_string_lossy().into_owned());
            }
        }
    }
    files.sort();
    files
}

/// What lies in a folder.
pub fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("a readable folder").path()).collect()
}

/// The last part of a path.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// As much of TOML as the manifests here use: sections, and one `key = value` on a line.
pub struct Manifest(Vec<(String, String, String)>);

impl Manifest {
    /// Reads the file at `path` from the root.
    pub fn read(path: &str) -> Manifest {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut section = String::new();
        let mut entries = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_matches(['[', ']']).to_owned();
            } else if let Some((key, value)) = line.split_once('=') {
                entries.push((section.clone(), key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Manifest(entries)
    }

    /// The keys of a section, `name` for `name.workspace`; those of `[target.….section]` and `[section.name]`, too.
    pub fn keys<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = String> + 'a {
        self.0.iter().filter_map(move |(section, key, _)| {
            let name = match section.split_once(&format!("{wanted}.")) {
                Some((before, name)) if before.is_empty() || before.ends_with('.') => name,
                _ if section == wanted || section.ends_with(&format!(".{wanted}")) => key.split('.').next()?,
                _ => return None,
            };
            Some(name.trim_matches('"').to_owned())
        })
    }

    /// The value behind a key, as it is written.
    pub fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.0.iter().find(|entry| entry.0 == section && entry.1 == key).map(|entry| entry.2.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let source = r##"
    let a = "unsafe \" unsafe"; // unsafe
    let b = r#"unsafe " unsafe"#; /* unsafe /* unsafe */ unsafe */
    let c: &'static str = b"unsafe"; let d = ['"', '\'', '\u{22}', 'ä']; fn e<'unsafe_>() {}
    unsafe {}
    "##;
        let code = blanked(source);
        assert_eq!(code.len(), source.len());
        let file = Source { path: String::new(), text: String::new(), product: code.clone(), code, is_test: false };
        assert_eq!(file.names("unsafe").collect::<Vec<_>>(), [5], "{}", file.code);
    }

    #[test]
    fn tests_are_told_from_the_product() {
        let source = "use a;\n#[cfg(test)]\nmod tests {\n    fn f() { Instant::now() }\n}\n#[cfg(test)]\npub(super) mod trial;\nfn g() {}\n";
        let product = without_test_modules(source);
        assert!(!product.contains("Instant") && product.contains("fn g()") && product.len() == source.len());
        let path = "crates/x/src/y.rs".to_owned();
        let file = Source { path, text: String::new(), code: source.to_owned(), product, is_test: false };
        assert_eq!(test_files(&file), ["crates/x/src/y/trial.rs", "crates/x/src/y/trial/"]);
    }

    #[test]
    fn imports_of_std_one_by_one() {
        let product =
            "use std::fs::File;\nuse std::{io, net::{TcpStream}};\nlet t = std::time::Instant::now();".to_owned();
        let file = Source { path: String::new(), text: String::new(), code: product.clone(), product, is_test: false };
        assert_eq!(file.imports_of_std().collect::<Vec<_>>(), ["fs", "io", "net", "time"]);
    }

    #[test]
    fn words_are_whole() {
        assert!(is_whole("a unsafe {", 2, "unsafe"));
        assert!(!is_whole("not_unsafe", 4, "unsafe"));
        assert!(is_whole("std::fs::read", 0, "std::fs"));
        assert!(is_whole("x.read()", 1, ".read"));
        assert!(!is_whole("x.reader()", 1, ".read"));
    }
}
