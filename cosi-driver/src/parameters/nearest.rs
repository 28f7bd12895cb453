//! Which known name somebody meant.

/// The known name with the fewest letters to change, if there is one that is alike.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Whoever writes such a name means none of ours, and it need not be compared letter by letter.
    const MAX_CHARS: usize = 64;
    let letters = |text: &str| {
        text.to_lowercase()
            .chars()
            .take(MAX_CHARS)
            .collect::<Vec<_>>()
    };
    let name = letters(name);
    let distances = known.map(|known| (distance(&name, &letters(known)), known));
    let (distance, found) = distances.min()?;
    (distance <= name.len().max(3) / 2).then_some(found)
}

/// Letters to add, take away or change.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for ((to, above), diagonal) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or_default();
            let changed = diagonal + usize::from(from != to);
            next.push(changed.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_are_understood() {
        let known = ["quotaBytes", "quotaObjects", "versioning"];
        let found = |name| nearest(name, known.into_iter());
        assert_eq!(found("quotabytes"), Some("quotaBytes"));
        assert_eq!(found("qoutaByte"), Some("quotaBytes"));
        assert_eq!(found("version"), Some("versioning"));
        assert_eq!(found("colour"), None);
        assert_eq!(found(""), None);
        assert_eq!(found(&"x".repeat(10_000)), None);
    }

    #[test]
    fn distances_are_counted() {
        let of = |a: &str, b: &str| {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            distance(&letters(a), &letters(b))
        };
        assert_eq!(of("kitten", "sitting"), 3);
        assert_eq!(of("", "abc"), 3);
        assert_eq!(of("abc", "abc"), 0);
    }
}
