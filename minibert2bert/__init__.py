"""BERT-warm-started encoder-decoder models in NumPy, every gradient written out."""
