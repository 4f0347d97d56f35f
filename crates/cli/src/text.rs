//! Tables, durations, sizes and times, as they are shown.

use std::time::Duration;

use comfy_table::{Table, presets};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// A table without lines: columns two spaces apart, headers in capitals. Nothing but a sentence where it has no rows.
pub fn table<const N: usize>(headers: [&str; N], rows: Vec<[String; N]>, none: &str) -> String {
    if rows.is_empty() {
        return none.to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headers.map(str::to_uppercase));
    for row in rows {
        table.add_row(row.map(|cell| or_dash(&clean(&cell))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Keys and values, one a line; those without a value are left out.
pub fn fields(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> = fields.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = fields.iter().map(|(key, _)| key.chars().count()).max().unwrap_or_default();
    let lines: Vec<String> =
        fields.iter().map(|(key, value)| format!("  {key:<width$}  {}", clean(value))).collect();
    lines.join("\n")
}

/// Text from elsewhere on one line and without what could steer a terminal.
pub fn clean(text: &str) -> String {
    let printable: String =
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    printable.trim().to_owned()
}

/// A line from elsewhere with its blanks, but without what could steer a terminal: escape sequences and control
/// characters.
pub fn unsteered(line: &str) -> String {
    let plain = anstream::adapter::strip_str(line).to_string();
    plain.chars().filter(|letter| *letter == '\t' || !letter.is_control()).collect()
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// `1m 32s`; whole seconds.
pub fn span(duration: Duration) -> String {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    format!("{:#}", SignedDuration::from_secs(seconds))
}

/// From one moment to another, nothing where that is backwards.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// `22:10:03`, with the date where it is another day.
pub fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let form = if at.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    at.strftime(form).to_string()
}

/// `1.5 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, size) in UNITS {
        if count >= size {
            let tenths = u128::from(count) * 10 / u128::from(size);
            return if tenths % 10 == 0 || tenths >= 1000 {
                format!("{} {unit}", tenths / 10)
            } else {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            };
        }
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_show_no_escapes() {
        let rows = vec![["a".to_owned(), String::new()], ["longer".to_owned(), "x\u{1b}[2J\ny".to_owned()]];
        assert_eq!(table(["name", "value"], rows, "none"), "NAME    VALUE\na       -\nlonger  x [2J y");
        assert_eq!(table(["name"], vec![], "There are none."), "There are none.");
    }

    #[test]
    fn lines_of_others_steer_nothing() {
        let line = " \u{1b}[1;31m[  OK  ]\u{1b}[0m\tStarted\0 \u{1b}]0;title\u{7}ssh\u{8}\u{9b}2J \u{fc}ber\u{1b}c\r";
        assert_eq!(unsteered(line), " [  OK  ]\tStarted ssh2J \u{fc}ber");
    }

    #[test]
    fn fields_line_up() {
        assert_eq!(
            fields(&[("a", "1".to_owned()), ("none", String::new()), ("key", "2".to_owned())]),
            "  a    1\n  key  2"
        );
    }

    #[test]
    fn durations_sizes_and_times() {
        assert_eq!(span(Duration::from_millis(92_900)), "1m 32s");
        assert_eq!(span(Duration::ZERO), "0s");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(8 << 30), "8 GiB");
        assert_eq!(bytes(250_000_000_000), "232 GiB");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
        let (at, zone) = ("2026-11-22T10:00:00Z".parse().unwrap(), TimeZone::UTC);
        assert_eq!(clock(at, at, &zone), "10:00:00");
        assert_eq!(clock(at, "2026-11-23T10:00:00Z".parse().unwrap(), &zone), "2026-11-22 10:00:00");
    }
}
