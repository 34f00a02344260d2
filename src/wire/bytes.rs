//! The byte grammar of state cells: variable-length integers and length-prefixed text.
//!
//! Every reader is total: any bytes give a value or [`Corrupt`], never a panic, and no length read
//! from the bytes drives an allocation.

/// Stored bytes that no version of this program wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes are corrupt: {0}")]
pub struct Corrupt(pub &'static str);

#[derive(Debug, Default)]
pub struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// LEB128.
    pub fn unsigned(&mut self, value: u64) {
        self.unsigned_wide(u128::from(value));
    }

    /// LEB128 of 128 bits.
    pub fn unsigned_wide(&mut self, mut value: u128) {
        while value >= 0x80 {
            self.bytes.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Zigzag, then LEB128.
    pub fn signed(&mut self, value: i128) {
        self.unsigned_wide(((value << 1) ^ (value >> 127)) as u128);
    }

    pub fn count(&mut self, value: usize) {
        self.unsigned(value as u64);
    }

    pub fn text(&mut self, text: &str) {
        self.block(text.as_bytes());
    }

    /// Length, then bytes.
    pub fn block(&mut self, block: &[u8]) {
        self.count(block.len());
        self.bytes.extend_from_slice(block);
    }

    /// 0 for none, else 1 and the value.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Writer, T)) {
        match value {
            None => self.byte(0),
            Some(value) => {
                self.byte(1);
                write(self, value);
            }
        }
    }
}

#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub fn byte(&mut self) -> Result<u8, Corrupt> {
        let (first, rest) = self.rest.split_first().ok_or(Corrupt("ends early"))?;
        self.rest = rest;
        Ok(*first)
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Corrupt> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(Corrupt("ends early"))?;
        self.rest = rest;
        Ok(head)
    }

    pub fn unsigned_wide(&mut self) -> Result<u128, Corrupt> {
        let mut value = 0_u128;
        for shift in (0..).step_by(7) {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7f);
            let shifted = part
                .checked_shl(shift)
                .filter(|shifted| shifted >> shift == part);
            value |= shifted.ok_or(Corrupt("integer too long"))?;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(value)
    }

    pub fn unsigned(&mut self) -> Result<u64, Corrupt> {
        u64::try_from(self.unsigned_wide()?).map_err(|_| Corrupt("integer out of range"))
    }

    pub fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, Corrupt> {
        T::try_from(self.unsigned()?).map_err(|_| Corrupt("integer out of range"))
    }

    pub fn signed(&mut self) -> Result<i128, Corrupt> {
        let wide = self.unsigned_wide()?;
        Ok(((wide >> 1) as i128) ^ -((wide & 1) as i128))
    }

    pub fn text(&mut self) -> Result<&'a str, Corrupt> {
        std::str::from_utf8(self.block()?).map_err(|_| Corrupt("text is not UTF-8"))
    }

    pub fn block(&mut self) -> Result<&'a [u8], Corrupt> {
        let length = self.narrow::<usize>()?;
        self.bytes(length)
    }

    /// All that was not read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Corrupt>,
    ) -> Result<Option<T>, Corrupt> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Corrupt("neither absent nor present")),
        }
    }

    /// A counted list. Nothing is reserved ahead: each element takes at least one byte.
    pub fn list<T, L: FromIterator<T>>(
        &mut self,
        mut read: impl FnMut(&mut Reader<'a>) -> Result<T, Corrupt>,
    ) -> Result<L, Corrupt> {
        let count = self.narrow::<usize>()?;
        if count > self.rest.len() {
            return Err(Corrupt("list longer than its bytes"));
        }
        (0..count).map(|_| read(self)).collect()
    }

    pub fn finish(self) -> Result<(), Corrupt> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Corrupt("bytes left over"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_text_survive() -> Result<(), Corrupt> {
        let mut writer = Writer::default();
        let signed = [0, 1, -1, 63, -64, i128::MAX, i128::MIN];
        for value in signed {
            writer.signed(value);
        }
        writer.unsigned(u64::MAX);
        writer.text("tëam");
        writer.option(Some(7), Writer::unsigned);
        writer.option(None::<u64>, Writer::unsigned);
        let mut reader = Reader::new(&writer.bytes);
        for value in signed {
            assert_eq!(reader.signed()?, value);
        }
        assert_eq!(reader.unsigned()?, u64::MAX);
        assert_eq!(reader.text()?, "tëam");
        assert_eq!(reader.option(Reader::unsigned)?, Some(7));
        assert_eq!(reader.option(Reader::unsigned)?, None);
        reader.finish()
    }

    #[test]
    fn corrupt_bytes_are_an_error() {
        assert!(Reader::new(&[0x80]).unsigned().is_err());
        assert!(Reader::new(&[0xff; 20]).unsigned_wide().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f]).text().is_err());
        assert!(
            Reader::new(&[9, 1])
                .list::<u8, Vec<u8>>(Reader::byte)
                .is_err()
        );
        assert!(Reader::new(&[2, 0xc3, 0x28]).text().is_err());
        assert!(Reader::new(&[0]).finish().is_err());
    }
}
