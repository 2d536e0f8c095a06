//! Lists as long as they can honestly be: a kubelet writes its Node, and may claim anything.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

/// The first `MOST` items of a list; `null` is an empty one, since Go writes that.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MOST: usize>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    from.deserialize_any(First::<T, MOST>(PhantomData))
}

struct First<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for First<T, MOST> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while list.len() < MOST {
            let Some(item) = items.next_element()? else { return Ok(list) };
            list.push(item);
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_passed_over() {
        let read = |text: &str| {
            let mut from = serde_json::Deserializer::from_str(text);
            let list = list::<_, u8, 2>(&mut from).ok();
            list.filter(|_| from.end().is_ok())
        };
        assert_eq!(read("null"), Some(vec![]));
        assert_eq!(read("[]"), Some(vec![]));
        assert_eq!(read("[1]"), Some(vec![1]));
        assert_eq!(read("[1,2]"), Some(vec![1, 2]));
        assert_eq!(read(r#"[1,2,3,{"names":[4]},null]"#), Some(vec![1, 2]));
        for wrong in ["{}", "7", r#""text""#, "[1,2,", "[300]"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
