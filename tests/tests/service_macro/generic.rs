//! Services with parameters.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use mitogen_service::{
    AllowAny, AllowParents, CallError, Caller, DeduplicatingInvoker, Reply, Service, ServiceScope, service, testing,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Served;

/// Where values are kept.
pub(crate) trait Store: Send + Sync + 'static {
    /// What is kept.
    type Value: Serialize + DeserializeOwned + Clone + Send;
    /// What goes wrong.
    type Error: Display + 'static;

    /// Keeps a value.
    fn put(&self, key: &str, value: Self::Value) -> Result<(), Self::Error>;
    /// Gives it back.
    fn get(&self, key: &str) -> Option<Self::Value>;
}

/// Keeps values in memory.
struct Memory<V> {
    values: Mutex<BTreeMap<String, V>>,
}

impl<V> Default for Memory<V> {
    fn default() -> Self {
        Self { values: Mutex::default() }
    }
}

impl<V: Serialize + DeserializeOwned + Clone + Send + 'static> Store for Memory<V> {
    type Value = V;
    type Error = CallError;

    fn put(&self, key: &str, value: V) -> Result<(), CallError> {
        if key.is_empty() {
            return Err(CallError::Overloaded { what: "no key".to_owned(), trace: Default::default() });
        }
        self.values.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), value);
        Ok(())
    }

    fn get(&self, key: &str) -> Option<V> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}

/// Keeps nothing.
#[derive(Default)]
struct Nothing;

impl Store for Nothing {
    type Value = u8;
    type Error = fmt::Error;

    fn put(&self, _: &str, _: u8) -> Result<(), fmt::Error> {
        Err(fmt::Error)
    }

    fn get(&self, _: &str) -> Option<u8> {
        None
    }
}

/// Not listed anywhere: added by hand, with one name for all of its types.
#[derive(Default)]
struct Shelf<T> {
    store: T,
}

#[service]
impl<T: Store> Shelf<T>
where
    T::Value: PartialEq,
{
    fn is_there(&self, _: &Caller) -> bool {
        true
    }

    #[expose(policy = AllowAny, policy = Self::is_there)]
    fn put(&self, key: &str, value: T::Value) -> Result<(), T::Error> {
        self.store.put(key, value)
    }

    #[expose(policy = AllowAny)]
    fn get(&self, key: &str) -> Option<T::Value> {
        self.store.get(key)
    }

    #[expose(policy = AllowAny)]
    fn swap(&self, key: &str, value: T::Value, #[arg(default)] only_if: Vec<T::Value>, reply: Reply<bool>) {
        let old = self.store.get(key);
        let swaps = only_if.is_empty() || old.is_some_and(|old| only_if.contains(&old));
        reply.send(Ok(swaps && self.store.put(key, value).is_ok()));
    }

    #[expose(policy = AllowAny)]
    fn all(&self, keys: Vec<String>) -> Result<Vec<Option<T::Value>>, CallError> {
        Ok(keys.iter().map(|key| self.store.get(key)).collect())
    }
}

#[test]
fn a_generic_service_is_called_like_any_other() {
    let served = Served::new(Shelf::<Memory<String>>::default());
    let stub: ShelfStub<Memory<String>> = Shelf::stub(&served.context);
    stub.put("a", "one".to_owned()).wait().unwrap();
    assert_eq!(stub.get("a").wait(), Ok(Some("one".to_owned())));
    assert_eq!(stub.clone().swap("a", "two".to_owned(), vec!["x".to_owned()]).wait(), Ok(false));
    assert_eq!(stub.swap("a", "two".to_owned(), vec!["one".to_owned()]).wait(), Ok(true));
    assert_eq!(stub.all(vec!["a".to_owned(), "b".to_owned()]).wait(), Ok(vec![Some("two".to_owned()), None]));
    assert_eq!(Shelf::<Nothing>::DESCRIPTOR.name, "service_macro::generic::Shelf");
    assert_eq!(Shelf::<Nothing>::DESCRIPTOR.methods[1].result, "Option<T::Value>");
}

#[test]
fn an_error_of_a_type_parameter_stays_what_it_is() {
    let served = Served::new(Shelf::<Memory<u8>>::default());
    let error = Shelf::<Memory<u8>>::stub(&served.context).put("", 1).wait().unwrap_err();
    assert!(matches!(&error, CallError::Overloaded { what, .. } if what == "no key"), "{error:?}");
    drop(served);
    let served = Served::new(Shelf { store: Nothing });
    let error = Shelf::<Nothing>::stub(&served.context).put("", 1).wait().unwrap_err();
    assert!(matches!(&error, CallError::Failed { type_name, .. } if type_name == "core::fmt::Error"), "{error:?}");
}

