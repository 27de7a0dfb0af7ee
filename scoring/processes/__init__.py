"""Scoring processes behind one port: started, swapped, drained."""
