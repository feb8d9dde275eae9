"""The log: qcore's own lines, and those of `ctx.log`, on their way to whatever shows them."""
