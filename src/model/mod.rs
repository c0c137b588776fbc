//! The nouns of the product and their legal changes. No IO, no clock.
