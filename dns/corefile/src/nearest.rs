//! The known word that a misspelled one was probably meant to be.

/// The one of `known` that is nearest to `word`, if it is near enough to be a slip.
pub(crate) fn of<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Distances of long words cost the product of their lengths, and none of them is a slip.
    if word.len() > 32 {
        return None;
    }
    let lowered = word.to_lowercase();
    let length = lowered.chars().count();
    known
        // Words whose lengths differ by more are further apart than that.
        .filter(|known| known.chars().count().abs_diff(length) <= slip(known))
        .map(|known| (strsim::damerau_levenshtein(&lowered, known), known))
        .filter(|(distance, known)| *distance <= slip(known))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Most edits that are still a slip of `known`.
const fn slip(known: &str) -> usize {
    known.len().div_ceil(3)
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_none() {
        let known = ["kubernetes", "forward", "errors", "hosts"];
        for (word, nearest) in [
            ("kubernets", Some("kubernetes")),
            ("Forward", Some("forward")),
            ("error", Some("errors")),
            ("unbound", None),
            ("", None),
        ] {
            assert_eq!(of(word, known.into_iter()), nearest, "{word}");
        }
    }
}
