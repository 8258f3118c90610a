//! Refuses `Some` around what is written as nil, which whoever reads it would take for `None`.
//!
//! The serializer of `rmp-serde` writes `Some(value)` as the value alone. So `Some(None)` and `Some(())` cannot
//! be told from `None` any more, wherever they hide: behind an alias, in a field, in a transparent or untagged
//! type. It shows only while they are written, so [`Checked`] stands in front of the serializer and remembers
//! whether the next value is directly inside of a `Some`. It writes nothing itself.

use std::fmt::Display;

use serde::Serialize;
use serde::ser::{
    Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};

const SOME_OF_NOTHING: &str = "a `Some` whose inside travels as nothing, such as `Some(None)` or `Some(())`, would arrive \
                               as `None`: send an enum, a `bool` or one `Option` instead";

/// A serializer that is given one value.
pub(super) struct Checked<S> {
    serializer: S,
    /// The value is directly inside of a `Some`.
    in_some: bool,
}

impl<S> Checked<S> {
    /// In front of this serializer.
    pub(super) fn new(serializer: S) -> Self {
        Self { serializer, in_some: false }
    }
}

/// A value inside of another one.
///
/// It has the size of the value, by which `rmp-serde` tells whether the items of a sequence may be bytes.
struct Inner<T>(T);

impl<T: Serialize> Serialize for Inner<T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Checked::new(serializer))
    }
}

/// A value that is written in place of the one around it.
struct Alone<'a, T: ?Sized> {
    value: &'a T,
    in_some: bool,
}

impl<T: Serialize + ?Sized> Serialize for Alone<'_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Checked { serializer, in_some: self.in_some })
    }
}

/// What writes the values of a compound one.
pub(super) struct Compound<C>(C);

/// Scalars, which are never nil.
macro_rules! pass {
    ($($method:ident($ty:ty))*) => {
        $(
            #[inline]
            fn $method(self, value: $ty) -> Result<S::Ok, S::Error> {
                self.serializer.$method(value)
            }
        )*
    };
}

impl<S: Serializer> Serializer for Checked<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Compound<S::SerializeSeq>;
    type SerializeTuple = Compound<S::SerializeTuple>;
    type SerializeTupleStruct = Compound<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Compound<S::SerializeTupleVariant>;
    type SerializeMap = Compound<S::SerializeMap>;
    type SerializeStruct = Compound<S::SerializeStruct>;
    type SerializeStructVariant = Compound<S::SerializeStructVariant>;

    pass! {
        serialize_bool(bool)
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
        serialize_f32(f32) serialize_f64(f64)
        serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_unit_struct(&'static str)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.serializer.is_human_readable()
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        match self.in_some {
            true => Err(Error::custom(SOME_OF_NOTHING)),
            false => self.serializer.serialize_none(),
        }
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        match self.in_some {
            true => Err(Error::custom(SOME_OF_NOTHING)),
            false => self.serializer.serialize_unit(),
        }
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.serializer.serialize_some(&Alone { value, in_some: true })
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        self.serializer.serialize_newtype_struct(name, &Alone { value, in_some: self.in_some })
    }

    #[inline]
    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.serializer.serialize_unit_variant(name, index, variant)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.serializer.serialize_newtype_variant(name, index, variant, &Inner(value))
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.serializer.serialize_seq(len).map(Compound)
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.serializer.serialize_tuple(len).map(Compound)
    }

    #[inline]
    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.serializer.serialize_tuple_struct(name, len).map(Compound)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.serializer.serialize_tuple_variant(name, index, variant, len).map(Compound)
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.serializer.serialize_map(len).map(Compound)
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.serializer.serialize_struct(name, len).map(Compound)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.serializer.serialize_struct_variant(name, index, variant, len).map(Compound)
    }

    #[inline]
    fn collect_seq<I>(self, items: I) -> Result<S::Ok, S::Error>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        self.serializer.collect_seq(items.into_iter().map(Inner))
    }

    #[inline]
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.serializer.collect_str(value)
    }
}

