//! Random messages by the ten thousand.

use super::peer::{Answer, CALL_SERVICE, CANCEL, DEAD, Frame, MARKER, Stranger, call, header, nothing, pack, text};
use super::{Everyone, MIB, Peak, alone};

/// Numbers that look random and are the same in each run: xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    /// Begins anywhere but at 0.
    pub(crate) fn new(seed: u64) -> Self {
        println!("random numbers from seed {seed}");
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.next()) * u64::from(bound)) >> 32) as u32
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u32) as usize]
    }

    fn bytes(&mut self, most: u32) -> Vec<u8> {
        (0..=self.below(most)).map(|_| self.next() as u8).collect()
    }

    /// A number as they stand in headers: a small one, a large one, or any.
    fn number(&mut self) -> u32 {
        match self.below(4) {
            0 => self.below(8),
            1 => self.below(1200),
            2 => u32::MAX - self.below(8),
            _ => self.next(),
        }
    }

    /// A handle that means something, or any.
    fn handle(&mut self) -> u32 {
        let known = [CALL_SERVICE, CALL_SERVICE, 101, 103, 104, 105, 106, 120, 121, CANCEL, 123, DEAD];
        if self.below(4) == 0 { self.number() } else { self.one_of(&known) }
    }

    /// Where an answer goes; never where the honest calls at the end wait for theirs.
    fn reply_to(&mut self) -> u32 {
        match self.below(4) {
            0 => 0,
            1 => DEAD,
            _ => self.below(0x4000_0000),
        }
    }

    /// A payload that is right in some way, or was until some of its bytes were changed.
    fn payload(&mut self) -> Vec<u8> {
        let mut payload = match self.below(8) {
            0 => return self.bytes(200),
            1 => call("target", "echo", &text(MARKER)),
            2 => call("target", "guarded", &nothing()),
            3 => call("nobody", "method", &text(MARKER)),
            4 => pack(&(self.number(), MARKER)),
            5 => pack(&(self.number(), ())),
            6 => pack(&[self.number()]),
            _ => pack(&(self.below(3), MARKER)),
        };
        for _ in 0..self.below(4).min(payload.len() as u32 - 1) {
            let at = self.below(payload.len() as u32) as usize;
            match self.below(3) {
                0 => payload[at] = self.next() as u8,
                1 => payload.insert(at, self.next() as u8),
                _ => drop(payload.remove(at)),
            }
        }
        payload
    }

    /// Whatever a stranger may send as one frame.
    fn frame(&mut self, me: u32) -> Vec<u8> {
        match self.below(4) {
            0 => self.bytes(300),
            1 => {
                let fields = [self.number(), self.number(), self.number(), self.handle(), self.number()];
                let magic = self.one_of(&[0x4d49, 0x4d4a, 0x4d4b, 0x4d50]);
                let length = self.number();
                [header(magic, fields, length), self.bytes(300)].concat()
            }
            2 => {
                let payload = self.payload();
                let [dst, src, auth] = [(); 3].map(|()| self.one_of(&[0, 1, 2, me, me + 1, u32::MAX]));
                let frame = Frame { magic: 0x4d50, dst, src, auth, handle: self.handle(), reply_to: 0, payload };
                Frame { reply_to: self.number(), ..frame }.encode()
            }
            _ => {
                let payload = self.payload();
                let (handle, reply_to) = (self.handle(), self.reply_to());
                Frame { magic: 0x4d50, dst: 0, src: me, auth: me, handle, reply_to, payload }.encode()
            }
        }
    }
}

#[test]
fn ten_thousand_streams_with_one_random_frame_each() {
    let log = alone("multitude::ten_thousand_streams_with_one_random_frame_each", || {
        let everyone = Everyone::new();
        let mut random = Random::new(20_251);
        let mut peak = Peak::begin();
        for batch in 0..100 {
            let mut strangers: Vec<_> =
                (0..100).map(|number| Stranger::join(everyone.router(), &format!("{batch}.{number}"))).collect();
            for stranger in &mut strangers {
                let frame = random.frame(stranger.id);
                // It may have been cut before all of it was written.
                let _ = stranger.voice.try_send_bytes(&frame);
            }
            drop(strangers);
            everyone.go_on();
            if batch == 10 {
                // What is taken once is there now.
                peak = Peak::begin();
            }
        }
        peak.assert_below(64 * MIB);
        everyone.finish();
    });
    let Some(log) = log else { return };
    // It was not for nothing: all the ways in which a frame can be wrong were met.
    for text in ["Corruption detected", "Maximum message size exceeded", "bad auth_id", "bad src_id", "malformed"] {
        println!("{text}: {} lines", log.count(text));
        assert!(log.count(text) > 10, "{text}");
    }
}

#[test]
fn ten_thousand_random_bodies_on_one_stream_which_stays_good() {
    alone("multitude::ten_thousand_random_bodies_on_one_stream_which_stays_good", || {
        let everyone = Everyone::new();
        let mut stranger = Stranger::join(everyone.router(), "stranger");
        let mut random = Random::new(20_252);
        let peak = Peak::begin();
        let mut answers = std::collections::BTreeMap::<&str, u32>::new();
        for _ in 0..100 {
            for _ in 0..100 {
                let (handle, reply_to, payload) = (random.handle(), random.reply_to(), random.payload());
                let frame = stranger.voice.frame(0, handle, reply_to, payload);
                stranger.voice.send(&frame);
            }
            for answer in stranger.ping() {
                let kind = match answer.into_answer() {
                    Answer::Value(_) => "value",
                    Answer::Error(_) => "error",
                    Answer::Dead(..) => "dead",
                    Answer::Other(_) => "other",
                };
                *answers.entry(kind).or_default() += 1;
            }
        }
        println!("{answers:?}");
        assert!(["value", "error", "dead"].iter().all(|kind| answers[kind] > 10), "{answers:?}");
        stranger.ping();
        peak.assert_below(64 * MIB);
        everyone.finish();
    });
}
