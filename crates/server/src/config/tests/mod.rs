//! Tests of the configuration: over all rows, of CONFIG's answers, and of whole files.

mod files;
mod live;
mod rows;

use std::path::PathBuf;

use super::directive::Directive;
use super::*;

fn row(name: &str) -> &'static Directive {
    directives::find(name).unwrap_or_else(|| panic!("no directive {name}"))
}

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<Config, String> {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    config_set(config, &pairs, true)
}

fn get(config: &Config, name: &str) -> String {
    let found = config_get(config, &[name.as_bytes()]);
    assert_eq!(found.len(), 1, "{name}");
    found[0].1.clone()
}

fn load_text(text: &str) -> Result<Loaded, Vec<load::Problem>> {
    load(&Options { stdin: Some(text.to_owned()), ..Options::default() })
}

fn fault(text: &str) -> String {
    let problems = load_text(text).expect_err(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].fault.to_string()
}

/// An empty folder of this test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("pinyon-config-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
