//! Workload files: one `option value` a line, with the long options of pinyon-bench; what is behind a `#` that begins a line
//! or follows white space is a comment. Lines that begin with `@` are for the programs that run workloads, and only collected.
//!
//! ```text
//! @title GET, 16 deep
//! pipeline 16
//! command 9 GET key:{key}     # nine of ten
//! command 1 SET key:{key} {value}
//! ```

use std::path::Path;

use crate::load::settings::Settings;

/// A line with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: usize,
    pub name: String,
    pub value: String,
}

/// A workload file, read but not yet applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// The file, as error messages name it.
    pub origin: String,
    /// Options of the generator.
    pub options: Vec<Line>,
    /// Lines that begin with `@`, without it.
    pub directives: Vec<Line>,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}:{line}: {why}")]
pub struct WorkloadError {
    pub origin: String,
    /// 0 for the file as a whole.
    pub line: usize,
    pub why: String,
}

impl Workload {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or one of its lines is no option.
    pub fn read(path: &Path) -> Result<Workload, WorkloadError> {
        let origin = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Workload::parse(&origin, &text),
            Err(error) => Err(WorkloadError { origin, line: 0, why: error.to_string() }),
        }
    }

    /// Reads a text; `origin` is the name that errors give it. Every option is checked by itself.
    ///
    /// # Errors
    /// The first line that is no option, or whose value is wrong.
    pub fn parse(origin: &str, text: &str) -> Result<Workload, WorkloadError> {
        let mut workload = Workload { origin: origin.to_owned(), ..Workload::default() };
        for (index, line) in text.lines().enumerate() {
            let line = without_comment(line).trim();
            if line.is_empty() {
                continue;
            }
            let number = index + 1;
            let (name, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let value = value.trim().to_owned();
            if let Some(name) = name.strip_prefix('@') {
                workload.directives.push(Line { number, name: name.to_owned(), value });
                continue;
            }
            let fails = |why| Err(WorkloadError { origin: origin.to_owned(), line: number, why });
            if value.is_empty() {
                return fails(format!("{name} has no value"));
            }
            if let Err(why) = Settings::default().set(name, &value) {
                return fails(why);
            }
            workload.options.push(Line { number, name: name.to_owned(), value });
        }
        Ok(workload)
    }

    /// Sets everything that the file says.
    ///
    /// # Errors
    /// An option's value is wrong.
    pub fn apply(&self, settings: &mut Settings) -> Result<(), WorkloadError> {
        for line in &self.options {
            let set = settings.set(&line.name, &line.value);
            set.map_err(|why| WorkloadError { origin: self.origin.clone(), line: line.number, why })?;
        }
        Ok(())
    }

    /// The values of a directive (its name without `@`), in the order of the lines.
    pub fn directives<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.directives.iter().filter(move |line| line.name == name).map(|line| line.value.as_str())
    }
}

fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return &line[..at];
        }
        before = c;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_directives_and_comments() {
        let text = "# all of it\n@title GET, 16 deep # not this\n@needs GET SET\n\n  pipeline 16\r\ncommand 9 GET key#{key} # nine of ten\ncommand 1 SET key:{key} {value}\n@prepare requests 5\n@prepare pipeline 64\n";
        let workload = Workload::parse("get.txt", text).unwrap();
        assert_eq!(workload.directives("title").collect::<Vec<_>>(), ["GET, 16 deep"]);
        assert_eq!(workload.directives("prepare").collect::<Vec<_>>(), ["requests 5", "pipeline 64"]);
        let mut settings = Settings::default();
        workload.apply(&mut settings).unwrap();
        assert_eq!(settings.pipeline, 16);
        assert_eq!(settings.mix[0].template, "GET key#{key}");
        assert_eq!(settings.mix.len(), 2);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, message) in [
            ("pipeline 16\n\npipelin 3\n", "w.txt:3: no option \"pipelin\"; is \"pipeline\" meant?"),
            ("port http", "w.txt:1: port: \"http\" is no whole number from 1 to 65535"),
            ("#\nrate", "w.txt:2: rate has no value"),
            ("command 1", "w.txt:1: command: a command needs a name"),
        ] {
            assert_eq!(Workload::parse("w.txt", text).unwrap_err().to_string(), message, "{text:?}");
        }
        let error = Workload::read(Path::new("/no/such/file")).unwrap_err();
        assert!(error.to_string().starts_with("/no/such/file:0: "), "{error}");
    }
}
