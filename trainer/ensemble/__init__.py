"""How trained members are joined into one model."""
