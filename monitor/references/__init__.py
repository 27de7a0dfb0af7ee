"""What windows are compared with: where references come from, and how they are built."""
