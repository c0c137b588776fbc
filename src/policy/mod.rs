//! The rules: text becomes meaning, and meaning decides. Pure.
