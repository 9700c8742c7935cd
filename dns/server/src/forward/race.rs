//! Which upstream is asked next.

/// The order of one query's tries: round and round, leaving out those that failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Race {
    /// Tries so far, those left out included.
    turns: usize,
    /// Tries that may still be made.
    left: usize,
    /// Whether each upstream is left out, by place.
    excluded: Vec<bool>,
}

impl Race {
    /// Starts with the first of so many `upstreams`, for at most `attempts` tries.
    pub(crate) fn new(upstreams: usize, attempts: usize) -> Self {
        Self { turns: 0, left: attempts, excluded: vec![false; upstreams] }
    }

    /// Takes the place of the upstream to ask now, if any is left.
    pub(crate) fn next(&mut self) -> Option<usize> {
        let upstreams = self.excluded.len();
        for _ in 0..upstreams {
            let place = self.turns % upstreams;
            self.turns += 1;
            if !self.excluded[place] {
                self.left = self.left.checked_sub(1)?;
                return Some(place);
            }
        }
        None
    }

    /// Leaves an upstream out from now on.
    pub(crate) fn exclude(&mut self, place: usize) {
        self.excluded[place] = true;
    }

    /// Whether some upstream has not been asked at all.
    pub(crate) fn has_unasked(&self) -> bool {
        self.left > 0 && self.turns < self.excluded.len()
    }

    /// Whether any upstream may be asked (again).
    pub(crate) fn may_ask(&self) -> bool {
        self.left > 0 && self.excluded.contains(&false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_upstream_is_asked_before_one_is_asked_again() {
        let mut race = Race::new(3, 9);
        assert!(race.has_unasked());
        assert_eq!([race.next(), race.next(), race.next()], [Some(0), Some(1), Some(2)]);
        assert!(!race.has_unasked());
        assert_eq!(race.next(), Some(0));
    }

    #[test]
    fn upstreams_that_failed_are_left_out_until_none_is_left() {
        let mut race = Race::new(3, 9);
        assert_eq!(race.next(), Some(0));
        race.exclude(0);
        assert_eq!([race.next(), race.next(), race.next()], [Some(1), Some(2), Some(1)]);
        race.exclude(1);
        race.exclude(2);
        assert!(!race.may_ask());
        assert_eq!(race.next(), None);
    }

    #[test]
    fn tries_are_limited() {
        let mut race = Race::new(3, 2);
        assert_eq!([race.next(), race.next()], [Some(0), Some(1)]);
        assert!(!race.has_unasked() && !race.may_ask());
        assert_eq!(race.next(), None);
    }
}
