"""One file a log format: lines in, prediction batches and counted rejections out."""
