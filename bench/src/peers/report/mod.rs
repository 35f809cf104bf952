//! The report: one Markdown page with tables and plots, made from records alone. `pages` writes the page, `plots` the
//! pictures, `summary` has the medians, `verdict` what is to be said of them, `readme` the piece for README.md.

mod pages;
mod plots;
mod readme;
mod summary;
mod text;
mod verdict;

use std::fs;
use std::path::Path;

use super::record::Record;

pub use pages::page;
pub use plots::plots;
pub use readme::{put_into, section};
pub use summary::{Results, Summary, median};
pub use verdict::{Loss, losses};

/// Writes `report.md` and `plots/*.svg` into a folder.
pub fn write(folder: &Path, records: &[Record]) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let plots = plots(records);
    fs::create_dir_all(folder.join("plots")).map_err(told)?;
    for plot in &plots {
        fs::write(folder.join("plots").join(&plot.file), &plot.svg).map_err(told)?;
    }
    fs::write(folder.join("report.md"), page(records, &plots)).map_err(told)
}
