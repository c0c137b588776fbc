//! The server's settings: text becomes meaning, or every problem found.
