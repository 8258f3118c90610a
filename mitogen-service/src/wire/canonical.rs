//! MessagePack in one way: the entries of maps sorted, as they come out of a hash map in any order.

use super::msgpack::{self, Cursor, Malformed};
use super::value::EncodeError;

/// Sorts the entries of all maps of one whole value by how their keys are written.
///
/// It recurses: the value has been encoded here, and so is nested no deeper than is allowed.
pub(crate) fn sort_maps(value: &mut [u8]) -> Result<(), EncodeError> {
    let sorted = sorted(value).map_err(|error| EncodeError(error.to_string()))?;
    if let Some(sorted) = sorted {
        value.copy_from_slice(&sorted);
    }
    Ok(())
}

/// The value with its maps sorted, `None` if nothing in it can be a map.
fn sorted(value: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    if !matches!(msgpack::kind(value), "array" | "map") {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(value.len());
    append_sorted(&mut Cursor::new(value), &mut out)?;
    Ok(Some(out))
}

fn append_sorted(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let before = cursor.rest();
    match msgpack::kind(before) {
        "array" => {
            let items = cursor.array_len()?;
            out.extend_from_slice(&before[..before.len() - cursor.rest().len()]);
            for _ in 0..items {
                append_sorted(cursor, out)?;
            }
        }
        "map" => {
            let pairs = cursor.map_len()?;
            out.extend_from_slice(&before[..before.len() - cursor.rest().len()]);
            append_pairs(cursor, pairs, out)?;
        }
        _ => out.extend_from_slice(cursor.skip()?),
    }
    Ok(())
}

/// The pairs of a map. They are whole values one after the other, so no two of them are a prefix of one
/// another, and sorting pairs sorts by the keys first.
fn append_pairs(cursor: &mut Cursor<'_>, pairs: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let start = out.len();
    let mut places = Vec::with_capacity(pairs);
    for _ in 0..pairs {
        let place = out.len();
        append_sorted(cursor, out)?;
        append_sorted(cursor, out)?;
        places.push(place..out.len());
    }
    if !places.is_sorted_by_key(|place| &out[place.clone()]) {
        places.sort_unstable_by(|one, other| out[one.clone()].cmp(&out[other.clone()]));
        let sorted: Vec<&[u8]> = places.into_iter().map(|place| &out[place]).collect();
        let sorted = sorted.concat();
        out.truncate(start);
        out.extend_from_slice(&sorted);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Any value, with maps as lists of pairs, whose order can be chosen.
    #[derive(Clone, Debug, PartialEq)]
    enum Tree {
        Number(u16),
        Text(String),
        Bytes(Vec<u8>),
        Array(Vec<Tree>),
        Map(Vec<(Tree, Tree)>),
    }

    impl Tree {
        fn write(&self, out: &mut Vec<u8>) {
            match self {
                Self::Number(number) => msgpack::write_uint(out, u64::from(*number)),
                Self::Text(text) => msgpack::write_str(out, text),
                Self::Bytes(bytes) => msgpack::write_bin(out, bytes),
                Self::Array(items) => {
                    msgpack::write_array_len(out, items.len() as u32);
                    items.iter().for_each(|item| item.write(out));
                }
                Self::Map(pairs) => {
                    msgpack::write_map_len(out, pairs.len() as u32);
                    for (key, value) in pairs {
                        key.write(out);
                        value.write(out);
                    }
                }
            }
        }

        fn written(&self) -> Vec<u8> {
            let mut out = Vec::new();
            self.write(&mut out);
            out
        }

        fn canonical(&self) -> Vec<u8> {
            let mut out = self.written();
            sort_maps(&mut out).unwrap();
            out
        }

        /// The same value with its maps the other way round.
        fn reversed(&self) -> Self {
            match self {
                Self::Array(items) => Self::Array(items.iter().map(Self::reversed).collect()),
                Self::Map(pairs) => {
                    Self::Map(pairs.iter().rev().map(|(key, value)| (key.reversed(), value.reversed())).collect())
                }
                other => other.clone(),
            }
        }
    }

    fn any_tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            any::<u16>().prop_map(Tree::Number),
            "[a-c]{0,3}".prop_map(Tree::Text),
            prop::collection::vec(0..3_u8, 0..3).prop_map(Tree::Bytes),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(|pairs| {
                let pairs: BTreeMap<_, _> =
                    pairs.into_iter().map(|(key, value)| (key.canonical(), (key, value))).collect();
                Tree::Map(pairs.into_values().collect())
            });
            prop_oneof![prop::collection::vec(inner, 0..6).prop_map(Tree::Array), pairs]
        })
    }

    proptest! {
        #[test]
        fn the_order_of_the_entries_of_a_map_does_not_matter(tree in any_tree()) {
            prop_assert_eq!(tree.canonical(), tree.reversed().canonical());
        }

        #[test]
        fn all_of_the_value_is_still_there(tree in any_tree()) {
            let (mut before, mut after) = (tree.written(), tree.canonical());
            prop_assert!(msgpack::validate(&after, msgpack::MAX_DEPTH).is_ok());
            before.sort_unstable();
            after.sort_unstable();
            prop_assert_eq!(before, after);
        }

        #[test]
        fn different_values_stay_different(one in any_tree(), other in any_tree()) {
            // What is written the same way once sorted is the same but for the order of maps.
            if one.canonical() == other.canonical() {
                prop_assert_eq!(one.written().len(), other.written().len());
                prop_assert_eq!(one.reversed().canonical(), other.canonical());
            }
        }
    }

    #[test]
    fn an_array_keeps_its_order_and_a_map_does_not() {
        let sorted = |value: &[u8]| {
            let mut value = value.to_vec();
            sort_maps(&mut value).unwrap();
            value
        };
        assert_eq!(sorted(b"\x92\x02\x01"), b"\x92\x02\x01");
        assert_eq!(sorted(b"\x82\xa1b\x01\xa1a\x02"), b"\x82\xa1a\x02\xa1b\x01");
        assert_eq!(sorted(b"\x91\x82\x05\x01\x04\x82\x03\x00\x02\x00"), b"\x91\x82\x04\x82\x02\x00\x03\x00\x05\x01");
        assert_eq!(sorted(b"\xc4\x03\x82\x02\x01"), b"\xc4\x03\x82\x02\x01", "bytes are no map");
    }
}
