"""How columns were distributed, in few bins, and how that is drawn: for pages and reports."""
