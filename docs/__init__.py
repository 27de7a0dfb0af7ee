"""The book: its pages, and the code that makes some of them. Not part of the wheel."""
