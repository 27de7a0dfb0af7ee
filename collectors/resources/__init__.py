"""Processor, memory, threads, open files and GPUs of what serves the model."""
