//! What the targets share: memory that is counted, bytes that are taken one by one, and a second
//! opinion on what MessagePack is.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

// ---- memory ----

struct Counting;

static CURRENT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(bytes: usize) {
    let now = CURRENT.fetch_add(bytes, Relaxed).wrapping_add(bytes);
    PEAK.fetch_max(now, Relaxed);
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        CURRENT.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // The old and the new memory may exist side by side for a moment.
        grown(new_size);
        CURRENT.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most memory that `work` held at once beyond what was held before.
pub fn measured<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = CURRENT.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    (result, PEAK.load(Relaxed).saturating_sub(before))
}

/// Runs `work`, which may hold `factor` bytes for each byte of input, and `constant` besides.
#[track_caller]
pub fn bounded<R>(what: &str, input: usize, factor: usize, constant: usize, work: impl FnOnce() -> R) -> R {
    let (result, peak) = measured(work);
    let bound = input * factor + constant;
    assert!(peak <= bound, "{what}: {peak} bytes of memory for {input} bytes of input, the bound is {bound}");
    result
}

// ---- input ----

/// Takes an input apart, byte by byte; zeros when there are no more.
#[derive(Clone, Debug)]
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn u8(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }

    /// At most `length` bytes.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Lets events happen to a world, all that the input tells; gives what the world is in the end.
pub fn play<'a, W>(
    input: &mut Bytes<'a>,
    new: impl FnOnce(&mut Bytes<'a>) -> W,
    mut event: impl FnMut(&mut W, &mut Bytes<'a>),
) -> W {
    let mut world = new(input);
    while !input.is_empty() {
        event(&mut world, input);
    }
    world
}

/// Sizes of pieces: a few numbers, again and again.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    sizes: &'a [u8],
    at: usize,
}

impl<'a> Pieces<'a> {
    /// A number of sizes, and these.
    pub fn read(bytes: &mut Bytes<'a>) -> Self {
        let count = usize::from(bytes.u8() % 8);
        Self { sizes: bytes.take(count), at: 0 }
    }

    /// All in one piece.
    pub fn none() -> Self {
        Self { sizes: &[], at: 0 }
    }

    /// One size: small ones by themselves, then 4 KiB and 64 KiB with their neighbours, and all.
    pub fn next_size(&mut self) -> usize {
        let Some(&size) = self.sizes.get(self.at % self.sizes.len().max(1)) else { return usize::MAX };
        self.at += 1;
        match size {
            0..200 => usize::from(size) + 1,
            200..220 => 4096 - 210 + usize::from(size),
            220..240 => 65536 - 230 + usize::from(size),
            _ => usize::MAX,
        }
    }
}

// ---- MessagePack ----

/// Whether this is exactly one well-formed value of at most `depth` levels: the specification, read
/// by somebody who did not write the decoder. Recurses, so `depth` should be small.
pub fn is_one_value(payload: &[u8], depth: usize) -> bool {
    one_value(payload, depth).is_some_and(<[u8]>::is_empty)
}

/// What follows the value at the beginning.
fn one_value(payload: &[u8], depth: usize) -> Option<&[u8]> {
    let (&marker, rest) = payload.split_first()?;
    let (length_bytes, fixed, kind) = match marker {
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (0, 0, b'b'),
        0x80..=0x8f => (0, u64::from(marker & 0xf), b'm'),
        0x90..=0x9f => (0, u64::from(marker & 0xf), b'a'),
        0xa0..=0xbf => (0, u64::from(marker & 0x1f), b's'),
        0xc1 => return None,
        0xc4..=0xc6 => (1 << (marker - 0xc4), 0, b'b'),
        0xc7..=0xc9 => (1 << (marker - 0xc7), 1, b'x'),
        0xca => (0, 4, b'b'),
        0xcb => (0, 8, b'b'),
        0xcc..=0xcf => (0, 1 << (marker - 0xcc), b'b'),
        0xd0..=0xd3 => (0, 1 << (marker - 0xd0), b'b'),
        0xd4..=0xd8 => (0, (1 << (marker - 0xd4)) + 1, b'x'),
        0xd9..=0xdb => (1 << (marker - 0xd9), 0, b's'),
        0xdc | 0xdd => (2 << (marker - 0xdc), 0, b'a'),
        0xde | 0xdf => (2 << (marker - 0xde), 0, b'm'),
    };
    let (length, mut rest) = rest.split_at_checked(length_bytes)?;
    let size = length.iter().fold(0u64, |size, &byte| size << 8 | u64::from(byte)) + fixed;
    let inside = match kind {
        b'b' => return rest.get(usize::try_from(size).ok()?..),
        b's' => {
            let (text, rest) = rest.split_at_checked(usize::try_from(size).ok()?)?;
            return std::str::from_utf8(text).ok().map(|_| rest);
        }
        _ => depth.checked_sub(1)?,
    };
    if kind == b'x' {
        return rest.get(usize::try_from(size).ok()?..);
    }
    for _ in 0..if kind == b'm' { size * 2 } else { size } {
        rest = one_value(rest, inside)?;
    }
    Some(rest)
}
