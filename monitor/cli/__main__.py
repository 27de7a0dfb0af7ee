"""``python -m monitor.cli`` is ``kedge``."""

from monitor.cli import main

main()