/// The compounds whose values come without a name.
macro_rules! unnamed {
    ($($of:ident::$method:ident)*) => {
        $(
            impl<C: $of> $of for Compound<C> {
                type Ok = C::Ok;
                type Error = C::Error;

                #[inline]
                fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                    self.0.$method(&Inner(value))
                }

                #[inline]
                fn end(self) -> Result<C::Ok, C::Error> {
                    self.0.end()
                }
            }
        )*
    };
}

unnamed! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

/// The compounds whose values have the names of fields.
macro_rules! named {
    ($($of:ident)*) => {
        $(
            impl<C: $of> $of for Compound<C> {
                type Ok = C::Ok;
                type Error = C::Error;

                #[inline]
                fn serialize_field<T: Serialize + ?Sized>(
                    &mut self,
                    key: &'static str,
                    value: &T,
                ) -> Result<(), C::Error> {
                    self.0.serialize_field(key, &Inner(value))
                }

                #[inline]
                fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                    self.0.skip_field(key)
                }

                #[inline]
                fn end(self) -> Result<C::Ok, C::Error> {
                    self.0.end()
                }
            }
        )*
    };
}

named! { SerializeStruct SerializeStructVariant }

impl<C: SerializeMap> SerializeMap for Compound<C> {
    type Ok = C::Ok;
    type Error = C::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.0.serialize_key(&Inner(key))
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.0.serialize_value(&Inner(value))
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.0.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::super::value;
    use super::*;

    type Maybe<T> = Option<T>;

    #[derive(Serialize)]
    struct Newtype<T>(T);

    #[derive(Serialize)]
    #[serde(transparent)]
    struct Transparent<T> {
        only: T,
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    #[serde(untagged)]
    enum Untagged {
        Nothing,
        Number(u8),
    }

    #[derive(Serialize)]
    enum Tagged<T> {
        Of(T),
        Named { value: T },
    }

    fn refusal(value: &impl Serialize) -> String {
        value::encode(value, &mut Vec::new()).expect_err("it would arrive as something else").0
    }

    #[test]
    fn some_of_nothing_is_refused_wherever_it_hides() {
        let at_the_top = [
            refusal(&Some(())),
            refusal(&Some(Maybe::<u8>::None)),
            refusal(&Some(Some(Maybe::<u8>::None))),
            refusal(&Some(Newtype(()))),
            refusal(&Newtype(Some(Newtype(Maybe::<u8>::None)))),
            refusal(&Some(Transparent { only: () })),
            refusal(&Some(Box::new(&&()))),
            refusal(&Some(Untagged::Nothing)),
        ];
        assert_eq!(at_the_top, [SOME_OF_NOTHING; 8]);
    }

    #[test]
    fn the_place_of_a_refused_value_is_told() {
        #[derive(Serialize)]
        struct Outer {
            shapes: Vec<Tagged<Option<()>>>,
        }
        let in_a_variant = |shape| refusal(&Outer { shapes: vec![Tagged::Of(None), shape] });
        assert_eq!(in_a_variant(Tagged::Of(Some(()))), format!("in `shapes[1].Of`: {SOME_OF_NOTHING}"));
        let named = in_a_variant(Tagged::Named { value: Some(()) });
        assert_eq!(named, format!("in `shapes[1].Named.value`: {SOME_OF_NOTHING}"));
        let map = BTreeMap::from([("a", None), ("b", Some(()))]);
        assert_eq!(refusal(&map), format!("in `b`: {SOME_OF_NOTHING}"));
        assert_eq!(refusal(&(1, Some(()))), format!("in `[1]`: {SOME_OF_NOTHING}"));
    }

