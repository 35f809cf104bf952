//! Numbers as people read them, and Markdown tables.

/// "1.23 M", "456 k", "78".
pub fn count(number: f64) -> String {
    match number {
        number if number >= 10e6 => format!("{:.1} M", number / 1e6),
        number if number >= 1e6 => format!("{:.2} M", number / 1e6),
        number if number >= 10e3 => format!("{:.0} k", number / 1e3),
        number if number >= 1e3 => format!("{:.1} k", number / 1e3),
        number => format!("{number:.0}"),
    }
}

/// Microseconds with three figures and the unit that suits: "87 µs", "1.25 ms", "2.1 s".
pub fn time(us: f64) -> String {
    match us {
        us if us <= 0.0 => "–".to_owned(),
        us if us < 9.995 => format!("{us:.2} µs"),
        us if us < 999.5 => format!("{us:.0} µs"),
        us if us < 9_995.0 => format!("{:.2} ms", us / 1e3),
        us if us < 99_950.0 => format!("{:.1} ms", us / 1e3),
        us if us < 999_500.0 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// A tick of an axis of microseconds: "100 µs", "2 ms".
pub fn time_tick(us: f64) -> String {
    match us {
        us if us < 999.0 => format!("{us} µs"),
        us if us < 999_000.0 => format!("{} ms", us / 1e3),
        us => format!("{} s", us / 1e6),
    }
}

/// "0.85×", or a dash where there is nothing to compare.
pub fn ratio(ours: f64, theirs: f64) -> String {
    if ours > 0.0 && theirs > 0.0 { format!("{:.2}×", ours / theirs) } else { "–".to_owned() }
}

/// A Markdown table; the first column is text, the others are numbers.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|---|{}\n", head.join(" | "), "--:|".repeat(head.len().saturating_sub(1)));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [999.0, 1_500.0, 456_400.0, 1_234_000.0, 12_340_000.0].map(count),
            ["999", "1.5 k", "456 k", "1.23 M", "12.3 M"]
        );
        assert_eq!(
            [0.0, 4.2, 87.3, 1_250.0, 23_400.0, 123_400.0, 2_100_000.0].map(time),
            ["–", "4.20 µs", "87 µs", "1.25 ms", "23.4 ms", "123 ms", "2.10 s"]
        );
        assert_eq!([50.0, 2_000.0, 5_000_000.0].map(time_tick), ["50 µs", "2 ms", "5 s"]);
        assert_eq!((ratio(1.0, 2.0), ratio(0.0, 2.0)), ("0.50×".to_owned(), "–".to_owned()));
    }

    #[test]
    fn tables_are_markdown() {
        assert_eq!(
            table(&["a", "b"], &[vec!["x|y".to_owned(), "1".to_owned()]]),
            "| a | b |\n|---|--:|\n| x\\|y | 1 |\n"
        );
    }
}
