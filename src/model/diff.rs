//! Keyed difference of two models: what a reload does, in the order in which it is done.
