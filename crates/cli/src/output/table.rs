//! Tables in Vault's layout: columns four spaces apart, a line of dashes under the headers.

/// Formats a table with a header line. Empty cells show `n/a`.
pub(crate) fn format_table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let dashes = headers.iter().map(|header| "-".repeat(header.chars().count()));
    let headers = headers.iter().map(|header| (*header).to_owned()).collect();
    let mut all: Vec<Vec<String>> = vec![headers, dashes.collect()];
    all.extend(rows.iter().map(|row| row.iter().map(|text| format_cell(text)).collect()));
    let columns = all.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = all.iter().map(|row| format_row(row, &widths));
    lines.collect::<Vec<_>>().join("\n")
}

/// Formats names and values as a table under `Key` and `Value`.
pub(crate) fn key_value_table(rows: &[(String, String)]) -> String {
    let rows: Vec<_> = rows.iter().map(|(key, value)| vec![key.clone(), value.clone()]).collect();
    format_table(&["Key", "Value"], &rows)
}

fn format_cell(text: &str) -> String {
    // Spaces may be part of a name, but a line end would break the row.
    let text = text.trim_matches(|c: char| c.is_whitespace() && c != ' ');
    if text.trim().is_empty() { "n/a".to_owned() } else { text.to_owned() }
}

fn format_row(row: &[String], widths: &[usize]) -> String {
    let last = row.len().saturating_sub(1);
    let cells = row.iter().zip(widths).enumerate().map(|(index, (cell, width))| {
        if index == last { cell.clone() } else { format!("{cell:<width$}") }
    });
    cells.collect::<Vec<_>>().join("    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_by_characters() {
        let rows = [("é".to_owned(), "1".to_owned()), ("longer".to_owned(), " ".to_owned())];
        assert_eq!(
            key_value_table(&rows),
            "Key       Value\n---       -----\né         1\nlonger    n/a"
        );
    }

    #[test]
    fn spaces_in_cells_are_kept() {
        let rows = [vec!["a ".to_owned()], vec!["b\n".to_owned()]];
        assert_eq!(format_table(&["Keys"], &rows), "Keys\n----\na \nb");
    }

    #[test]
    fn empty_table_has_headers() {
        assert_eq!(format_table(&["Name", "Version"], &[]), "Name    Version\n----    -------");
    }
}
