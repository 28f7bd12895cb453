//! How many data and parity shards a stripe has.

use std::fmt;
use std::str::FromStr;

/// The number of data shards `k` and parity shards `m` of a stripe, written `k+m`.
///
/// Always valid: `k >= 1` and `k + m <= 255`. Shard indices run from 0 to `k + m - 1`, data first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Profile {
    data: u8,
    parity: u8,
}

impl Profile {
    /// A profile of `data` data shards and `parity` parity shards.
    ///
    /// # Errors
    /// [`ProfileError::NoData`] or [`ProfileError::TooManyShards`]: choose other numbers.
    pub const fn new(data: u8, parity: u8) -> Result<Self, ProfileError> {
        if data == 0 {
            return Err(ProfileError::NoData);
        }
        if data.checked_add(parity).is_none() {
            return Err(ProfileError::TooManyShards { data, parity });
        }
        Ok(Self { data, parity })
    }

    /// Data shards in a stripe, `k`.
    pub const fn data(self) -> usize {
        self.data as usize
    }

    /// Parity shards in a stripe, `m`: how many shards may be lost.
    pub const fn parity(self) -> usize {
        self.parity as usize
    }

    /// All shards of a stripe, `k + m`.
    pub const fn total(self) -> usize {
        self.data() + self.parity()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.data, self.parity)
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let (data, parity) = text.split_once('+').ok_or(ProfileError::Malformed)?;
        Self::new(shard_count(data)?, shard_count(parity)?)
    }
}

/// A decimal number without sign or spaces; one too large for a byte counts as malformed.
fn shard_count(text: &str) -> Result<u8, ProfileError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ProfileError::Malformed);
    }
    text.parse().map_err(|_| ProfileError::Malformed)
}

/// Why two numbers or a text are not a [`Profile`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProfileError {
    /// There must be at least one data shard.
    #[error("a profile needs at least one data shard")]
    NoData,
    /// The field has room for 255 shards.
    #[error("a profile has at most 255 shards, got {data}+{parity}")]
    TooManyShards {
        /// Data shards asked for.
        data: u8,
        /// Parity shards asked for.
        parity: u8,
    },
    /// The text is not two numbers from 0 to 255 joined by a plus sign.
    #[error("a profile is written like 4+2, each number at most 255")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_every_count_up_to_255_shards_and_no_more() {
        for data in 0..=255u8 {
            for parity in 0..=255u8 {
                let valid = data >= 1 && u16::from(data) + u16::from(parity) <= 255;
                assert_eq!(Profile::new(data, parity).is_ok(), valid, "{data}+{parity}");
            }
        }
    }

    #[test]
    fn text_round_trips() {
        for text in ["1+0", "2+2", "12+4", "254+1", "255+0"] {
            assert_eq!(text.parse::<Profile>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_not_a_profile() {
        for text in [
            "", "4", "+", "4+", "+2", "4+2+1", " 4+2", "4 + 2", "++1", "4+-2", "999+1",
        ] {
            assert_eq!(
                text.parse::<Profile>(),
                Err(ProfileError::Malformed),
                "{text:?}"
            );
        }
        assert_eq!("0+2".parse::<Profile>(), Err(ProfileError::NoData));
        let too_many = ProfileError::TooManyShards {
            data: 200,
            parity: 100,
        };
        assert_eq!("200+100".parse::<Profile>(), Err(too_many));
    }
}
