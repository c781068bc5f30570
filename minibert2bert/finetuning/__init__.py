"""From files of texts to a trained model: what the command finetune does."""
