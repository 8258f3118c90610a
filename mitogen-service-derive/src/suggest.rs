//! Finds the word a person probably meant.

/// The word of `known` that is nearest to `typed`, if one is near enough to be worth a guess.
pub(crate) fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let bound = (typed.chars().count() / 3).max(1);
    known
        .iter()
        .map(|word| (distance(typed, word), *word))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, word)| word)
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    // `rows[i][j]` is the distance of the first `i` letters of `a` from the first `j` of `b`.
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_recognised() {
        assert_eq!(nearest("polcy", &["policy", "invoker"]), Some("policy"));
        assert_eq!(nearest("sise", &["path", "size"]), Some("size"));
        assert_eq!(nearest("nmae", &["name", "vis"]), Some("name"));
        assert_eq!(nearest("Invoker", &["name", "invoker"]), Some("invoker"));
    }

    #[test]
    fn a_stranger_is_not() {
        assert_eq!(nearest("timeout", &["policy", "invoker"]), None);
        assert_eq!(nearest("x", &["policy", "invoker"]), None);
    }
}
