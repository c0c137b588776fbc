//! The use cases: read, apply a rule of the model, commit.
