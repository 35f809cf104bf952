//! Small tables of things in flight, found again by number.

/// Values under numbers that are used again once free.
pub struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { items: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub fn insert(&mut self, item: T) -> u32 {
        match self.free.pop() {
            Some(id) => {
                self.items[id as usize] = Some(item);
                id
            }
            None => {
                self.items.push(Some(item));
                self.items.len() as u32 - 1
            }
        }
    }

    /// The value under `id`, which must be in use.
    pub fn get_mut(&mut self, id: u32) -> &mut T {
        self.items[id as usize].as_mut().expect("the number is in use")
    }

    /// The value under `id`, if it is in use.
    pub fn find_mut(&mut self, id: u32) -> Option<&mut T> {
        self.items.get_mut(id as usize)?.as_mut()
    }

    /// Whether no number is in use.
    pub fn is_empty(&self) -> bool {
        self.free.len() == self.items.len()
    }

    /// Takes out the value under `id`, which must be in use.
    pub fn remove(&mut self, id: u32) -> T {
        self.free.push(id);
        self.items[id as usize].take().expect("the number is in use")
    }
}