    #[test]
    fn what_can_be_told_from_none_is_written() {
        let mut out = Vec::new();
        value::encode(&(Some(Unit), Some([(); 1]), Some(vec![Maybe::<u8>::None]), ((), Maybe::<()>::None)), &mut out)
            .unwrap();
        assert_eq!(out, [0x94, 0x90, 0x91, 0xc0, 0x91, 0xc0, 0x92, 0xc0, 0xc0]);
        let mut out = Vec::new();
        value::encode(&(Some(Untagged::Number(1)), Some(Tagged::Of(())), Some("")), &mut out).unwrap();
        assert_eq!(out, [0x93, 1, 0x81, 0xa2, b'O', b'f', 0xc0, 0xa0]);
    }

    /// A field that is left out, nil or there can be told apart without a `Some` of nothing.
    #[test]
    fn a_field_that_is_written_as_nil_on_purpose_is_written() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Change {
            #[serde(default, skip_serializing_if = "Option::is_none", with = "given")]
            name: Option<Option<String>>,
        }
        mod given {
            use super::*;
            use serde::{Deserializer, Serializer};

            pub(super) fn serialize<S: Serializer>(
                value: &Option<Option<String>>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                value.as_ref().and_then(Option::as_ref).serialize(serializer)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Option<Option<String>>, D::Error> {
                Option::deserialize(deserializer).map(Some)
            }
        }
        for change in [None, Some(None), Some(Some("x".to_owned()))].map(|name| Change { name }) {
            let mut out = Vec::new();
            value::encode(&change, &mut out).unwrap();
            assert_eq!(value::decode::<Change>(&out).unwrap(), change);
        }
    }

    /// Values of many shapes, none of which is a `Some` of nothing.
    #[derive(Clone, Debug, Serialize)]
    enum Shape {
        Nothing,
        Some(Option<u8>),
        Bytes(Vec<u8>),
        Array([u8; 3]),
        Pair(u64, String),
        Named { flag: bool, float: f64, c: char },
        List(Vec<Shape>),
        Map(BTreeMap<String, Shape>),
        Inner(Box<Option<Shape>>),
        Flat(Flat),
    }

    #[derive(Clone, Debug, Serialize)]
    struct Flat {
        first: i128,
        #[serde(flatten)]
        rest: BTreeMap<String, Option<i64>>,
    }

    fn any_shape() -> impl Strategy<Value = Shape> {
        let text = || prop::collection::vec(any::<char>(), 0..8).prop_map(|text| text.into_iter().collect::<String>());
        let numbers = prop::collection::vec((text(), any::<Option<i64>>()), 0..5);
        let leaf = prop_oneof![
            Just(Shape::Nothing),
            any::<Option<u8>>().prop_map(Shape::Some),
            any::<Vec<u8>>().prop_map(Shape::Bytes),
            any::<[u8; 3]>().prop_map(Shape::Array),
            (any::<u64>(), text()).prop_map(|(number, text)| Shape::Pair(number, text)),
            any::<(bool, f64, char)>().prop_map(|(flag, float, c)| Shape::Named { flag, float, c }),
            (any::<i128>(), numbers)
                .prop_map(|(first, rest)| Shape::Flat(Flat { first, rest: rest.into_iter().collect() })),
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            let pairs = prop::collection::vec((text(), inner.clone()), 0..5);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Shape::List),
                pairs.prop_map(|pairs| Shape::Map(pairs.into_iter().collect())),
                inner.prop_map(|inner| Shape::Inner(Box::new(Some(inner)))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_not_refused_is_written_as_without_the_check(shape in any_shape()) {
            use rmp_serde::config::BytesMode;
            let mut plain = rmp_serde::Serializer::new(Vec::new()).with_struct_map().with_bytes(BytesMode::ForceAll);
            shape.serialize(&mut plain).unwrap();
            let mut out = Vec::new();
            value::encode(&shape, &mut out).unwrap();
            prop_assert_eq!(out, plain.into_inner());
        }
    }
}
