//! `DIR{1...4}`: one pattern for a row of directories.

/// Directories that one pattern may name.
const MAX_EXPANDED_COUNT: usize = 255;

/// Why a pattern cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// Braces hold no range of numbers.
    #[error("`{{{inside}}}` in `{pattern}` is no range of numbers: write it as {{1...4}}")]
    NotARange {
        /// The whole pattern.
        pattern: String,
        /// What the braces hold.
        inside: String,
    },
    /// A brace without its partner.
    #[error("a brace in `{0}` has no partner")]
    Unbalanced(String),
    /// The pattern names too many directories.
    #[error("`{0}` names more than {MAX_EXPANDED_COUNT} directories")]
    TooMany(String),
}

/// All that `pattern` names: each `{a...b}` counts from a to b, with leading zeros where a has them.
///
/// # Errors
/// [`ExpandError`]: the operator corrects the pattern.
pub fn expand(pattern: &str) -> Result<Vec<String>, ExpandError> {
    let mut expanded = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, inside, after)) = split_braces(pattern, rest)? {
        let numbers = range(pattern, inside)?;
        if expanded.len() * numbers.len() > MAX_EXPANDED_COUNT {
            return Err(ExpandError::TooMany(pattern.to_owned()));
        }
        expanded = product(&expanded, before, &numbers);
        rest = after;
    }
    expanded.iter_mut().for_each(|path| path.push_str(rest));
    Ok(expanded)
}

type Braces<'a> = Option<(&'a str, &'a str, &'a str)>;

fn split_braces<'a>(pattern: &str, rest: &'a str) -> Result<Braces<'a>, ExpandError> {
    let unbalanced = || ExpandError::Unbalanced(pattern.to_owned());
    let Some((before, inner)) = rest.split_once('{') else {
        return if rest.contains('}') { Err(unbalanced()) } else { Ok(None) };
    };
    let (inside, after) = inner.split_once('}').ok_or_else(unbalanced)?;
    if before.contains('}') || inside.contains('{') {
        return Err(unbalanced());
    }
    Ok(Some((before, inside, after)))
}

fn range(pattern: &str, inside: &str) -> Result<Vec<String>, ExpandError> {
    let bad = || ExpandError::NotARange { pattern: pattern.to_owned(), inside: inside.to_owned() };
    let (from, to) = inside.split_once("...").ok_or_else(bad)?;
    let first: usize = number(from).ok_or_else(bad)?;
    let last: usize = number(to).ok_or_else(bad)?;
    if last < first {
        return Err(bad());
    }
    if last - first >= MAX_EXPANDED_COUNT {
        return Err(ExpandError::TooMany(pattern.to_owned()));
    }
    let width = if from.starts_with('0') { from.len() } else { 0 };
    Ok((first..=last).map(|n| format!("{n:0width$}")).collect())
}

fn number(digits: &str) -> Option<usize> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn product(heads: &[String], middle: &str, tails: &[String]) -> Vec<String> {
    let each = |head: &String| tails.iter().map(|t| format!("{head}{middle}{t}")).collect();
    heads.iter().flat_map(|head| -> Vec<String> { each(head) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_braces_names_itself() {
        assert_eq!(expand("/data").unwrap(), ["/data"]);
    }

    #[test]
    fn a_range_counts_and_keeps_leading_zeros() {
        assert_eq!(expand("/d{1...3}/x").unwrap(), ["/d1/x", "/d2/x", "/d3/x"]);
        assert_eq!(expand("d{08...10}").unwrap(), ["d08", "d09", "d10"]);
    }

    #[test]
    fn two_ranges_multiply_in_order() {
        assert_eq!(expand("/a{1...2}/b{1...2}").unwrap(), ["/a1/b1", "/a1/b2", "/a2/b1", "/a2/b2"]);
    }

    #[test]
    fn wrong_patterns_are_refused_by_name() {
        for bad in ["d{1..4}", "d{a...b}", "d{4...1}", "d{}", "d{1...}", "d{+1...2}"] {
            let err = expand(bad).unwrap_err();
            assert!(matches!(err, ExpandError::NotARange { .. }), "{bad}: {err}");
        }
        for bad in ["d{1...4", "d1...4}", "d{1...{2}}"] {
            assert!(matches!(expand(bad), Err(ExpandError::Unbalanced(_))), "{bad}");
        }
        for bad in ["d{1...1000}", "d{1...20}/{1...20}", "d{0...18446744073709551615}"] {
            assert!(matches!(expand(bad), Err(ExpandError::TooMany(_))), "{bad}");
        }
    }
}