/// A double of one of its types.
struct Fake;

impl ShelfApi<Nothing> for Fake {
    fn get(&self, _key: &str) -> Result<Option<u8>, CallError> {
        Ok(Some(7))
    }
}

#[test]
fn a_generic_service_can_be_doubled() {
    let stub = ShelfStub::<Nothing>::faked(Fake);
    assert_eq!(stub.get("a").wait(), Ok(Some(7)));
    assert!(matches!(stub.put("a", 1).wait(), Err(CallError::NoSuchMethod { .. })));
}

/// Listed types have names of their own, and are activated by them.
#[derive(Default)]
struct Kept<T, const N: usize> {
    kind: PhantomData<T>,
    made: usize,
}

trait Kind: Default + Send + Sync + 'static {
    const NAME: &'static str;
}

#[derive(Default)]
struct Red;
#[derive(Default)]
struct Blue;

impl Kind for Red {
    const NAME: &'static str = "red";
}

impl Kind for Blue {
    const NAME: &'static str = "blue";
}

#[service(
    activate = Self::create,
    invoker = DeduplicatingInvoker,
    types = [Kept<Red, 1>, Kept<Blue, 2>],
)]
impl<T: Kind, const N: usize> Kept<T, N> {
    fn create(_: &ServiceScope) -> Result<Self, String> {
        Ok(Self { kind: PhantomData, made: N * 10 })
    }

    #[expose(policy = AllowParents)]
    fn tell(&self, times: [u8; 2]) -> (String, usize, usize) {
        (T::NAME.to_owned(), N + usize::from(times[0]), self.made)
    }
}

#[test]
fn each_listed_type_is_a_service_of_its_own() {
    assert_eq!(Kept::<Red, 1>::DESCRIPTOR.name, "service_macro::generic::Kept<Red, 1>");
    let (parent, _child) = testing::pair();
    let context = &parent.children()[0];
    assert_eq!(Kept::<Red, 1>::stub(context).tell([0, 0]).wait(), Ok(("red".to_owned(), 1, 10)));
    assert_eq!(Kept::<Blue, 2>::stub(context).tell([3, 0]).wait(), Ok(("blue".to_owned(), 5, 20)));
}

/// The name of the block comes before the parameters.
#[derive(Default)]
struct Named<T>(T);

#[service(name = "named", activate, types = [Named<u8>, Named<Vec<String>>])]
impl<T: Default + Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Named<T> {
    #[expose(policy = AllowParents)]
    fn value(&self) -> T {
        self.0.clone()
    }
}

#[test]
fn a_name_of_the_block_is_followed_by_the_parameters() {
    assert_eq!(Named::<u8>::DESCRIPTOR.name, "named<u8>");
    let (parent, _child) = testing::pair();
    let context = &parent.children()[0];
    assert_eq!(Named::<Vec<String>>::stub(context).value().wait(), Ok(vec![]));
    assert_eq!(context.call_service("named<u8>", "value", &()).wait(), Ok(0u8));
}

/// Options on a struct with parameters.
#[service(name = "ring", invoker = mitogen_service::SerializedInvoker)]
struct Ring<const N: usize>;

#[service]
impl<const N: usize> Ring<N> {
    #[expose(policy = AllowAny)]
    fn size(&self) -> usize {
        N
    }

    #[expose(policy = AllowAny)]
    fn typed(&self) -> Result<Self, Broken<N>> {
        Err(Broken { at: N })
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Broken<const N: usize> {
    at: usize,
}

impl<const N: usize> Display for Broken<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken at {}", self.at)
    }
}

impl<const N: usize> Serialize for Ring<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(N as u64)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Ring<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|_| Self)
    }
}

#[test]
fn a_type_with_parameters_may_carry_options() {
    assert_eq!((Ring::<3>::DESCRIPTOR.name, Ring::<3>::DESCRIPTOR.type_name), ("ring", "Ring"));
    assert_eq!(Ring::<3>::DESCRIPTOR.invoker, "mitogen_service::SerializedInvoker");
    let served = Served::new(Ring::<3>);
    let stub = Ring::<3>::stub(&served.context);
    assert_eq!(stub.size().wait(), Ok(3));
    let broken = stub.typed().wait().map(|_| ()).unwrap_err();
    assert_eq!(broken.decode(), Some(Broken::<3> { at: 3 }));
}
