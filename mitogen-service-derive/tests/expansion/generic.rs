#[service(activate = Self::create, types = [Files<Disk>, Files<Memory>])]
impl<T: Store> Files<T>
where
    T::Key: Clone,
{
    #[expose(policy = AllowParents)]
    fn get(&self, key: T::Key) -> Result<T::Value, T::Error> {
        self.store.get(key)
    }
}
