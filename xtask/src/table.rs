//! Prints rows in columns.

/// Writes `rows` under `titles`, each column as wide as its widest cell.
pub(crate) fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let mut lines = vec![titles.iter().map(|&title| title.to_owned()).collect::<Vec<_>>()];
    lines.extend(rows.iter().cloned());
    let width = |column: usize| {
        lines.iter().filter_map(|cells| cells.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..titles.len()).map(|index| width(index).unwrap_or(0)).collect();
    let mut text = String::new();
    for cells in &lines {
        let padded = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&["X", "Y"], &rows), "X     Y\na     b\nlong\n");
    }
}
