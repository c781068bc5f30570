"""From the logits of the next token to ids: greedy search and beam search."""
