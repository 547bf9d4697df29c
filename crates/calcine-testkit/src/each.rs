use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `check` on every row of a table and names the rows that failed.
///
/// # Panics
///
/// If some row failed, after all have run.
pub fn each<T: std::fmt::Debug>(rows: impl IntoIterator<Item = T>, check: impl Fn(&T)) {
    let mut failed = Vec::new();
    let mut count = 0;
    for row in rows {
        count += 1;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&row))) {
            let said = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_default();
            let row: String = format!("{row:?}").chars().take(400).collect();
            failed.push(format!("row {row}\n    {said}"));
        }
    }
    assert!(count > 0, "the table has no rows");
    assert!(
        failed.is_empty(),
        "{} of {count} rows failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[cfg(test)]
mod tests {
    use super::each;

    #[test]
    #[should_panic(expected = "2 of 4 rows failed")]
    fn all_rows_run_and_the_failing_ones_are_named() {
        each([1, 2, 3, 4], |row| assert!(row % 2 == 1, "{row} is even"));
    }
}
