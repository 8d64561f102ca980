//! Iterators to lists, and lists put in order, in little code.
//!
//! std's `collect` asks how many elements there will be, makes room for them, and has a loop of its own for
//! many a kind of iterator; and all of that at every call. Where a list is made once a start or once a
//! question, the code matters and the time does not: of the router build these loops were 3 %.

/// An iterator whose elements can be gathered.
pub trait Gather: Iterator + Sized {
    /// As `collect` to a `Vec`.
    fn gather(self) -> Vec<Self::Item> {
        let mut all = Vec::new();
        for one in self {
            all.push(one);
        }
        all
    }

    /// As `collect` to an `Option<Vec<_>>`: all of them, or none if one is missing.
    fn gather_all<T>(self) -> Option<Vec<T>>
    where
        Self: Iterator<Item = Option<T>>,
    {
        let mut all = Vec::new();
        for one in self {
            all.push(one?);
        }
        Some(all)
    }
}

impl<I: Iterator> Gather for I {}

/// As `sort_by_key` of a list, for short ones: the time grows with the square of their length.
///
/// std's ways to sort are made for long lists, and take 400 bytes for each kind of list.
pub fn sort_by_key<T, K: Ord>(list: &mut [T], key: impl Fn(&T) -> K) {
    for end in 1..list.len() {
        let mut here = end;
        while here > 0 && key(&list[here]) < key(&list[here - 1]) {
            list.swap(here, here - 1);
            here -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_keep_their_order_and_one_that_is_missing_spoils_the_list() {
        assert_eq!((1..=5).filter(|n| n % 2 == 1).gather(), [1, 3, 5]);
        assert_eq!([Some(1), Some(2)].into_iter().gather_all(), Some(vec![1, 2]));
        assert_eq!([Some(1), None].into_iter().gather_all::<i32>(), None);
    }

    proptest! {
        #[test]
        fn lists_are_sorted_as_std_sorts_them(list in any::<Vec<(u8, u16)>>()) {
            let (mut ours, mut theirs) = (list.clone(), list);
            sort_by_key(&mut ours, |(key, _)| key % 8);
            theirs.sort_by_key(|(key, _)| key % 8);
            prop_assert_eq!(ours, theirs);
        }
    }
}
