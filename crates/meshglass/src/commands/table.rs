//! Tables of text, with the two spacings Consul uses.

/// Columns two blanks apart, as wide as their widest cell; the last one is not padded.
pub fn columns(rows: &[Vec<String>]) -> String {
    aligned(rows, 2)
}

/// The same with another distance between columns.
pub fn aligned(rows: &[Vec<String>], gap: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < row.len() {
                let blanks = widths[column] - cell.chars().count() + gap;
                out.extend(std::iter::repeat_n(' ', blanks));
            }
        }
        out.push('\n');
    }
    out
}

/// A row of a table.
pub fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_line_up_and_the_last_is_bare() {
        let rows = [row(["Node", "Address", "DC"]), row(["n", "127.0.0.1:8301", "dc1"])];
        assert_eq!(columns(&rows), "Node  Address         DC\nn     127.0.0.1:8301  dc1\n");
        assert_eq!(aligned(&[row(["api", ""]), row(["db-1", "v1"])], 6), "api       \ndb-1      v1\n");
    }
}
