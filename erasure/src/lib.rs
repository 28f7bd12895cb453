//! Reed-Solomon over GF(2^8).
