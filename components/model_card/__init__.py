"""The card of a pushed model: what it is, what it learnt from, how good it was, and what it is not for."""
