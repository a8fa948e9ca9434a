"""ShortcutCheck: a model must be better than what can be told without looking at the lungs."""
