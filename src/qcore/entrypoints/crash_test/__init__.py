"""A trial of a broker by processes that are killed, frozen and started again."""
