//! The sum that POSIX has for `cksum`, for targets that have no better one.

/// The generator of POSIX, without its highest bit.
const GENERATOR: u32 = 0x04c1_1db7;

/// What one byte does to the sum.
const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 0x8000_0000 == 0 { sum << 1 } else { (sum << 1) ^ GENERATOR };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
}

/// The sum of the bytes so far.
#[derive(Debug, Default)]
pub(super) struct Cksum {
    sum: u32,
    length: u64,
}

impl Cksum {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sum = bytes.iter().fold(self.sum, |sum, &byte| step(sum, byte));
        self.length += bytes.len() as u64;
    }

    /// The sum goes over the length as well, lowest byte first and as many as it needs.
    pub(super) fn finish(self) -> u32 {
        let mut sum = self.sum;
        let mut length = self.length;
        while length > 0 {
            sum = step(sum, length.to_le_bytes()[0]);
            length >>= 8;
        }
        !sum
    }
}

fn step(sum: u32, byte: u8) -> u32 {
    let [top, ..] = sum.to_be_bytes();
    (sum << 8) ^ TABLE[usize::from(top ^ byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_known_texts() {
        for (text, expected) in [("", 4_294_967_295), ("123456789", 930_766_865), ("hello\n", 3_015_617_425)] {
            let mut sum = Cksum::default();
            sum.update(text.as_bytes());
            assert_eq!(sum.finish(), expected, "{text:?}");
        }
    }
}
