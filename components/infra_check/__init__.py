"""InfraCheck: an exported model must load and answer rightly in a server of its own before it may be pushed."""
