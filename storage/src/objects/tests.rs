//! Tests of the whole of [`super`].
