"""How items become batches, and what is told of them."""
